package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// Scenarios: what one endpoint or tenant does to the others.
const (
	ScenarioDead    = "dead"    // 20 endpoints, of which 4 hang and 2 refuse
	ScenarioBurst   = "burst"   // one tenant enqueues many events at once, another 10 a second
	ScenarioBacklog = "backlog" // one endpoint that answers in 2 s has a long backlog
	ScenarioSpread  = "spread"  // one endpoint with many events, and many endpoints with one event each
	ScenarioLimited = "limited" // one endpoint with a rate limit of 50/s has a long backlog, with three workers
	ScenarioOrder   = "order"   // 1 ordered endpoint, and 1,000 of them beside 1,000 that are not
	ScenarioReplay  = "replay"  // all deliveries of one endpoint are ordered again
	ScenarioFanOut  = "fanout"  // one tenant sends batches to 1,000 endpoints, another 10 events a second
	ScenarioHostile = "hostile" // one key does what costs most, all at once, beside another tenant's 10 events a second
	// ScenarioStranger is a database login without rights that notifies and takes locks, beside a change of the leader.
	ScenarioStranger = "stranger"

	ScenarioSchedule = "schedule" // endpoints of all kinds refuse, while worker processes are killed and frozen
	ScenarioFrozen   = "frozen"   // one of two worker processes stands still in the middle of what it does
	ScenarioLocked   = "locked"   // somebody's transaction locks a delivery and a job
	ScenarioSteer    = "steer"    // an endpoint with a long backlog is enabled, disabled and deleted
)

// Scenarios returns their names.
func Scenarios() []string {
	return []string{
		ScenarioDead, ScenarioBurst, ScenarioBacklog, ScenarioSpread, ScenarioLimited, ScenarioOrder, ScenarioReplay,
		ScenarioFanOut, ScenarioHostile, ScenarioStranger,
		ScenarioSchedule, ScenarioFrozen, ScenarioLocked, ScenarioSteer,
	}
}

// RunScenario runs one scenario on a system of its own.
func RunScenario(ctx context.Context, cfg Config) (r *ScenarioReport, err error) {
	if !slices.Contains(Scenarios(), cfg.Mode) {
		return nil, fmt.Errorf("%s is no scenario", cfg.Mode)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.URL != "" || len(cfg.Baselines) > 0 {
		return nil, errors.New("--url and --baseline do not go with a scenario: it has a system of its own")
	}
	if cfg.Workers == 0 {
		return nil, errors.New("a scenario needs workers: leave out --workers 0")
	}

	dir, err := os.MkdirTemp("", "outhook-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)                      //nolint:errcheck // a temporary folder
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // where we are root, the database's user must get through
		return nil, fmt.Errorf("opening a folder: %w", err)
	}

	s, err := startSystem(ctx, cfg, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if cfg.Against != "" {
		return s.compareAll(func(s *system) (*ScenarioReport, error) { return s.scenario(ctx) })
	}
	return s.scenario(ctx)
}

// scenario makes a database and a receiver, and runs what is asked for.
func (s *system) scenario(ctx context.Context) (r *ScenarioReport, err error) {
	st := &stage{system: s, database: "bench_scenario", parts: map[string][]*process{}}
	pool, drop, err := s.newDatabase(ctx, st.database)
	if err != nil {
		return nil, err
	}
	st.pool = pool
	defer drop()
	defer func() { err = errors.Join(err, st.close()) }()
	receiver, err := s.spawnKind(KindCrowd, nil)
	if err != nil {
		return nil, err
	}
	st.add("receiver", receiver)
	address, err := receiver.value(ctx, addressPrefix, "\n")
	if err != nil {
		return nil, err
	}
	st.receiver = newRemote("http://" + address)

	server, url, err := s.serve(ctx, st.database, "api")
	if err != nil {
		return nil, err
	}
	st.add("api", server)

	p := &play{stage: st, url: url, r: &ScenarioReport{Scenario: s.cfg.Mode, OK: true}}
	run := map[string]func(context.Context) error{
		ScenarioDead:    p.dead,
		ScenarioBurst:   p.burst,
		ScenarioBacklog: p.backlogged,
		ScenarioSpread:  p.spread,
		ScenarioLimited: p.limited,
		ScenarioOrder:   p.inOrder,
		ScenarioReplay:  p.replayed,
		ScenarioFanOut:  p.fanOut,
		ScenarioHostile: p.hostile,

		ScenarioStranger: p.stranger,

		ScenarioSchedule: p.scheduled,
		ScenarioFrozen:   p.frozen,
		ScenarioLocked:   p.locked,
		ScenarioSteer:    p.steer,
	}[s.cfg.Mode]
	if err := run(ctx); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.cfg.Mode, err)
	}
	return p.r, nil
}

// refusing returns a URL at which nobody listens.
func refusing(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	url := "http://" + l.Addr().String() + "/"
	return url, l.Close()
}
