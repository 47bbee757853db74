package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/outhook/outhook/internal/bench"
)

type benchCmd struct {
	Mode string `arg:"" optional:"" default:"rest" enum:"rest,batch,client,drain,dead,burst,backlog,spread,limited,order,replay,fanout,hostile,stranger,schedule,frozen,locked,steer,retention" help:"How events are enqueued: rest (an event per request), batch, client (outhook.Enqueue in a transaction with one business INSERT), or drain (all first, then the workers start). Or what one does to the others: dead (4 of 20 endpoints hang, 2 refuse), burst (of one tenant), backlog (of an endpoint that takes 2 s), spread (1 endpoint with many events, many with 1), limited (50/s), order (1 ordered endpoint, 1,000 beside 1,000 that are not), replay (of what one endpoint got), fanout (batches to 1,000 endpoints), hostile (one key does what costs most), stranger (a database login without rights notifies and locks), schedule (all endpoints refuse, workers are killed and frozen), frozen (one of two workers), locked (rows, by somebody), steer (an endpoint with a backlog is enabled, disabled, deleted). Or retention: 10 of 40 days are dropped while events are enqueued at --rate (300)."`

	Conns        int           `default:"64" help:"Connections that enqueue at the same time."`
	Rate         float64       `help:"Enqueues a second, at fixed times; 0: as fast as the connections go."`
	Duration     time.Duration `default:"10s" help:"How long to enqueue (not in mode drain)."`
	Events       int           `help:"Events of mode drain (50000) or of a scenario: burst 200000 (30000 by loop or trigger), backlog and steer 100000, replay 50000, order 20000, spread and limited 10000, schedule 1000."`
	BatchSize    int           `default:"100" help:"Events a request of mode batch."`
	PayloadBytes int           `default:"1024" help:"Size of each payload."`
	AnswerBytes  int           `default:"2" help:"Size of the receiver's answers."`
	FailFirst    int           `help:"How often the receiver refuses each delivery."`
	Endpoints    int           `default:"1" help:"Endpoints that get each event."`
	Tenants      int           `default:"1" help:"Tenants whose events they are in turn, each with so many endpoints."`
	Workers      int           `default:"1" help:"Worker processes; 0: enqueue only."`
	APIs         int           `name:"apis" default:"1" help:"API processes; the connections are divided among them."`
	Preload      int           `help:"Delivered events in the tables before, over 40 days (mode retention: 2000000)."`
	Keyed        bool          `help:"Give each event of mode rest an idempotency key."`
	Svix         bool          `help:"Send the events of mode rest as messages to POST /svix/api/v1/app/{app}/msg, as Svix's SDKs do: with an idempotency key each. They are measured in turn with POST /api/events."`
	Viewers      int           `help:"People who look at the console's pages Live and Overview meanwhile; all is measured without them in turn, twice, so that what they cost can be told from noise."`
	Pairs        int           `default:"1" help:"How often all is measured, baselines in turn; the figures are medians."`
	Baseline     []string      `enum:"river,postgres" help:"Measure this too, in the same run: river (bare River, without a log) or postgres (the rows by plain SQL; with client --workers 0)."`
	Against      string        `type:"existingfile" help:"Measure this outhook binary too, in the same run and with its own schema: the ratios of pairs with their spread."`
	AnyMachine   bool          `help:"Accept a baseline that is far from that of the machine in docs/performance.md."`
	JSON         bool          `name:"json" help:"Print JSON."`

	Way      string          `default:"call" enum:"call,loop,trigger" help:"How burst enqueues, in one transaction: call (of many events each), loop (a call for each), trigger (for each row)."`
	Schedule []time.Duration `default:"1s,3s,9s,27s" help:"Delays between attempts of schedule."`
	Faults   bool            `default:"true" negatable:"" help:"Kill and freeze workers in schedule."`
	Seed     uint64          `default:"1" help:"What decides when, in schedule."`
	Freeze   time.Duration   `default:"60s" help:"How long frozen freezes a worker, and locked locks rows."`

	URL             string `name:"url" help:"Measure this running server instead of one of the benchmark's own."`
	Key             string `env:"OUTHOOK_API_KEY" secret:"" help:"Its API key."`
	ReceiverAddress string `default:"127.0.0.1:9100" help:"Where to receive from it; it must be allowed to deliver there (OUTHOOK_EGRESS_ALLOW, OUTHOOK_EGRESS_PORTS=any, OUTHOOK_EGRESS_ALLOW_HTTP=true)."`
}

// Run measures and prints the report.
func (b *benchCmd) Run(c *command) error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}

	cfg := bench.Config{
		Mode: b.Mode,
		Load: bench.Load{
			Conns: b.Conns, Rate: b.Rate, Duration: b.Duration, Count: b.Events, BatchSize: b.BatchSize,
		},
		Events: bench.Events{
			PayloadBytes: b.PayloadBytes, AnswerBytes: b.AnswerBytes, FailFirst: b.FailFirst, Endpoints: b.Endpoints,
			Tenants: b.Tenants, Preload: b.Preload, Viewers: b.Viewers, Keyed: b.Keyed, Svix: b.Svix,
		},
		Processes:  bench.Processes{APIs: b.APIs, Workers: b.Workers, Executable: executable},
		Comparison: bench.Comparison{Pairs: b.Pairs, Baselines: b.Baseline, Against: b.Against, AnyMachine: b.AnyMachine},
		Target:     bench.Target{URL: b.URL, Key: b.Key, ReceiverAddress: b.ReceiverAddress},
		Staging:    bench.Staging{Way: b.Way, Schedule: b.Schedule, Faults: b.Faults, Seed: b.Seed, Freeze: b.Freeze},
	}
	if cfg.Count == 0 {
		cfg.Count = bench.DefaultEvents(cfg.Mode, cfg.Way)
	}

	if slices.Contains(bench.Scenarios(), cfg.Mode) {
		return b.scenario(c, cfg)
	}

	if f, ok := c.stderr.(*os.File); ok && isTerminal(f) {
		cfg.Progress = f
	}

	if b.Mode == bench.ModeRetention {
		return b.measureRetention(c, cfg)
	}

	report, err := bench.Run(c.ctx, cfg)
	if err != nil {
		return err
	}

	if b.JSON {
		err = report.WriteJSON(c.stdout)
	} else {
		err = report.WriteTable(c.stdout)
	}

	switch {
	case err != nil:
		return fmt.Errorf("writing the report: %w", err)
	case report.Lost > 0:
		return fmt.Errorf("%d deliveries were lost", report.Lost)
	case report.Void != "":
		return errors.New("the run is void")
	case report.Watching != nil && !report.Watching.OK:
		return errors.New("a promise is broken")
	}
	return nil
}

// scenario runs a scenario and fails if one of its promises is broken.
func (b *benchCmd) scenario(c *command, cfg bench.Config) error {
	report, err := bench.RunScenario(c.ctx, cfg)
	if err != nil {
		return err
	}

	if b.JSON {
		err = report.WriteJSON(c.stdout)
	} else {
		err = report.WriteTable(c.stdout)
	}

	switch {
	case err != nil:
		return fmt.Errorf("writing the report: %w", err)
	case !report.OK:
		return errors.New("a promise is broken")
	}
	return nil
}
