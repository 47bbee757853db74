package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/oidc"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
)

// defaultMetricsListen is for a Prometheus, or an agent of it, on the same machine. The port is the one that
// OpenTelemetry's exporter for Prometheus has too.
const defaultMetricsListen = "127.0.0.1:9464"

// Config configures a [Server]. Start from [DefaultConfig], which lacks the database's URL and the keyring alone.
type Config struct {
	// Database says where the database is, which must have all migrations: a server never migrates.
	Database Database

	// Roles says what the process does. At least one is required.
	//
	// Defaults to both.
	Roles Roles

	// Listen is the address, host:port, that serves the API, its documentation, River UI and the health checks. A
	// worker without the API serves the health checks alone. Port 0 is any free one; [Server.Run] tells which.
	//
	// Defaults to ":8080".
	Listen string

	// RiverUI says whether the API serves River UI at /riverui/, to admins.
	//
	// Defaults to true.
	RiverUI bool

	// Console says whether the API serves the console at /console, to whoever has a key that may read.
	//
	// Defaults to true.
	Console bool

	// Catalog says whether the API serves what is public of the catalogue of event types at /catalog, to everybody.
	//
	// Defaults to false.
	Catalog bool

	// Portal is the customers' own pages.
	Portal Portal

	// People is the identity provider that lets people into the console with OpenID Connect.
	//
	// Defaults to nil: they log in with API keys alone.
	People *oidc.Config

	// Telemetry says where metrics and spans go.
	Telemetry Telemetry

	// Keyring encrypts and decrypts what is secret of endpoints. The API and the workers share it. Required.
	Keyring *signature.Keyring

	// API configures the API. Run sets what both roles share (Keyring, Version, Logger, and to those of Jobs Retention,
	// Schedule and Jitter) and what it makes itself: Pool, Checks, Metrics and UI.
	//
	// Defaults to the API's own, and no APIKey: only the keys of the database are accepted.
	API api.Config

	// Jobs configures the workers; Retention.Keep and Deliver.Schedule and Jitter hold for the API too. Run sets the
	// logger, the version and the keyring, and what it makes itself: pools, egress, metrics and tracing.
	//
	// Defaults to the workers' own.
	Jobs jobs.Config

	// Egress says where deliveries may go. MaxIdleConns and MaxIdlePerHost 0 are a connection for each attempt that
	// may be under way, also to a single host: making a new one costs more than a whole request on one that is there.
	// The database's address is blocked whatever Allow holds.
	//
	// Defaults to https:// alone, to public addresses, and to the usual ports of HTTP servers (80, 443, 8080, 8443):
	// none of a database's, a mail server's or a remote shell's.
	Egress egress.Config

	// ShutdownDelay is for how long a process that is to stop, and says so at /readyz, still serves the requests that
	// come: as long as load balancers need to hear of it. It is a part of StopTimeout; at most MaxShutdownDelay.
	//
	// Defaults to 0: it closes its listener at once.
	ShutdownDelay time.Duration

	// Version is told to receivers (in user-agent: Outhook/<version>), in the documentation, the metrics and the log.
	//
	// Defaults to "dev".
	Version string

	// Logger gets the log of everything that runs.
	//
	// Defaults to discarding.
	Logger *slog.Logger

	// Notify is told, at the start, of what is not as it might be meant and stops nothing, so that the edge can say
	// which of its settings cures that. It must not block.
	//
	// Defaults to nil: nobody is told.
	Notify func(context.Context, Notice)
}

// Database says where the database is.
type Database struct {
	// URL is postgres://user:password@host:port/database. A direct connection, or a pooler in session mode.
	// Required.
	URL string

	// OwnerURL is the same database as the schema's owner, if URL's user is not: workers remove old partitions with it.
	//
	// Defaults to "": URL's user may do everything, or old partitions stay (see [NotOwner]).
	OwnerURL string
}

// Roles says what a process does.
type Roles struct {
	// API serves the HTTP API.
	API bool

	// Worker delivers.
	Worker bool
}

// Telemetry says where metrics and spans go.
type Telemetry struct {
	// MetricsListen is the address, host:port, that serves /metrics without authentication. Empty: none does. The
	// default gives way if another process has it (see [MetricsAddressTaken]); any other address that is taken stops
	// the start.
	//
	// Defaults to "127.0.0.1:9464".
	MetricsListen string

	// Spans is the protocol that spans are exported with. Where they go, the sampler, the limits and the headers are
	// read from the environment by OpenTelemetry itself:
	// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
	//
	// Defaults to NoSpans.
	Spans Protocol

	// MaxQueuedSpans is how many spans may wait for their export; more are dropped, and counted. At least 1.
	//
	// Defaults to 2048, as OpenTelemetry's OTEL_BSP_MAX_QUEUE_SIZE.
	MaxQueuedSpans int
}

// Protocol is one of OTLP, the protocol of OpenTelemetry.
type Protocol string

const (
	// NoSpans makes and exports no spans. The trace that an event was enqueued in is passed on to its receivers all the
	// same.
	NoSpans Protocol = ""

	// HTTPProtobuf is OTLP over HTTP, with the name that OpenTelemetry gives it.
	HTTPProtobuf Protocol = "http/protobuf"

	// GRPC is OTLP over gRPC, with the name that OpenTelemetry gives it.
	GRPC Protocol = "grpc"
)

// Notice is something at the start that is not as it might be meant.
type Notice int

const (
	// MetricsAddressTaken says that another process has the default address of the metrics, and this one serves none.
	MetricsAddressTaken Notice = iota + 1

	// NotOwner says that the workers' database user does not own the schema and Database.OwnerURL is empty, so that old
	// partitions stay.
	NotOwner
)

// DefaultConfig returns what a server in production runs with. It lacks Database.URL and Keyring.
func DefaultConfig() Config {
	return Config{
		Roles:     Roles{API: true, Worker: true},
		Listen:    ":8080",
		RiverUI:   true,
		Console:   true,
		Telemetry: Telemetry{MetricsListen: defaultMetricsListen, MaxQueuedSpans: sdktrace.DefaultMaxQueueSize},

		API:    api.DefaultConfig(),
		Jobs:   jobs.DefaultConfig(),
		Egress: egress.Config{Ports: []uint16{80, 443, 8080, 8443}, HTTPSOnly: true, KeepBytes: 1024},

		Version: "dev",
		Logger:  slog.New(slog.DiscardHandler),
	}
}

// withDefaults fills in what a configuration that was made from nothing must not lack.
func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, "dev")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Notify == nil {
		c.Notify = func(context.Context, Notice) {}
	}
	return c
}

// validate checks what neither the API nor the workers check.
func (c Config) validate() error {
	switch {
	case c.Keyring == nil:
		return errors.New("server: Config.Keyring is missing")
	case !c.Roles.API && !c.Roles.Worker:
		return errors.New("server: Config.Roles has no role")
	case c.ShutdownDelay < 0 || c.ShutdownDelay > MaxShutdownDelay:
		return fmt.Errorf("server: Config.ShutdownDelay is %s, it must be 0 to %s", c.ShutdownDelay, MaxShutdownDelay)
	}
	return nil
}

// Portal says whether the API serves the portal at /portal, and to whom.
type Portal struct {
	// Served says whether it does.
	//
	// Defaults to false.
	Served bool

	// Accent is the colour of its buttons and links, like #4f46d8. Empty: ours.
	//
	// Defaults to "".
	Accent string

	// Origins are whose pages may frame it, unless a link names others.
	//
	// Defaults to none.
	Origins []string

	// PublicURL is the address that its links begin with. Empty: as the request that asks for a link does.
	//
	// Defaults to "".
	PublicURL string
}
