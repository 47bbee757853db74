package why

import (
	"fmt"
	"strings"

	"github.com/outhook/outhook/jobs/ledger"
)

// inLine finds deliveries that wait for those before them, which their endpoint gets in order. What is for later takes
// its place in line at its time.
func (e *explanation) inLine() bool {
	r := e.r
	if r.JobState != jobPending || !strings.HasPrefix(r.Queue, ledger.LineQueuePrefix) || !r.LiveWorkers {
		return false
	}
	if e.dueAt().After(r.DatabaseTime) && e.later() {
		return true
	}

	words := "it waits in line: its endpoint gets one event at a time"
	if r.OrderingKey != nil {
		words = "it waits in line: its endpoint gets events with the ordering key " + *r.OrderingKey + " one at a time"
	}

	switch {
	case r.LineState == "" && r.Ahead == 0:
		return e.because(becauseLine, r.NextAttemptAt, nil,
			"%s, and it is next: the pacer of a worker is about to release it", words)
	case r.LineState == "":
		return e.because(becauseLine, r.NextAttemptAt, nil, "%s; %s, and the first of them is about to be released",
			words, e.before())
	}

	now := fmt.Sprintf("event %s is under way", r.LineEvent)
	if r.LineState == jobRetryable || r.LineState == jobScheduled {
		now = fmt.Sprintf("event %s waits for its next attempt at %s", r.LineEvent, clock(&r.LineAt))
		e.a.Until = &r.LineAt
	}
	before := "" // beside that one
	if r.Ahead > 0 {
		before = "; of the others " + e.before()
	}
	return e.because(becauseLine, r.NextAttemptAt, e.a.Until, "%s, and %s%s", words, now, before)
}
