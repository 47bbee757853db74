package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/jobs"
)

// cli is every command, flag and environment variable. A flag wins over its variable.
type cli struct {
	Dev        devCmd        `cmd:"" help:"Run everything for development: embedded Postgres, API, workers, River UI."`
	Serve      serveCmd      `cmd:"" help:"Run the API, the workers or both on a database of yours."`
	Migrate    migrateCmd    `cmd:"" help:"Create, change or inspect the database schema."`
	Keys       keysCmd       `cmd:"" help:"Create, list and revoke API keys."`
	Bench      benchCmd      `cmd:"" help:"Measure Outhook on this machine, or a running server, against bare River and Postgres."`
	Listen     listenCmd     `cmd:"" help:"Receive webhooks locally, verify their signatures and print them."`
	Partitions partitionsCmd `cmd:"" help:"Show the days of the log: sizes, ages, what exists ahead and what is due."`
	Secrets    secretsCmd    `cmd:"" help:"Encrypt stored secrets with another key."`
	Doctor     doctorCmd     `cmd:"" help:"Check that nothing is stuck or inconsistent; exit 1 if something is."`
	Health     healthCmd     `cmd:"" help:"Ask a running server whether it is ready; exit 1 if it is not."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	Endpoints  endpointsCmd  `cmd:"" group:"api" help:"Create, list, show, change, test and delete endpoints."`
	Events     eventsCmd     `cmd:"" group:"api" help:"Send, list and show events."`
	Deliveries deliveriesCmd `cmd:"" group:"api" help:"List, show and cancel deliveries."`
	Attempts   attemptsCmd   `cmd:"" group:"api" help:"List the attempts of an event."`
	Tail       tailCmd       `cmd:"" group:"api" help:"Print attempts as they happen."`
	Stats      statsCmd      `cmd:"" group:"api" help:"Count events, deliveries, attempts and latencies of the last minutes, and what waits."`
	Replay     replayCmd     `cmd:"" group:"api" help:"Deliver again: new attempts with the whole retry schedule."`
	Recover    recoverCmd    `cmd:"" group:"api" help:"Deliver again all that an endpoint missed, in the background, and show how far that is."`
	Operations operationsCmd `cmd:"" group:"api" help:"List, show, pause, resume and cancel what replays in the background."`

	Config     configCmd     `cmd:"" help:"Print the effective configuration, without secrets, and check it; exit 2 if serve would refuse it."`
	Completion completionCmd `cmd:"" help:"Print the script that completes commands in bash, zsh or fish."`

	Complete      completeCmd      `cmd:"" hidden:""`
	BenchReceiver benchReceiverCmd `cmd:"" hidden:""`
	BenchCrowd    benchCrowdCmd    `cmd:"" hidden:""`
	BenchRiver    benchRiverCmd    `cmd:"" hidden:""`
	BenchRetain   benchRetainCmd   `cmd:"" hidden:""`
}

// newParser returns the parser of the command line. Its output goes to the writers; at --help it panics with an
// exitError.
func newParser(stdout, stderr io.Writer, dataDir string) (*kong.Kong, error) {
	vars := kong.Vars{
		"data_dir": dataDir, "version": version(), "egress_ports": serveEgressPorts, "metrics_listen": defaultMetricsListen,
	}

	parser, err := kong.New(&cli{}, kong.Name("outhook"),
		kong.Description("Webhook delivery that needs Postgres and nothing else.\n\n"+exitCodes),
		kong.ExplicitGroups([]kong.Group{
			{Key: "api", Title: "Daily work, against the API at OUTHOOK_URL with OUTHOOK_API_KEY:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Writers(stdout, stderr), kong.ShortUsageOnError(),
		kong.Exit(func(code int) { panic(exitError(code)) }), vars)
	if err != nil {
		return nil, fmt.Errorf("reading the command line: %w", err)
	}
	return parser, nil
}

// parse returns the command that the arguments and the environment name.
func parse(args []string, stdout, stderr io.Writer) (kctx *kong.Context, err error) {
	// kong ends the process after --help; a panic and recover gives that back to the caller.
	defer func() {
		if v := recover(); v != nil {
			code, ok := v.(exitError)
			if !ok {
				panic(v)
			}
			err = code
		}
	}()

	parser, err := newParser(stdout, stderr, defaultDataDir())
	if err != nil {
		return nil, err
	}

	kctx, err = parser.Parse(args)
	if err != nil {
		return nil, usageError{fmt.Errorf("%w (outhook --help)", err)}
	}
	return kctx, nil
}

// logFlags configure the log, which goes to stderr.
type logFlags struct {
	LogLevel  slog.Level `env:"OUTHOOK_LOG_LEVEL" default:"info" help:"debug (with a line per attempt that succeeded), info (one per attempt that did not), warn or error."`
	LogFormat string     `env:"OUTHOOK_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text for dev, json for serve."`
}

func (f logFlags) logger(w io.Writer, auto string) *slog.Logger {
	format := f.LogFormat
	if format == "auto" {
		format = auto
	}

	options := &slog.HandlerOptions{Level: f.LogLevel}

	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// serverFlags configure the API and the workers, for dev and serve alike.
type serverFlags struct {
	APIKey          string `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"The bootstrap admin key of the API. dev makes one if it is not given."`
	EncryptionKey   string `env:"OUTHOOK_ENCRYPTION_KEY" secret:"" help:"32 bytes in base64 that encrypt endpoint secrets (openssl rand -base64 32). Several with commas: the first encrypts, all decrypt. dev makes one if it is not given."`
	RetrySchedule   string `env:"OUTHOOK_RETRY_SCHEDULE" default:"1m,2m,4m" help:"The delays between attempts, or a preset: fast (1m,2m,4m) or standard (5s to 24h). An endpoint may have its own."`
	EgressAllow     string `env:"OUTHOOK_EGRESS_ALLOW" help:"Prefixes that endpoints may resolve to although they are not public, like 10.0.0.0/8,::1/128, or none. dev allows loopback unless this is set."`
	EgressPorts     string `env:"OUTHOOK_EGRESS_PORTS" help:"Ports that endpoints may have, like 443,8443, or any. serve: ${egress_ports} unless this is set; dev: any."`
	EgressAllowHTTP string `name:"egress-allow-http" env:"OUTHOOK_EGRESS_ALLOW_HTTP" default:"auto" enum:"auto,true,false" help:"Whether endpoints may have http:// URLs. auto: not in serve, and in dev they may."`
	EgressCAFile    string `name:"egress-ca-file" env:"OUTHOOK_EGRESS_CA_FILE" type:"path" help:"A PEM file of certificate authorities that are trusted beside the system's."`

	retentionFlag
	endpointFlags

	PayloadRetention days          `env:"OUTHOOK_PAYLOAD_RETENTION" default:"0d" placeholder:"DAYS" help:"How long payloads are kept, if shorter than everything else, like 7d; 0d: as long. Those of pending deliveries stay."`
	JobRetention     time.Duration `env:"OUTHOOK_JOB_RETENTION" default:"15m" help:"How long River's jobs of succeeded deliveries are kept, for River UI: 1m to 168h. Those of cancelled ones stay a day, of failed ones 7 days."`
	KeptJobRate      int           `env:"OUTHOOK_KEPT_JOB_RATE" default:"20" help:"How many of River's jobs of succeeded deliveries a process keeps a second for River UI; the others are deleted at once. 0: none."`

	MaxWorkers        int           `env:"OUTHOOK_MAX_WORKERS" default:"500" help:"Deliveries that this process attempts at the same time."`
	MaxBulkWorkers    int           `env:"OUTHOOK_MAX_BULK_WORKERS" default:"100" help:"The same for bursts (100 or more deliveries of one endpoint in one call)."`
	BulkRate          int           `env:"OUTHOOK_BULK_RATE" default:"0" help:"The most deliveries of bursts that one process begins a second while it has others too; 0: 1000 for each processor."`
	MaxSlowWorkers    int           `env:"OUTHOOK_MAX_SLOW_WORKERS" default:"200" help:"Deliveries to slow endpoints that all processes together attempt at the same time."`
	MaxLimitedWorkers int           `env:"OUTHOOK_MAX_LIMITED_WORKERS" default:"200" help:"The same for endpoints with a rate limit."`
	MaxLanes          int           `env:"OUTHOOK_MAX_LANES" default:"1000" help:"Slow endpoints that have a queue of their own; any more share that of bursts."`
	MaxRetryAfter     time.Duration `env:"OUTHOOK_MAX_RETRY_AFTER" default:"1h" help:"The longest wait that an answer's Retry-After may ask for."`
	MaxEndpoints      int           `env:"OUTHOOK_MAX_ENDPOINTS" default:"1000" help:"Endpoints that one tenant may have: an event's deliveries are made inside the publisher's transaction."`

	MaxPayloadBytes int  `env:"OUTHOOK_MAX_PAYLOAD_BYTES" default:"262144" help:"The largest payload that the API takes; the database takes at most 262144."`
	MaxBatchBytes   int  `env:"OUTHOOK_MAX_BATCH_BYTES" default:"8388608" help:"The largest body of POST /api/events/batch."`
	ResponseBytes   int  `env:"OUTHOOK_RESPONSE_BYTES" default:"1024" help:"How much of an answer's body is kept with the attempt; at most 16384."`
	MaxRequests     int  `env:"OUTHOOK_MAX_REQUESTS" default:"5000" help:"Requests that are served at the same time; one more gets 503."`
	RiverUI         bool `name:"river-ui" env:"OUTHOOK_RIVER_UI" default:"true" negatable:"" help:"Serve River UI at /riverui/."`

	RateLimit      float64 `env:"OUTHOOK_RATE_LIMIT" default:"0" help:"Requests a second that each API key may send to this process; one more gets 429. 0: no limit."`
	FailedLogins   int     `env:"OUTHOOK_FAILED_LOGINS" default:"30" help:"Wrong API keys a minute that an address may try; then all from there gets 429. 0: no limit."`
	TrustedProxies string  `env:"OUTHOOK_TRUSTED_PROXIES" help:"Prefixes of the proxies in front of the API whose X-Forwarded-For tells a client's address, like 10.0.0.0/8. Without it, the address that connects counts."`

	metricsFlags
	logFlags
}

// server is what the flags mean, checked. Errors name the variable.
func (f serverFlags) server(logger *slog.Logger) (server, error) {
	s := server{flags: f, logger: logger, roles: roles{api: true, worker: true}}
	var err error

	if s.schedule, err = jobs.ParseSchedule(f.RetrySchedule); err != nil {
		return s, fmt.Errorf("OUTHOOK_RETRY_SCHEDULE: %w", err)
	}
	if s.allow, err = egress.ParsePrefixes(f.EgressAllow); err != nil {
		return s, fmt.Errorf("OUTHOOK_EGRESS_ALLOW: %w", err)
	}

	if err := f.checkRetention(); err != nil {
		return s, err
	}

	if s.ports, err = egress.ParsePorts(f.EgressPorts); err != nil {
		return s, fmt.Errorf("OUTHOOK_EGRESS_PORTS: %w", err)
	}
	if f.EgressCAFile != "" {
		if s.authorities, err = egress.ReadCAs(f.EgressCAFile); err != nil {
			return s, fmt.Errorf("OUTHOOK_EGRESS_CA_FILE: %w", err)
		}
	}

	if s.proxies, err = egress.ParsePrefixes(f.TrustedProxies); err != nil {
		return s, fmt.Errorf("OUTHOOK_TRUSTED_PROXIES: %w", err)
	}

	if err := f.checkLimits(); err != nil {
		return s, err
	}
	return s, s.setKeys()
}

func (f serverFlags) checkLimits() error {
	for _, limit := range []struct {
		name            string
		value, min, max int
	}{
		{"OUTHOOK_RESPONSE_BYTES", f.ResponseBytes, 1, 16384},
		{"OUTHOOK_MAX_WORKERS", f.MaxWorkers, 1, 10000},
		{"OUTHOOK_MAX_BULK_WORKERS", f.MaxBulkWorkers, 1, 10000},
		{"OUTHOOK_MAX_SLOW_WORKERS", f.MaxSlowWorkers, 1, 10000},
		{"OUTHOOK_MAX_LIMITED_WORKERS", f.MaxLimitedWorkers, 1, 10000},
		{"OUTHOOK_MAX_LANES", f.MaxLanes, 1, 10000},
		{"OUTHOOK_MAX_ENDPOINTS", f.MaxEndpoints, 1, 1000000},
		{"OUTHOOK_MAX_PAYLOAD_BYTES", f.MaxPayloadBytes, 1, outhook.MaxPayloadBytes},
		{"OUTHOOK_KEPT_JOB_RATE", f.KeptJobRate, 0, 1_000_000},
		{"OUTHOOK_MAX_REQUESTS", f.MaxRequests, 1, 1_000_000},
		{"OUTHOOK_FAILED_LOGINS", f.FailedLogins, 0, 1_000_000},
		{"OUTHOOK_MAX_BATCH_BYTES", f.MaxBatchBytes, 1, 256 << 20},
	} {
		if limit.value < limit.min || limit.value > limit.max {
			return fmt.Errorf("%s must be %d to %d", limit.name, limit.min, limit.max)
		}
	}

	if f.BulkRate != 0 && (f.BulkRate < 20 || f.BulkRate > 1_000_000) {
		return errors.New("OUTHOOK_BULK_RATE must be 0 or 20 to 1000000")
	}
	if f.MaxBatchBytes < f.MaxPayloadBytes {
		return fmt.Errorf("OUTHOOK_MAX_BATCH_BYTES (%d) is smaller than OUTHOOK_MAX_PAYLOAD_BYTES (%d): "+
			"a batch must hold at least one event", f.MaxBatchBytes, f.MaxPayloadBytes)
	}
	if !(f.RateLimit >= 0 && f.RateLimit <= 1_000_000) {
		return errors.New("OUTHOOK_RATE_LIMIT must be 0 to 1000000")
	}
	if f.MaxRetryAfter < time.Second || f.MaxRetryAfter > jobs.MaxDelay {
		return fmt.Errorf("OUTHOOK_MAX_RETRY_AFTER must be 1s to %v", jobs.MaxDelay)
	}
	return nil
}

// roles says what a process does.
type roles struct{ api, worker bool }

func parseRoles(list []string) (r roles, err error) {
	for _, name := range list {
		switch strings.TrimSpace(name) {
		case "api":
			r.api = true
		case "worker":
			r.worker = true
		default:
			return r, errors.New("OUTHOOK_ROLES must be api, worker, or both with a comma")
		}
	}

	if !r.api && !r.worker {
		return r, errors.New("OUTHOOK_ROLES is empty: give api, worker, or both with a comma")
	}
	return r, nil
}
