package main

import (
	"time"

	"github.com/outhook/outhook/jobs"
)

// endpointFlags configure when an endpoint is failing, what follows, and how fast it gets what it missed.
type endpointFlags struct {
	FailingFailures int           `env:"OUTHOOK_FAILING_FAILURES" default:"5" help:"Failed attempts in a row that make an endpoint failing."`
	DisableAfter    time.Duration `env:"OUTHOOK_DISABLE_AFTER" default:"120h" help:"How long an endpoint may fail without any success before it is disabled. 0: for ever."`
	DisableFailures int           `env:"OUTHOOK_DISABLE_FAILURES" default:"20" help:"Failed attempts in a row that this takes at least."`
	ProbeAfter      time.Duration `env:"OUTHOOK_PROBE_AFTER" default:"1h" help:"How long after it was disabled for failing an endpoint gets a test event, whose success enables it; doubles four times. 0: never."`
	ReplayBacklog   int           `env:"OUTHOOK_REPLAY_BACKLOG" default:"1000" help:"How many deliveries may wait in the queue of bursts while an operation (recover, replay) goes on; with more, it waits."`
}

// setEndpoints returns cfg with what the flags say.
func (f endpointFlags) setEndpoints(cfg jobs.Config) jobs.Config {
	cfg.FailingFailures, cfg.DisableFailures = f.FailingFailures, f.DisableFailures
	cfg.DisableAfter, cfg.ProbeAfter = orNever(f.DisableAfter), orNever(f.ProbeAfter)
	cfg.ReplayBacklog = f.ReplayBacklog
	return cfg
}

// orNever turns the 0 of a flag, which means never, into what it is in jobs.Config.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
