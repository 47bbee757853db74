package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	// anyWorker is the target of a fault that concerns all workers.
	anyWorker = "workers"

	// redelivery is what is measured of kill_after_answer besides: how long the delivery whose worker died waits for its
	// next attempt.
	redelivery kind = "redelivery_after_kill"
)

// recovery is how long targets of one kind of fault took until they did their work again: a worker sent a request, an
// API said that an event is committed, a client committed. Faults fall on one another, and so it includes others.
type recovery struct {
	N       int   `json:"n"`
	P50MS   int64 `json:"p50_ms"`
	WorstMS int64 `json:"worst_ms"`
}

// works returns when each target did its work, in order.
func (a *audit) works(l *ledger) map[string][]time.Time {
	works := maps.Clone(l.served)
	for _, req := range a.requests { // sorted by time
		for _, name := range []string{req.worker, anyWorker, req.delivery.String(), req.delivery.endpointID.String()} {
			works[name] = append(works[name], req.at)
		}
	}
	return works
}

// recoveries measures from each mark to the target's next work. A target that had no more work to do is not counted.
func (a *audit) recoveries(marks []mark, l *ledger) map[kind]recovery {
	works := a.works(l)
	times := map[kind][]int64{}

	for _, m := range marks {
		list := works[m.target]
		i, _ := slices.BinarySearchFunc(list, m.after, time.Time.Compare)
		if i < len(list) {
			times[m.kind] = append(times[m.kind], list[i].Sub(m.at).Milliseconds())
		}
	}

	found := map[kind]recovery{}
	for k, list := range times {
		slices.Sort(list)
		found[k] = recovery{N: len(list), P50MS: list[len(list)/2], WorstMS: list[len(list)-1]}
	}

	return found
}

// recoveryTable prints the recoveries below the report.
func (r *report) recoveryTable(tw *tabwriter.Writer) {
	fmt.Fprintf(tw, "recovery\tn\tp50, worst\n")
	for _, k := range slices.Sorted(maps.Keys(r.Recovery)) {
		v := r.Recovery[k]
		fmt.Fprintf(tw, "  %s\t%d\t%d ms, %d ms\n", k, v.N, v.P50MS, v.WorstMS)
	}
}
