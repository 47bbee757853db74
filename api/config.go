package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// defaultMaxEndpoints is the number of endpoints of one tenant up to which fan-out inside the publisher's transaction
	// was measured to cost 15 ms.
	defaultMaxEndpoints = 1000

	// maxSmallBody bounds the bodies that hold no payload: an endpoint with all its members at their limits takes 50 KiB,
	// written in \u escapes three times that.
	maxSmallBody = 256 << 10

	// envelopeBytes is what a body may hold beside its payload. A tenant id, a type and an idempotency key of 255 bytes
	// each take less than 5 KiB, all of it written in \u escapes.
	envelopeBytes = 16 << 10
)

// Config configures a [Server].
type Config struct {
	// Pool reaches a database with all migrations. The ingestion takes 1 connection of it and up to 4 more while events
	// wait for an idempotency key that an open transaction holds.
	Pool *pgxpool.Pool

	// Keyring seals the endpoints' secrets. The associated data is the 16 bytes of the endpoint's id.
	Keyring *signature.Keyring

	// CheckURL tells whether an endpoint may have a URL. Its error is shown to the caller, so it must not repeat the URL.
	CheckURL func(string) error

	// APIKey is the bootstrap admin key. Empty: only the keys of the table api_keys are accepted.
	APIKey string

	// TrustedProxies are the addresses of proxies whose X-Forwarded-For is believed when they connect. Of all other
	// clients the connection's address counts.
	TrustedProxies []netip.Prefix

	// MaxPayloadBytes is the largest payload in bytes. The database accepts at most 262,144.
	//
	// Defaults to 262,144.
	MaxPayloadBytes int

	// MaxBatchBytes is the largest body of POST /api/events/batch in bytes.
	//
	// Defaults to 8 MiB.
	MaxBatchBytes int

	// MaxBatchEvents is the largest number of events in one batch.
	//
	// Defaults to 1,000.
	MaxBatchEvents int

	// MaxHeldBytes bounds the sum of the request bodies that are held at the same time, in bytes. A request that goes
	// beyond gets 503 before its body is read. Memory use is about three times this: the body, its events, and what is on
	// its way to the database.
	//
	// Defaults to 128 MiB. It must be at least MaxBatchBytes.
	MaxHeldBytes int

	// MaxRequests bounds the requests that are served at the same time, without the health checks. One more gets 503.
	//
	// Defaults to 5,000: more than the ingestion lets wait.
	MaxRequests int

	// RateLimit is how many requests a second each key may send to this process, with a burst of a second's worth. One
	// more gets 429.
	//
	// Defaults to 0: no limit.
	RateLimit float64

	// FailedLogins is how many wrong keys a minute an address (of IPv6 a /64) may try. Then every key from there gets 429
	// until the minute has passed. A key that is wrong again and again counts once. −1: no limit.
	//
	// Defaults to 30.
	FailedLogins int

	// MaxEndpoints is the largest number of endpoints of one tenant: fan-out happens inside the publisher's transaction.
	//
	// Defaults to 1,000.
	MaxEndpoints int

	// Retention is the workers': an endpoint's retry schedule must be more than a day shorter.
	//
	// Defaults to 30 days.
	Retention time.Duration

	// StoreTimeout is how long a request waits for its events to be committed.
	//
	// Defaults to 15 s.
	StoreTimeout time.Duration

	// QueryTimeout is how long any other request may take in the database.
	//
	// Defaults to 5 s.
	QueryTimeout time.Duration

	// BodyTimeout is how long a client may take to send its body.
	//
	// Defaults to 20 s: 8 MiB at 3.4 Mbit/s.
	BodyTimeout time.Duration

	// Version is shown in the documentation.
	Version string

	// Logger gets a line per request at debug, and one for each error of ours. Never payloads, secrets, URLs of endpoints
	// or query strings.
	Logger *slog.Logger

	// CheckSchema is a check of /readyz: whether the database's schema is at least at the version that this binary needs.
	CheckSchema func(context.Context) error

	// Ready is one more check of /readyz: whether jobs are being fetched. Nil in a process without workers.
	Ready func(context.Context) error

	// Metrics is where the metrics are registered (docs/metrics.md). One registry takes one Server.
	//
	// Defaults to nil: they are counted and not shown.
	Metrics prometheus.Registerer

	// UI is River UI, served at /riverui behind an API key (Basic authentication: any user, the key as password) and
	// closed to other origins' pages. Nil: not served.
	UI http.Handler

	// calm says of trouble that may come with each request what Logger would say, but seldom.
	calm *slog.Logger
}

func (cfg Config) withDefaults() Config {
	cfg.MaxPayloadBytes = cmp.Or(cfg.MaxPayloadBytes, outhook.MaxPayloadBytes)
	cfg.MaxBatchBytes = cmp.Or(cfg.MaxBatchBytes, 8<<20)
	cfg.MaxBatchEvents = cmp.Or(cfg.MaxBatchEvents, 1000)
	cfg.MaxHeldBytes = cmp.Or(cfg.MaxHeldBytes, max(128<<20, cfg.MaxBatchBytes))
	cfg.MaxRequests = cmp.Or(cfg.MaxRequests, 5000)
	cfg.FailedLogins = cmp.Or(cfg.FailedLogins, 30)
	cfg.MaxEndpoints = cmp.Or(cfg.MaxEndpoints, defaultMaxEndpoints)
	cfg.Retention = cmp.Or(cfg.Retention, ledger.DefaultRetention)
	cfg.StoreTimeout = cmp.Or(cfg.StoreTimeout, 15*time.Second)
	cfg.QueryTimeout = cmp.Or(cfg.QueryTimeout, 5*time.Second)
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, 20*time.Second)

	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.calm = slog.New(logthrottle.Handler(cfg.Logger.Handler()))
	return cfg
}

func (cfg Config) validate() error {
	switch {
	case cfg.Pool == nil:
		return errors.New("field Pool is nil")
	case cfg.Keyring == nil:
		return errors.New("field Keyring is nil")
	case cfg.CheckURL == nil:
		return errors.New("field CheckURL is nil")
	case cfg.CheckSchema == nil:
		return errors.New("field CheckSchema is nil")
	case cfg.MaxHeldBytes < cfg.MaxBatchBytes:
		return errors.New("field MaxHeldBytes is less than MaxBatchBytes")
	case !(cfg.RateLimit >= 0 && cfg.RateLimit <= 1_000_000):
		return errors.New("field RateLimit must be 0 to 1,000,000")
	case cfg.FailedLogins < -1 || cfg.FailedLogins > 1_000_000:
		return errors.New("field FailedLogins must be -1 to 1,000,000")
	}

	for _, limit := range []struct {
		name       string
		value, max int64
	}{
		{"MaxPayloadBytes", int64(cfg.MaxPayloadBytes), outhook.MaxPayloadBytes},
		{"MaxBatchBytes", int64(cfg.MaxBatchBytes), 256 << 20},
		{"MaxBatchEvents", int64(cfg.MaxBatchEvents), 100_000},
		{"MaxRequests", int64(cfg.MaxRequests), 1_000_000},
		{"MaxEndpoints", int64(cfg.MaxEndpoints), 1_000_000},
		{"StoreTimeout", int64(cfg.StoreTimeout), int64(maxHandling)},
		{"QueryTimeout", int64(cfg.QueryTimeout), int64(maxHandling)},
		{"BodyTimeout", int64(cfg.BodyTimeout), int64(maxHandling)},
	} {
		if limit.value < 1 || limit.value > limit.max {
			return fmt.Errorf("%s is %d: must be 1 to %d", limit.name, limit.value, limit.max)
		}
	}
	return nil
}
