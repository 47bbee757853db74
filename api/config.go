package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api/ready"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// maxSmallBody bounds the bodies that hold no payload: an endpoint with all its members at their limits takes 50 KiB,
	// written in \u escapes three times that.
	maxSmallBody = 256 << 10

	// envelopeBytes is what a body may hold beside its payload. A tenant id, a type and an idempotency key of 255 bytes
	// each take less than 5 KiB, all of it written in \u escapes.
	envelopeBytes = 16 << 10
)

// Config configures a [Server]. Begin with [DefaultConfig], and set what has no default: Pool, Keyring and Checks.
type Config struct {
	// Pool reaches a database with all migrations. A request that publishes uses another one, of 11 connections like its
	// own, which the server opens; of this one, each tenant, and each key that is bound to none, uses 3 at a
	// time. Required.
	Pool *pgxpool.Pool

	// Keyring seals the endpoints' secrets. The associated data is the 16 bytes of the endpoint's id. Required.
	Keyring *signature.Keyring

	// Checks are what the process that serves the API knows.
	Checks Checks

	// Access says who may do how much.
	Access Access

	// Limits bound requests.
	Limits Limits

	// Timeouts bound how long they take.
	Timeouts Timeouts

	// Retention is the workers': an endpoint's retry schedule, jitter included, must be more than a day shorter.
	//
	// Defaults to 30 days.
	Retention time.Duration

	// Schedule and Jitter are the workers', which hold for endpoints that have none of their own.
	//
	// Default to retry.Fast and 0.
	Schedule retry.Schedule
	Jitter   retry.Jitter

	// UI is River UI, served at /riverui behind an API key (Basic authentication: any user, the key as password) or the
	// console's session, and closed to other origins' pages. Nil: not served.
	UI http.Handler

	// Console is served at /console and /assets. It logs in by itself: no key is asked for. Nil: not served.
	Console http.Handler

	// Svix answers the calls of Svix's SDKs at /svix/api/v1 (docs/svix.md).
	//
	// Defaults to false.
	Svix bool

	// Catalog is served at /catalog, to everybody, and at /assets if there is no Console. Nil: not served.
	Catalog http.Handler

	// Portal is the customers' own pages.
	Portal Portal

	// Version is shown in the documentation.
	//
	// Defaults to "dev".
	Version string

	// Logger gets a line per request at debug, and one for each error of ours. Never payloads, secrets, URLs of endpoints
	// or query strings.
	//
	// Defaults to discarding.
	Logger *slog.Logger

	// Metrics is where the metrics are registered (docs/metrics.md). One registry takes one Server.
	//
	// Defaults to nil: they are counted and not shown.
	Metrics prometheus.Registerer
}

// Portal says where the portal is, to which POST /api/portal-sessions makes links.
type Portal struct {
	// Handler is served at /portal, and at /assets unless the console is. It asks for a session by itself. Nil: there is
	// no portal.
	Handler http.Handler

	// PublicURL is the address of this server as browsers see it, like https://webhooks.example.com. Empty: links begin
	// as the request did that asked for them.
	PublicURL string
}

// Checks are what the process that serves the API knows. URL and Schema are required.
type Checks struct {
	// URL tells whether an endpoint may have a URL. Its error is shown to the caller, so it must not repeat the URL.
	URL func(string) error

	ready.Checks
}

// Access says who may do how much.
type Access struct {
	// APIKey is the bootstrap admin key. Empty: only the keys of the table api_keys are accepted.
	//
	// Defaults to "".
	APIKey string

	// Provider tells the identity provider, and what its people may do, from any other. A session that
	// [Server.OpenSession] has made is good as long as this is the same. Empty: nobody has any.
	//
	// Defaults to nil.
	Provider []byte

	// TrustedProxies are the addresses of proxies whose X-Forwarded-For is believed when they connect. Of all other
	// clients the connection's address counts.
	//
	// Defaults to none.
	TrustedProxies []netip.Prefix

	// RateLimit is how many requests a second each key may send to this process, with a burst of a second's worth, at most
	// 1,000,000. One more gets 429. 0: no limit.
	//
	// Defaults to 0.
	RateLimit float64

	// FailedLogins is how many wrong keys a minute an address (of IPv6 a /64) may try, at most 1,000,000. Then every key
	// from there gets 429 until the minute has passed. A key that is wrong again and again counts once. 0: no limit.
	//
	// Defaults to 30.
	FailedLogins int
}

// Limits bound requests.
type Limits struct {
	// MaxPayloadBytes is the largest payload in bytes. The database accepts at most 262,144.
	//
	// Defaults to 262,144.
	MaxPayloadBytes int

	// MaxBatchBytes is the largest body of POST /api/events/batch in bytes, at most 256 MiB.
	//
	// Defaults to 8 MiB.
	MaxBatchBytes int

	// MaxBatchEvents is the largest number of events in one batch, at most 100,000.
	//
	// Defaults to 1,000.
	MaxBatchEvents int

	// MaxHeldBytes bounds the sum of the request bodies that are held at the same time, in bytes, MaxBatchBytes at
	// least. A request that goes beyond gets 503. One tenant, or key that is bound to none, gets half of it
	// (MaxBatchBytes at least), then 429. Memory use is about three times this: the body, its events, and what is on its
	// way to the database.
	//
	// Defaults to 128 MiB.
	MaxHeldBytes int

	// MaxRequests bounds the requests that are served at the same time, without the health checks, at most 1,000,000. One
	// more gets 503, and of one tenant, or key that is bound to none, the one beyond half of them 429.
	//
	// Defaults to 5,000: more than the ingestion lets wait.
	MaxRequests int

	// MaxEndpoints is the largest number of endpoints of one tenant, at most 1,000,000: fan-out happens inside the
	// publisher's transaction.
	//
	// Defaults to 1,000, up to which it was measured to cost 15 ms.
	MaxEndpoints int

	// UniqueURLs refuses a second endpoint of a tenant with the same URL, byte for byte: every event would be delivered
	// twice. Endpoints that have the same already keep it.
	//
	// Defaults to false: they may differ in their event types.
	UniqueURLs bool

	// KnownTypes refuses events whose types are not in the catalogue. Who enqueues otherwise than by the API is not kept
	// from it.
	//
	// Defaults to false.
	KnownTypes bool
}

// Timeouts bound how long requests take, 40 s at most each.
type Timeouts struct {
	// Store is how long a request waits for its events to be committed.
	//
	// Defaults to 15 s.
	Store time.Duration

	// Query is how long any other request may take in the database.
	//
	// Defaults to 5 s.
	Query time.Duration

	// Body is how long a client may take to send its body.
	//
	// Defaults to 20 s: 8 MiB at 3.4 Mbit/s.
	Body time.Duration
}

// DefaultConfig returns the defaults of everything that has one.
func DefaultConfig() Config {
	return Config{
		Access: Access{FailedLogins: 30},
		Limits: Limits{
			MaxPayloadBytes: outhook.MaxPayloadBytes, MaxBatchBytes: 8 << 20, MaxBatchEvents: 1000, MaxHeldBytes: 128 << 20,
			MaxRequests: 5000, MaxEndpoints: 1000,
		},
		Timeouts:  Timeouts{Store: 15 * time.Second, Query: 5 * time.Second, Body: 20 * time.Second},
		Retention: ledger.DefaultRetention, Schedule: retry.Fast(), Version: "dev", Logger: slog.New(slog.DiscardHandler),
	}
}

func (cfg Config) validate() error {
	switch {
	case cfg.Pool == nil:
		return errors.New("field Pool is nil")
	case cfg.Keyring == nil:
		return errors.New("field Keyring is nil")
	case cfg.Logger == nil:
		return errors.New("field Logger is nil: begin with DefaultConfig")
	case cfg.Checks.URL == nil:
		return errors.New("field Checks.URL is nil")
	case cfg.Checks.Schema == nil:
		return errors.New("field Checks.Schema is nil")
	case cfg.Limits.MaxHeldBytes < cfg.Limits.MaxBatchBytes:
		return errors.New("field Limits.MaxHeldBytes is less than MaxBatchBytes")
	case !(cfg.Access.RateLimit >= 0 && cfg.Access.RateLimit <= 1_000_000):
		return errors.New("field Access.RateLimit must be 0 to 1,000,000")
	case cfg.Access.FailedLogins < 0 || cfg.Access.FailedLogins > 1_000_000:
		return errors.New("field Access.FailedLogins must be 0 to 1,000,000")
	case cfg.Jitter.Validate() != nil:
		return fmt.Errorf("field Jitter %w", cfg.Jitter.Validate())
	}

	for _, limit := range []struct {
		name       string
		value, max int64
	}{
		{"Limits.MaxPayloadBytes", int64(cfg.Limits.MaxPayloadBytes), outhook.MaxPayloadBytes},
		{"Limits.MaxBatchBytes", int64(cfg.Limits.MaxBatchBytes), 256 << 20},
		{"Limits.MaxBatchEvents", int64(cfg.Limits.MaxBatchEvents), 100_000},
		{"Limits.MaxRequests", int64(cfg.Limits.MaxRequests), 1_000_000},
		{"Limits.MaxEndpoints", int64(cfg.Limits.MaxEndpoints), 1_000_000},
		{"Timeouts.Store", int64(cfg.Timeouts.Store), int64(maxHandling)},
		{"Timeouts.Query", int64(cfg.Timeouts.Query), int64(maxHandling)},
		{"Timeouts.Body", int64(cfg.Timeouts.Body), int64(maxHandling)},
	} {
		if limit.value < 1 || limit.value > limit.max {
			return fmt.Errorf("field %s is %d: must be 1 to %d", limit.name, limit.value, limit.max)
		}
	}
	return nil
}
