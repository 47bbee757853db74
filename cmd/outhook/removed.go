package main

import (
	"fmt"
	"strings"
)

// removed holds the settings that there were, by their variables, and what holds in their place: nobody could choose
// them well. Who still has one is told, since what it said does not hold any more.
func removed() map[string]string {
	// In words, since that is what people get to read; a test compares the numbers.
	return map[string]string{
		"OUTHOOK_BULK_RATE":           "beside others at most 1000 deliveries of bursts begin a second for each processor",
		"OUTHOOK_DISABLE_FAILURES":    "an endpoint is disabled after 20 failed attempts in a row at the earliest",
		"OUTHOOK_FAILING_FAILURES":    "5 failed attempts in a row make an endpoint failing",
		"OUTHOOK_KEPT_JOB_RATE":       "a process keeps 20 of River's jobs of succeeded deliveries a second for River UI",
		"OUTHOOK_MAX_BATCH_BYTES":     "the largest body of POST /api/events/batch is 8388608 bytes",
		"OUTHOOK_MAX_BULK_WORKERS":    "a process attempts 100 deliveries of bursts at the same time",
		"OUTHOOK_MAX_LANES":           "1000 slow endpoints have a queue of their own, and any more share that of bursts",
		"OUTHOOK_MAX_LIMITED_WORKERS": "200 deliveries to endpoints with a rate limit are attempted at the same time",
		"OUTHOOK_MAX_REQUESTS":        "5000 requests are served at the same time, and one more gets 503",
		"OUTHOOK_MAX_RETRY_AFTER":     "an answer's Retry-After may ask for a wait of 1h at most",
		"OUTHOOK_REPLAY_BACKLOG":      "an operation waits while 1000 deliveries wait in the queue of bursts",
	}
}

// removedFlag returns what holds in place of the first flag among the arguments whose setting was removed, or nil.
func removedFlag(args []string) error {
	for _, arg := range args {
		flag, ok := strings.CutPrefix(arg, "--")
		if !ok {
			continue
		}
		flag, _, _ = strings.Cut(flag, "=")

		name := variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		if holds, ok := removed()[name]; ok {
			return fmt.Errorf("--%s is no setting any more: %s; leave it out", flag, holds)
		}
	}
	return nil
}
