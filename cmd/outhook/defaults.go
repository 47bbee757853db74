package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/oidc"
)

// defaults returns the defaults of the server's flags, by the names that stand in their tags: those of the server.
func defaults(cfg server.Config) kong.Vars {
	vars := kong.Vars{
		"listen":         cfg.Listen,
		"metrics_listen": cfg.Telemetry.MetricsListen,
		"catalog":        catalogShown(cfg.Catalog),
		"console":        strconv.FormatBool(cfg.Console),
		"river_ui":       strconv.FormatBool(cfg.RiverUI),
		"unknown_types":  unknownTypes(cfg.API.Limits.KnownTypes),
		"unique_urls":    strconv.FormatBool(cfg.API.Limits.UniqueURLs),
		"egress_ports":   ports(cfg.Egress.Ports),
		"retention":      days(cfg.Jobs.Retention.Keep).String(),
		"retry_schedule": shortList(cfg.Jobs.Deliver.Schedule),
		"host_rate":      strconv.FormatFloat(cfg.Jobs.Lane.HostRate, 'f', -1, 64),
		"retry_jitter":   strconv.FormatFloat(float64(cfg.Jobs.Deliver.Jitter), 'g', -1, 64),

		"oidc_groups_claim": oidc.DefaultGroupsClaim,
		"oidc_name_claim":   oidc.DefaultNameClaim,
		"oidc_scopes":       strings.Join(oidc.DefaultScopes(), ","),
	}

	for name, n := range map[string]int{
		"max_payload_bytes": cfg.API.Limits.MaxPayloadBytes,
		"max_endpoints":     cfg.API.Limits.MaxEndpoints,
		"failed_logins":     cfg.API.Access.FailedLogins,

		"max_workers":      cfg.Jobs.River.MaxWorkers,
		"max_slow_workers": cfg.Jobs.Lane.MaxSlowWorkers,
		"max_per_host":     cfg.Jobs.Lane.MaxPerHost,

		"response_bytes": cfg.Egress.KeepBytes,
	} {
		vars[name] = strconv.Itoa(n)
	}

	for name, d := range map[string]time.Duration{
		"job_retention": cfg.Jobs.River.SettledJobRetention,
		"disable_after": cfg.Jobs.Health.DisableAfter,
		"probe_after":   cfg.Jobs.Health.ProbeAfter,

		"shutdown_delay":     cfg.ShutdownDelay,
		"max_shutdown_delay": server.MaxShutdownDelay,
		"stop_timeout":       server.StopTimeout,
	} {
		vars[name] = short(d)
	}

	return vars
}

// ports writes ports as OUTHOOK_EGRESS_PORTS takes them.
func ports(list []uint16) string {
	texts := make([]string, len(list))
	for i, port := range list {
		texts[i] = fmt.Sprint(port)
	}
	return strings.Join(texts, ",")
}

// shortList writes durations as OUTHOOK_RETRY_SCHEDULE takes them.
func shortList(list []time.Duration) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = short(d)
	}
	return strings.Join(texts, ",")
}

// What becomes of events whose types are not in the catalogue.
const (
	unknownAllow  = "allow"
	unknownReject = "reject"
)

// Who is shown the catalogue.
const (
	catalogOff    = "off"
	catalogPublic = "public"
)

func catalogShown(public bool) string {
	if public {
		return catalogPublic
	}
	return catalogOff
}

func unknownTypes(known bool) string {
	if known {
		return unknownReject
	}
	return unknownAllow
}

// short writes a duration without the zeros that Go writes: 1h, and not 1h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
