package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
)

const (
	// noMetrics is the address that turns the listener of the metrics off.
	noMetrics = "none"

	// minAPIKey keeps a guessable admin key out.
	minAPIKey = 16
)

// serverFlags configure the API and the workers, for dev and serve alike.
type serverFlags struct {
	APIKey          string  `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"The bootstrap admin key of the API. dev makes one if it is not given."`
	EncryptionKey   string  `env:"OUTHOOK_ENCRYPTION_KEY" secret:"" help:"32 bytes in base64 that encrypt endpoint secrets (openssl rand -base64 32). Several with commas: the first encrypts, all decrypt. dev makes one if it is not given."`
	RetrySchedule   string  `env:"OUTHOOK_RETRY_SCHEDULE" default:"${retry_schedule}" help:"The delays between attempts, or a preset: fast (1m,2m,4m) or standard (5s to 24h). An endpoint may have its own."`
	RetryJitter     float64 `env:"OUTHOOK_RETRY_JITTER" default:"${retry_jitter}" help:"How much longer a delay may become, as a fraction of it from 0 to 1: with 0.1, 1m becomes 60s to 66s, so that what failed together does not come back together. 0: delays are exact. An endpoint may have its own."`
	EgressAllow     string  `env:"OUTHOOK_EGRESS_ALLOW" help:"Prefixes that endpoints may resolve to although they are not public, like 10.0.0.0/8,::1/128, or none. Hosts of one label, like Docker's, need it. dev allows loopback unless this is set."`
	EgressPorts     string  `env:"OUTHOOK_EGRESS_PORTS" help:"Ports that endpoints may have, like 443,8443, or any. serve: ${egress_ports} unless this is set; dev: any."`
	EgressAllowHTTP string  `name:"egress-allow-http" env:"OUTHOOK_EGRESS_ALLOW_HTTP" default:"auto" enum:"auto,true,false" help:"Whether endpoints may have http:// URLs. auto: not in serve, and in dev they may."`
	EgressCAFile    string  `name:"egress-ca-file" env:"OUTHOOK_EGRESS_CA_FILE" type:"path" help:"A PEM file of certificate authorities that are trusted beside the system's."`

	retentionFlag
	endpointFlags

	PayloadRetention days          `env:"OUTHOOK_PAYLOAD_RETENTION" default:"0d" placeholder:"DAYS" help:"How long payloads are kept, if shorter than everything else, like 7d; 0d: as long. Those of pending deliveries stay."`
	JobRetention     time.Duration `env:"OUTHOOK_JOB_RETENTION" default:"${job_retention}" help:"How long River's jobs of succeeded deliveries are kept, for River UI: 1m to 168h. Those of cancelled ones stay a day, of failed ones 7 days."`

	MaxWorkers     int `env:"OUTHOOK_MAX_WORKERS" default:"${max_workers}" help:"Deliveries that this process attempts at the same time."`
	MaxSlowWorkers int `env:"OUTHOOK_MAX_SLOW_WORKERS" default:"${max_slow_workers}" help:"Deliveries to slow endpoints that all processes together attempt at the same time."`
	MaxPerHost     int `env:"OUTHOOK_MAX_PER_HOST" default:"${max_per_host}" help:"Requests of one tenant to one host that this process has under way, whatever endpoints they are of; half of them are for endpoints that answer within a second. 2 to 10000."`
	MaxEndpoints   int `env:"OUTHOOK_MAX_ENDPOINTS" default:"${max_endpoints}" help:"Endpoints that one tenant may have: an event's deliveries are made inside the publisher's transaction."`

	HostRate float64 `env:"OUTHOOK_HOST_RATE" default:"${host_rate}" help:"Requests a second of one tenant to one host that this process sends at most. 0: no limit."`

	UniqueURLs bool `name:"unique-urls" env:"OUTHOOK_UNIQUE_URLS" default:"${unique_urls}" help:"Refuse a second endpoint of a tenant with the same URL, which would get every event twice."`

	UnknownTypes string `env:"OUTHOOK_UNKNOWN_TYPES" default:"${unknown_types}" enum:"allow,reject" help:"Whether the API takes events whose types are not in the catalogue: allow or reject."`

	MaxPayloadBytes int  `env:"OUTHOOK_MAX_PAYLOAD_BYTES" default:"${max_payload_bytes}" help:"The largest payload that the API takes; the database takes at most 262144."`
	ResponseBytes   int  `env:"OUTHOOK_RESPONSE_BYTES" default:"${response_bytes}" help:"How much of an answer's body is kept with the attempt; at most 16384."`
	RiverUI         bool `name:"river-ui" env:"OUTHOOK_RIVER_UI" default:"${river_ui}" negatable:"" help:"Serve River UI at /riverui/."`
	Console         bool `env:"OUTHOOK_CONSOLE" default:"${console}" negatable:"" help:"Serve the console at /console: events, deliveries, endpoints and what to do about them, for whoever has a key that may read."`

	Catalog string `env:"OUTHOOK_CATALOG" default:"${catalog}" enum:"off,public" help:"Who is shown the catalogue of event types at /catalog: nobody (off) or everybody, without a key (public)."`

	SvixAPI string `name:"svix-api" env:"OUTHOOK_SVIX_API" default:"auto" enum:"auto,true,false" help:"Answer the calls of Svix's SDKs at /svix/api/v1 (docs/svix.md). auto: not in serve, and in dev."`

	RateLimit      float64 `env:"OUTHOOK_RATE_LIMIT" default:"0" help:"Requests a second that each API key may send to this process; one more gets 429. 0: no limit."`
	FailedLogins   int     `env:"OUTHOOK_FAILED_LOGINS" default:"${failed_logins}" help:"Wrong API keys a minute that an address may try; then wrong ones from there get 429. 0: no limit."`
	TrustedProxies string  `env:"OUTHOOK_TRUSTED_PROXIES" help:"Prefixes of the proxies in front of the API whose X-Forwarded-For tells a client's address, like 10.0.0.0/8. Without it, the address that connects counts."`

	peopleFlags
	portalFlags

	MetricsListen string `env:"OUTHOOK_METRICS_LISTEN" default:"${metrics_listen}" help:"The address that serves /metrics, without authentication, or none. The default gives way if another process has it."`

	logFlags
}

// config returns the server that the flags describe, checked, but for what dev and serve have of their own: the
// database, the address and the roles. Errors name the variable.
func (f serverFlags) config(logger *slog.Logger) (server.Config, error) {
	cfg := server.DefaultConfig()
	cfg.Version, cfg.Logger, cfg.Notify = version(), logger, warn(logger)
	cfg.RiverUI, cfg.Console, cfg.Catalog = f.RiverUI, f.Console, f.Catalog == catalogPublic
	if cfg.Telemetry.MetricsListen = f.MetricsListen; f.MetricsListen == noMetrics {
		cfg.Telemetry.MetricsListen = ""
	}
	f.setAPI(&cfg.API)
	f.setJobs(&cfg.Jobs)

	var err error
	if cfg.Jobs.Deliver.Schedule, err = retry.Parse(f.RetrySchedule); err != nil {
		return cfg, fmt.Errorf("OUTHOOK_RETRY_SCHEDULE: %w", err)
	}
	cfg.Jobs.Deliver.Jitter = retry.Jitter(f.RetryJitter)
	if err := cfg.Jobs.Deliver.Jitter.Validate(); err != nil {
		return cfg, fmt.Errorf("OUTHOOK_RETRY_JITTER %w", err)
	}
	if cfg.Egress.Allow, err = egress.ParsePrefixes(f.EgressAllow); err != nil {
		return cfg, fmt.Errorf("OUTHOOK_EGRESS_ALLOW: %w", err)
	}

	if err := f.checkRetention(); err != nil {
		return cfg, err
	}

	if err := f.setEgress(&cfg.Egress); err != nil {
		return cfg, err
	}
	if cfg.API.Access.TrustedProxies, err = egress.ParsePrefixes(f.TrustedProxies); err != nil {
		return cfg, fmt.Errorf("OUTHOOK_TRUSTED_PROXIES: %w", err)
	}

	if cfg.People, err = f.people(cfg.Egress.RootCAs); err != nil {
		return cfg, err
	}

	if cfg.Portal, err = f.portal(f.PublicURL); err != nil {
		return cfg, err
	}

	if err := f.checkLimits(); err != nil {
		return cfg, err
	}
	cfg.Keyring, err = f.keyring()
	return cfg, err
}

// setAPI sets what the flags say of the API.
func (f serverFlags) setAPI(cfg *api.Config) {
	cfg.Access.APIKey = f.APIKey
	cfg.Limits.MaxPayloadBytes, cfg.Limits.MaxEndpoints = f.MaxPayloadBytes, f.MaxEndpoints
	cfg.Limits.UniqueURLs, cfg.Limits.KnownTypes = f.UniqueURLs, f.UnknownTypes == unknownReject
	cfg.Svix = f.SvixAPI != "false"
	cfg.Access.RateLimit = f.RateLimit
	cfg.Access.FailedLogins = f.FailedLogins
}

// setJobs sets what the flags say of the workers.
func (f serverFlags) setJobs(cfg *jobs.Config) {
	cfg.Retention.Keep, cfg.Retention.KeepPayloads = time.Duration(f.Retention), time.Duration(f.PayloadRetention)
	cfg.River.SettledJobRetention = f.JobRetention
	cfg.River.MaxWorkers, cfg.Lane.MaxSlowWorkers = f.MaxWorkers, f.MaxSlowWorkers
	cfg.Lane.MaxPerHost, cfg.Lane.HostRate = f.MaxPerHost, f.HostRate
	cfg.Health.DisableAfter, cfg.Health.ProbeAfter = f.DisableAfter, f.ProbeAfter
}

// setEgress sets what the flags say of where deliveries may go, beside the prefixes.
func (f serverFlags) setEgress(cfg *egress.Config) (err error) {
	cfg.HTTPSOnly, cfg.KeepBytes = f.EgressAllowHTTP == "false", f.ResponseBytes

	if cfg.Ports, err = egress.ParsePorts(f.EgressPorts); err != nil {
		return fmt.Errorf("OUTHOOK_EGRESS_PORTS: %w", err)
	}

	if f.EgressCAFile != "" {
		if cfg.RootCAs, err = egress.ReadCAs(f.EgressCAFile); err != nil {
			return fmt.Errorf("OUTHOOK_EGRESS_CA_FILE: %w", err)
		}
	}
	return nil
}

// keyring reads the keys. Only dev may do without; it sets them before it gets here.
func (f serverFlags) keyring() (*signature.Keyring, error) {
	if f.EncryptionKey == "" {
		return nil, errors.New("OUTHOOK_ENCRYPTION_KEY is not set: make one with `openssl rand -base64 32` and keep it, " +
			"endpoint secrets can't be read without it")
	}
	if f.APIKey != "" && len(f.APIKey) < minAPIKey {
		return nil, fmt.Errorf("OUTHOOK_API_KEY is shorter than %d bytes: make one with `openssl rand -hex 32`", minAPIKey)
	}

	keyring, err := signature.ParseKeyring(f.EncryptionKey)
	if err != nil {
		return nil, fmt.Errorf("OUTHOOK_ENCRYPTION_KEY: %w", err)
	}
	return keyring, nil
}

func (f serverFlags) checkLimits() error {
	for _, limit := range []struct {
		name            string
		value, min, max int
	}{
		{"OUTHOOK_RESPONSE_BYTES", f.ResponseBytes, 1, 16384},
		{"OUTHOOK_MAX_WORKERS", f.MaxWorkers, 1, 10000},
		{"OUTHOOK_MAX_SLOW_WORKERS", f.MaxSlowWorkers, 1, 10000},
		{"OUTHOOK_MAX_PER_HOST", f.MaxPerHost, 2, 10000},
		{"OUTHOOK_MAX_ENDPOINTS", f.MaxEndpoints, 1, 1000000},
		{"OUTHOOK_MAX_PAYLOAD_BYTES", f.MaxPayloadBytes, 1, outhook.MaxPayloadBytes},
		{"OUTHOOK_FAILED_LOGINS", f.FailedLogins, 0, 1_000_000},
	} {
		if limit.value < limit.min || limit.value > limit.max {
			return fmt.Errorf("%s must be %d to %d", limit.name, limit.min, limit.max)
		}
	}

	if !(f.RateLimit >= 0 && f.RateLimit <= 1_000_000) {
		return errors.New("OUTHOOK_RATE_LIMIT must be 0 to 1000000")
	}
	if !(f.HostRate >= 0 && f.HostRate <= 1_000_000) {
		return errors.New("OUTHOOK_HOST_RATE must be 0 to 1000000")
	}
	return nil
}

func parseRoles(list []string) (r server.Roles, err error) {
	for _, name := range list {
		switch strings.TrimSpace(name) {
		case "api":
			r.API = true
		case "worker":
			r.Worker = true
		default:
			return r, errors.New("OUTHOOK_ROLES must be api, worker, or both with a comma")
		}
	}

	if !r.API && !r.Worker {
		return r, errors.New("OUTHOOK_ROLES is empty: give api, worker, or both with a comma")
	}
	return r, nil
}
