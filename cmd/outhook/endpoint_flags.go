package main

import "time"

// endpointFlags configure what follows when an endpoint fails.
type endpointFlags struct {
	DisableAfter time.Duration `env:"OUTHOOK_DISABLE_AFTER" default:"${disable_after}" help:"How long an endpoint may fail without any success before it is disabled. 0: for ever."`
	ProbeAfter   time.Duration `env:"OUTHOOK_PROBE_AFTER" default:"${probe_after}" help:"How long after it was disabled for failing an endpoint gets a test event, whose success enables it; doubles four times. 0: never."`
}
