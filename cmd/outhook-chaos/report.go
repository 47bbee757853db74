package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a run found. Its JSON keys are a stable format: keys are added, never renamed.
type report struct {
	Seed      uint64  `json:"seed"`
	DurationS float64 `json:"duration_s"`
	SettledS  float64 `json:"settled_s"` // from the end of the faults until nothing was pending

	// What the clients were told.
	Accepted   int            `json:"accepted"` // told that it is committed
	ByClient   map[string]int `json:"accepted_by_client"`
	RolledBack int            `json:"rolled_back"`
	InDoubt    int            `json:"in_doubt"` // the connection was cut during COMMIT, or the API gave no verdict
	Refused    int            `json:"refused"`

	// What the tables hold.
	Committed  int            `json:"committed"`
	Deliveries int            `json:"deliveries"`
	Delivered  int            `json:"delivered"` // a receiver answered 2xx
	Withdrawn  int            `json:"withdrawn"` // events that were taken back before they were due
	Exhausted  int            `json:"exhausted"` // failed, after as many known failures as the schedule allows
	Attempts   int            `json:"attempts"`
	Requests   int            `json:"requests"`                 // in the receivers' log
	NoStatus   map[string]int `json:"attempts_without_status"`  // by outcome
	NoRequest  map[string]int `json:"attempts_without_request"` // those of them that no receiver saw, by outcome

	// The promises. Each must be 0.
	Lost             int `json:"lost"`                 // accepted or committed, and not delivered
	Phantom          int `json:"phantom"`              // rolled back, and stored or delivered
	Doubled          int `json:"doubled"`              // enqueued once, stored twice
	Torn             int `json:"torn"`                 // an order without its event, or the other way round
	Unsettled        int `json:"unsettled"`            // still pending, or a job still live
	FailedEarly      int `json:"failed_early"`         // failed with tries left, or cancelled
	Unfounded        int `json:"unfounded"`            // succeeded, and no receiver answered 2xx
	Holes            int `json:"holes"`                // numbers missing in the attempt log
	RequestsNoRow    int `json:"requests_without_row"` // in a receiver's log, and not in the attempt log
	RequestsTwice    int `json:"requests_twice"`       // two requests with one number
	RowsNoRequest    int `json:"rows_without_request"` // a row whose request no receiver saw, and no cause on record
	StatusMismatches int `json:"status_mismatches"`    // a row with another status code than was answered
	Forged           int `json:"forged"`               // a body or signature that is not as it should be
	ReplaysLost      int `json:"replays_lost"`         // ordered, and not attempted
	SentThoughBack   int `json:"sent_though_back"`     // though its publisher had taken it back before it was due
	RequestsAfterEnd int `json:"requests_after_end"`   // to an endpoint that had been disabled or deleted for some time
	OutOfOrder       int `json:"out_of_order"`         // of one key, after a later event
	Early            int `json:"early"`                // left before the schedule said
	Late             int `json:"late"`                 // left later than it may, beyond what excuses it

	// Scheduled are the attempts that were held against their schedule, by class. LateByClass are those of Late, and the
	// others how late they were beyond what excuses it.
	Scheduled   map[class]int   `json:"scheduled"`
	LateByClass map[class]int   `json:"late_by_class"`
	LateP50MS   map[class]int64 `json:"late_p50_ms"`
	LateP99MS   map[class]int64 `json:"late_p99_ms"`
	LateWorstMS map[class]int64 `json:"late_worst_ms"`

	Raced int `json:"raced"` // sent again though its success was recorded and nobody ordered it

	Duplicates        int            `json:"duplicates"` // 2xx answers beyond the first of a delivery
	DuplicatesByCause map[string]int `json:"duplicates_by_cause"`

	Faults     map[kind]int `json:"faults"`
	FaultCount int          `json:"fault_count"`
	// CrashesAfterAnswer counts workers killed just after a receiver had answered, Unrecorded those whose attempt was not
	// recorded: crashes between answer and record.
	CrashesAfterAnswer int `json:"crashes_after_answer"`
	Unrecorded         int `json:"crashes_unrecorded"`
	// FrozenRequests are the requests of each delivery whose worker was paused between answer and record: two, the paused
	// one and the one of the rescue.
	FrozenRequests []int `json:"frozen_requests"`
	// InOrder are the requests with an ordering key whose order was compared.
	InOrder int `json:"in_order"`
	// UnorderedExits counts processes that ended by themselves, as when they start without a database.
	UnorderedExits int `json:"unordered_exits"`

	LongestStallMS int64 `json:"longest_stall_ms"` // the longest time without any request at any receiver
	StallAtMS      int64 `json:"longest_stall_at_ms"`
	LatencyP50MS   int64 `json:"latency_p50_ms"` // from the enqueue to the first 2xx answer
	LatencyP99MS   int64 `json:"latency_p99_ms"`
	LatencyWorstMS int64 `json:"latency_worst_ms"`

	// Recovery is how long each kind of fault was felt after it was over.
	Recovery map[kind]recovery `json:"recovery"`

	Replays       int   `json:"replays"`          // orders to deliver again that the API said are carried out
	ReconciledMS  int64 `json:"reconciled_ms"`    // how long it took to compare the ledgers
	LatencyOver10 int   `json:"latency_over_10s"` // deliveries

	// Broken says which promises are, with an example each.
	Broken []string `json:"broken"`
}

// table prints the report for people.
func (r *report) table(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any, note string) { fmt.Fprintf(tw, "%s\t%v\t%s\n", name, value, note) }

	row("seed", r.Seed, fmt.Sprintf("%.0f s of faults, settled %.0f s later", r.DurationS, r.SettledS))

	// What was enqueued, and what came of it.
	row("accepted", r.Accepted, counts(r.ByClient))
	row("rolled back", r.RolledBack, "")
	row("in doubt", r.InDoubt, "the connection was cut during COMMIT")
	row("committed", r.Committed, "events in the table")
	row("deliveries", r.Deliveries, "")
	row("delivered", r.Delivered, "a receiver answered 2xx")
	row("taken back", r.Withdrawn, "events for later, before they were due")
	row("in order", r.InOrder, "requests with an ordering key")
	row("exhausted", r.Exhausted, "of the endpoint that always answers 500")
	row("requests", r.Requests, "in the receivers' log")
	row("attempts", r.Attempts, "in the attempt log")
	row("without a status code", sum(r.NoStatus), counts(r.NoStatus))
	row("seen by no receiver", sum(r.NoRequest), counts(r.NoRequest))
	row("duplicates", r.Duplicates, counts(r.DuplicatesByCause))

	// What was done to it.
	row("faults", r.FaultCount, counts(r.Faults))
	row("crashes after an answer", r.CrashesAfterAnswer, fmt.Sprintf("%d before the record", r.Unrecorded))
	row("freezes after an answer", len(r.FrozenRequests), fmt.Sprintf("requests of each delivery: %v", r.FrozenRequests))

	// How long it took.
	row("longest stall", fmt.Sprintf("%d ms", r.LongestStallMS), fmt.Sprintf("at %d ms", r.StallAtMS))
	row("latency", fmt.Sprintf("%d ms", r.LatencyP50MS),
		fmt.Sprintf("p50; p99 %d ms, worst %d ms", r.LatencyP99MS, r.LatencyWorstMS))
	row("deliveries over 10 s", r.LatencyOver10, "slow.log says what the slowest waited for")
	row("replays", r.Replays, "ordered through the API")
	for _, c := range slices.Sorted(maps.Keys(r.Scheduled)) {
		row("attempts: "+string(c), r.Scheduled[c], fmt.Sprintf("late: p50 %d ms, p99 %d ms, worst %d ms; %d too late",
			r.LateP50MS[c], r.LateP99MS[c], r.LateWorstMS[c], r.LateByClass[c]))
	}
	row("reconciled", fmt.Sprintf("%d ms", r.ReconciledMS), "")

	r.recoveryTable(tw)
	for _, p := range r.promises() {
		row(p.name, *p.count, "must be 0")
	}
	_ = tw.Flush() // a terminal that is gone

	for _, line := range r.Broken {
		fmt.Fprintf(w, "BROKEN: %s\n", line)
	}
}

// promises are the counts that must be 0.
func (r *report) promises() []*promise {
	return []*promise{
		// On the way in, and in the tables.
		{name: "lost", count: &r.Lost},
		{name: "phantom", count: &r.Phantom},
		{name: "holes", count: &r.Holes},
		{name: "doubled", count: &r.Doubled},
		{name: "torn", count: &r.Torn},
		{name: "refused", count: &r.Refused},
		{name: "unsettled", count: &r.Unsettled},
		{name: "failed early", count: &r.FailedEarly},
		{name: "unfounded successes", count: &r.Unfounded},

		// On the way out, as the receivers saw it.
		{name: "requests without a row", count: &r.RequestsNoRow},
		{name: "requests with one number", count: &r.RequestsTwice},
		{name: "rows without a request", count: &r.RowsNoRequest},
		{name: "rows with another status", count: &r.StatusMismatches},
		{name: "forged", count: &r.Forged},
		{name: "replays lost", count: &r.ReplaysLost},
		{name: "requests after the end", count: &r.RequestsAfterEnd},
		{name: "sent though taken back", count: &r.SentThoughBack},
		{name: "out of order", count: &r.OutOfOrder},

		// By the clock.
		{name: "early", count: &r.Early},
		{name: "late", count: &r.Late},
	}
}

// counts prints a map of counts, by name.
func counts[K ~string](m map[K]int) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		texts = append(texts, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(texts, ", ")
}

func sum[K ~string](m map[K]int) int {
	total := 0
	for _, n := range m {
		total += n
	}
	return total
}

// class is what an attempt's lateness is judged by.
type class string

const (
	classFirst   class = "first" // a first attempt, from the moment that the client knew that the event is committed
	classBurst   class = "burst" // any of a burst, which leaves room for others: it is never too late
	classShared  class = "shared"
	classLane    class = "lane"
	classUnknown class = "after_unknown" // the attempt before it is unknown, since its worker died
)
