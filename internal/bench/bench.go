// Package bench measures Outhook, and River and Postgres without Outhook beside it. Everything that takes part is a
// process of its own, as in production: Postgres, the API, the workers, the receiver, and this process as the client.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Modes of a run: how events are enqueued.
const (
	ModeREST   = "rest"   // POST /api/events, one event a request
	ModeBatch  = "batch"  // POST /api/events/batch
	ModeClient = "client" // outhook.Enqueue in a transaction with one business INSERT
	ModeDrain  = "drain"  // all events first, then the workers start
)

// Baselines.
const (
	BaselineRiver    = "river"    // bare River: InsertTx (or a backlog, in mode drain) and POST; no log, no signature
	BaselinePostgres = "postgres" // the business INSERT and the rows of an event by plain SQL, without NOTIFY
	BaselineEvents   = "events"   // the events of Events.Svix by POST /api/events
)

// Config says what is measured.
type Config struct {
	// Mode is one of the modes above.
	Mode string

	Load
	Events
	Processes
	Comparison
	Target
	Staging

	// Tenant is whose events they are; of several tenants their names' beginning.
	//
	// Defaults to "bench".
	Tenant string

	// Progress gets a progress bar. Nil: none.
	Progress io.Writer
}

// Load is how much is enqueued, and how fast.
type Load struct {
	// Conns is the number of connections that enqueue at the same time.
	Conns int

	// Rate is the number of enqueues a second, started at fixed times whether the ones before have ended or not: times
	// count from when an enqueue was due. 0: as fast as Conns connections go, each after the one before.
	Rate float64

	// Duration is how long is enqueued, in every mode but drain.
	Duration time.Duration

	// Count is how many events are enqueued in mode drain.
	Count int

	// BatchSize is the number of events of a request in mode batch.
	BatchSize int
}

// Events is what the events are like, and what stands in the tables before.
type Events struct {
	// PayloadBytes is the size of each payload, at least 64.
	PayloadBytes int

	// AnswerBytes is the size of the receiver's answer.
	AnswerBytes int

	// FailFirst is how often the receiver answers 500 to each delivery before it takes it; retries then come after 1 s.
	FailFirst int

	// Endpoints is the number of endpoints that get each event.
	Endpoints int

	// Tenants is the number of tenants, whose events they are in turn. Each has so many endpoints.
	//
	// Defaults to 1.
	Tenants int

	// Preload is how many delivered events stand in the tables before, spread over 40 days.
	Preload int

	// Keyed gives each event of mode rest an idempotency key.
	Keyed bool

	// Svix sends the events of mode rest as messages, to the calls that Svix's SDKs make, and as they do: with an
	// idempotency key each. Where the API is the benchmark's own, they are measured in turn with POST /api/events.
	Svix bool

	// Viewers is how many people look at the console's pages Live and Overview meanwhile. All is measured without them,
	// too, twice: see [Watching].
	Viewers int
}

// Processes are those of Outhook that are measured.
type Processes struct {
	// APIs is the number of API processes, among which the connections are divided.
	//
	// Defaults to 1.
	APIs int

	// Workers is the number of worker processes. 0: events are enqueued and not delivered.
	Workers int

	// Executable is the outhook binary, started with the arguments of its commands.
	Executable string
}

// Comparison is what Outhook is measured beside.
type Comparison struct {
	// Pairs is how often all is measured, each time with the baselines in turn. Figures are medians.
	Pairs int

	// Baselines are measured in turn with Outhook.
	Baselines []string

	// Against is another outhook binary that is measured in turn with this one. "": none.
	Against string

	// AnyMachine accepts baselines that are not near those of the machine in docs/performance.md.
	AnyMachine bool
}

// Target is a running server that is measured instead of one of our own.
type Target struct {
	// URL and Key are the server's. Then the receiver listens on ReceiverAddress, which the server must reach.
	URL, Key, ReceiverAddress string
}

// Staging is how a scenario is played.
type Staging struct {
	// Way is how a burst is enqueued: WayCall, WayLoop or WayTrigger.
	//
	// Defaults to WayCall.
	Way string

	// Schedule is the delays between attempts of the scenario schedule.
	Schedule []time.Duration

	// Faults says whether worker processes are killed and frozen in the scenario schedule, at moments that Seed decides.
	Faults bool
	Seed   uint64

	// Freeze is for how long a process stands still, or rows are locked, in the scenarios frozen and locked.
	Freeze time.Duration
}

// Validate checks what the flags allow and the benchmark does not. Errors name the flag.
func (c Config) Validate() error {
	for _, limit := range []struct {
		flag            string
		value, min, max int
	}{
		{"--conns", c.Conns, 1, 1000},
		{"--events", c.Count, 1, 10_000_000},
		{"--batch-size", c.BatchSize, 1, 1000},
		{"--payload-bytes", c.PayloadBytes, 64, 262_144},
		{"--answer-bytes", c.AnswerBytes, 0, 1 << 20},
		{"--fail-first", c.FailFirst, 0, 3},
		{"--endpoints", c.Endpoints, 1, 1000},
		{"--tenants", c.Tenants, 0, 10_000},
		{"--workers", c.Workers, 0, 16},
		{"--apis", c.APIs, 0, 16},
		{"--preload", c.Preload, 0, 100_000_000},
		{"--pairs", c.Pairs, 1, 100},
		{"--viewers", c.Viewers, 0, 200},
	} {
		if limit.value < limit.min || limit.value > limit.max {
			return fmt.Errorf("%s must be %d to %d", limit.flag, limit.min, limit.max)
		}
	}

	switch {
	case c.Rate < 0 || c.Rate > 100_000:
		return errors.New("--rate must be 0 to 100000 a second")
	case c.Duration < time.Second || c.Duration > time.Hour:
		return errors.New("--duration must be 1s to 1h")
	case c.Freeze < 0 || c.Freeze > time.Hour:
		return errors.New("--freeze must be 0s to 1h")
	case c.URL != "" && (c.Mode == ModeClient || c.Mode == ModeDrain):
		return errors.New("--url needs the mode rest or batch: the others reach the database")
	case c.URL != "" && (len(c.Baselines) > 0 || c.Against != ""):
		return errors.New("--baseline and --against need a server of the benchmark's own: leave out --url")
	case slices.Contains(c.Baselines, BaselinePostgres) && (c.Mode != ModeClient || c.Workers != 0):
		return errors.New("--baseline postgres compares enqueuing alone: use the mode client with --workers 0")
	case slices.Contains(c.Baselines, BaselineRiver) && c.Workers == 0:
		return errors.New("--baseline river needs workers: leave out --workers 0")
	case c.Viewers > 0 && (c.Mode == ModeDrain || c.URL != "" || len(c.Baselines) > 0 || c.Against != ""):
		return errors.New("--viewers has baselines of its own, and needs an API of the benchmark's own while events are " +
			"enqueued: leave out --url, --baseline, --against and the mode drain")
	case (c.Svix || c.Keyed) && c.Mode != ModeREST:
		return errors.New("--svix and --keyed need the mode rest")
	case c.Mode == ModeDrain && c.Workers == 0:
		return errors.New("the mode drain needs workers: leave out --workers 0")
	}
	return nil
}

// Run measures. It ends early, with ctx.Err, when ctx does; everything that it started is stopped.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}

	cfg.Tenant = cmp.Or(cfg.Tenant, "bench")
	if cfg.URL != "" {
		return runRemote(ctx, cfg)
	}

	if cfg.Viewers > 0 {
		cfg.Baselines = []string{BaselineUnwatched, BaselineAgain}
	}
	if cfg.Svix {
		cfg.Baselines = append(slices.Clone(cfg.Baselines), BaselineEvents)
	}
	if cfg.Against != "" {
		cfg.Baselines = append(slices.Clone(cfg.Baselines), BaselineAgainst)
	}
	var report *Report
	err := withSystem(ctx, cfg, func(s *system) (err error) {
		report, err = s.measureAll(ctx)
		return err
	})
	return report, err
}

// tenant returns whose event the nth is.
func (c Config) tenant(n int64) string {
	if c.Tenants <= 1 {
		return c.Tenant
	}
	return c.Tenant + "-" + strconv.FormatInt(n%int64(c.Tenants), 10)
}

// withSystem starts what a benchmark on this machine needs, and stops it in the end.
func withSystem(ctx context.Context, cfg Config, measure func(*system) error) error {
	dir, err := os.MkdirTemp("", "outhook-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)                      //nolint:errcheck // a temporary folder
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // where we are root, the database's user must get through
		return fmt.Errorf("opening a folder: %w", err)
	}

	s, err := startSystem(ctx, cfg, dir)
	if err != nil {
		return err
	}
	return errors.Join(measure(s), s.stop(ctx))
}

// measureAll measures each pair: Outhook, then the baselines.
func (s *system) measureAll(ctx context.Context) (*Report, error) {
	r := newReport(s.cfg)
	for pair := range s.cfg.Pairs {
		names := append([]string{""}, s.cfg.Baselines...)
		if pair%2 == 1 { // no order is always the first
			slices.Reverse(names)
		}

		for _, name := range names {
			figures, err := s.measure(ctx, name, pair)
			if err != nil {
				return nil, fmt.Errorf("measuring %s: %w", cmpName(name), err)
			}
			r.add(name, figures)
		}
	}

	r.finish()
	return r, nil
}

func cmpName(baseline string) string {
	switch baseline {
	case "":
		return "outhook"
	case BaselineAgainst, BaselineUnwatched, BaselineAgain:
		return baseline
	case BaselineEvents:
		return "/api/events"
	}
	return "bare " + strings.ToUpper(baseline[:1]) + baseline[1:]
}
