package main

import "time"

// endpointFlags configure when an endpoint is failing, what follows, and how fast it gets what it missed.
type endpointFlags struct {
	FailingFailures int           `env:"OUTHOOK_FAILING_FAILURES" default:"${failing_failures}" help:"Failed attempts in a row that make an endpoint failing."`
	DisableAfter    time.Duration `env:"OUTHOOK_DISABLE_AFTER" default:"${disable_after}" help:"How long an endpoint may fail without any success before it is disabled. 0: for ever."`
	DisableFailures int           `env:"OUTHOOK_DISABLE_FAILURES" default:"${disable_failures}" help:"Failed attempts in a row that this takes at least."`
	ProbeAfter      time.Duration `env:"OUTHOOK_PROBE_AFTER" default:"${probe_after}" help:"How long after it was disabled for failing an endpoint gets a test event, whose success enables it; doubles four times. 0: never."`
	ReplayBacklog   int           `env:"OUTHOOK_REPLAY_BACKLOG" default:"${replay_backlog}" help:"How many deliveries may wait in the queue of bursts while an operation (recover, replay) goes on; with more, it waits."`
}
