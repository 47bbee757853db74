package main

import (
	"cmp"
	"slices"
	"time"
)

// kind is a kind of fault.
type kind string

// The kinds of faults. A wire is the network between one process, or the clients, and Postgres.
const (
	killWorker      kind = "kill_worker"       // SIGKILL
	killAPI         kind = "kill_api"          // SIGKILL
	killAfterAnswer kind = "kill_after_answer" // SIGKILL to the worker whose request a receiver has just answered
	pauseWorker     kind = "pause_worker"      // SIGSTOP, later SIGCONT
	pauseAPI        kind = "pause_api"         // SIGSTOP, later SIGCONT
	stopWorker      kind = "stop_worker"       // SIGTERM
	stopAPI         kind = "stop_api"          // SIGTERM
	cutWire         kind = "cut_wire"          // connections closed, new ones refused
	resetWire       kind = "reset_wire"        // connections reset at the next byte
	deafWire        kind = "deaf_wire"         // nothing passes, nothing is closed: half-open
	slowWire        kind = "slow_wire"         // latency and jitter
	thinWire        kind = "thin_wire"         // 20 KB/s
	breakWire       kind = "break_wire"        // closed in the middle of a message
	killPostgres    kind = "kill_postgres"     // SIGKILL, recovery
	restartPostgres kind = "restart_postgres"  // fast shutdown and start
	loseAnswer      kind = "lose_answer"       // one answer of Postgres is dropped, and its connection closed
	setClock        kind = "set_clock"         // 2 minutes ahead or behind, while the worker runs
	pauseEndpoint   kind = "pause_endpoint"    // a person's order: paused, later enabled
	replayDelivery  kind = "replay_delivery"   // a person's order
	rotateSecret    kind = "rotate_secret"     // a person's order

	disableEndpoint kind = "disable_endpoint" // a person's orders: paused, disabled under the backlog, enabled, recovered
	deleteEndpoint  kind = "delete_endpoint"  // a person's orders: created, deleted under its backlog
	lockRow         kind = "lock_row"         // a person's SELECT … FOR UPDATE, left open
	burstByLoop     kind = "burst_by_loop"    // an application's transaction with many calls of Enqueue
	burstByTrigger  kind = "burst_by_trigger" // an application's INSERT of many rows, each of which a trigger reports

	// SIGSTOP to a worker that is in a transaction, for up to a minute.
	freezeInTransaction kind = "freeze_in_transaction"

	// Those that last for minutes are asked for.
	freezeAfterAnswer kind = "freeze_after_answer" // as killAfterAnswer, with a SIGSTOP for longer than the rescue
	outage            kind = "outage"              // Postgres killed and away
)

// fault is one planned fault.
type fault struct {
	at     time.Duration // from the start
	kind   kind
	target int           // which process or wire, modulo their number
	length time.Duration // how long it lasts, where that means something
	size   int64         // bytes, where that means something
}

// weights say how often each kind is drawn.
func weights() []struct {
	kind   kind
	weight int
} {
	return []struct {
		kind   kind
		weight int
	}{
		// Processes.
		{killAfterAnswer, 10},
		{killWorker, 4},
		{killAPI, 4},
		{pauseWorker, 4},
		{pauseAPI, 3},
		{stopWorker, 3},
		{stopAPI, 3},
		{freezeInTransaction, 2},

		// Wires.
		{cutWire, 5},
		{resetWire, 4},
		{deafWire, 3},
		{slowWire, 4},
		{thinWire, 2},
		{breakWire, 4},
		{loseAnswer, 8},

		// Postgres.
		{killPostgres, 2},
		{restartPostgres, 2},

		// Clocks and people.
		{setClock, 3},
		{pauseEndpoint, 3},
		{replayDelivery, 5},
		{rotateSecret, 3},
		{disableEndpoint, 3},
		{deleteEndpoint, 2},

		// Other users of the database.
		{lockRow, 5},
		{burstByLoop, 2},
		{burstByTrigger, 2},
	}
}

const (
	// minFault is the shortest fault of those that are drawn, and maxFault how much longer one may be.
	minFault = 200 * time.Millisecond
	maxFault = 6 * time.Second

	// The same of freezeInTransaction, and of lockRow.
	minFreeze, maxFreeze   = 5 * time.Second, 60 * time.Second
	minRowLock, maxRowLock = 5 * time.Second, 30 * time.Second

	// freezeLength is longer than a rescue: 75 s, and up to 30 s until River's rescuer looks.
	freezeLength = 120 * time.Second
	outageLength = 180 * time.Second
)

// plan draws the faults of a run: the same for the same seed and flags.
func plan(o options) []fault {
	rng := draw(o.Seed, streamFaults, 0, 0)
	total := 0
	for _, w := range weights() {
		total += w.weight
	}

	var faults []fault
	if o.Long {
		faults = append(faults,
			fault{at: o.Duration / 10, kind: freezeAfterAnswer, length: freezeLength},
			fault{at: o.Duration / 2, kind: outage, length: outageLength})
	}

	for at := time.Second; ; {
		at += time.Duration(rng.ExpFloat64() * float64(o.Every))
		f := fault{
			at: at, target: rng.IntN(60), length: minFault + time.Duration(rng.Int64N(int64(maxFault))),
			size: 1 + rng.Int64N(8000),
		}

		p := rng.IntN(total)
		for _, w := range weights() {
			if p -= w.weight; p < 0 {
				f.kind = w.kind
				break
			}
		}

		if at >= o.Duration {
			slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
			return faults
		}

		if f.kind != setClock || o.Clocks {
			faults = append(faults, f)
		}
	}
}
