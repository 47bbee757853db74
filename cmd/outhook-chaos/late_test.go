package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// bench is a delivery of an event of time 0 to an endpoint with the schedule 1s,3s,9s,27s, and two workers.
type bench struct {
	*punctuality

	d      *storedDelivery
	others map[deliveryKey][]*turn
}

func newBench(attempts ...storedAttempt) *bench {
	e := newEndpoint("acme")
	e.id = uuid.New()
	d := &storedDelivery{deliveryKey: deliveryKey{uuid.New(), e.id}, attempts: attempts}
	r := &report{
		Scheduled: map[class]int{}, LateByClass: map[class]int{},
		LateP50MS: map[class]int64{}, LateP99MS: map[class]int64{}, LateWorstMS: map[class]int64{},
	}
	a := &audit{
		tables: &tables{deliveries: map[deliveryKey]*storedDelivery{d.deliveryKey: d}}, report: r,
		byAttempt: map[attemptKey][]request{}, byID: map[uuid.UUID]*endpoint{e.id: e}, numbers: map[uuid.UUID]int64{},
		holds: map[deliveryKey][]hold{}, breaches: map[string]*promise{},
	}
	for _, p := range r.promises() {
		a.breaches[p.name] = p
	}
	return &bench{d: d, punctuality: &punctuality{
		audit: a, journal: newJournal(), watch: newWatch(nil, nil), troubles: map[string]spans{}, holders: map[string]*holder{},
		shared: line{}, bursts: line{}, lanes: map[uuid.UUID]line{}, lateness: map[class][]time.Duration{},
	}}
}

func (b *bench) run() *report {
	turns := b.turns(b.d, at(0), at(0))
	b.queue(b.d, turns)
	b.queueHolds(b.others)
	for _, t := range turns {
		b.check(b.d.deliveryKey, t)
	}
	b.summarise()
	return b.report
}

func failedAt(number int, seconds float64) storedAttempt {
	return storedAttempt{number: number, outcome: "rejected", statusCode: 500, startedAt: at(seconds), duration: time.Second}
}

func unknownAt(number int, seconds float64) storedAttempt {
	return storedAttempt{number: number, outcome: "unknown", startedAt: at(seconds), trouble: troubleDied}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	// An attempt takes a second.
	for name, test := range map[string]struct {
		attempts    []storedAttempt
		early, late int
	}{
		"InTime":                  {[]storedAttempt{failedAt(1, 0), failedAt(2, 2.1), failedAt(3, 6.3), failedAt(4, 17)}, 0, 0},
		"Early":                   {[]storedAttempt{failedAt(1, 0), failedAt(2, 2.1), failedAt(3, 5.9)}, 1, 0},
		"Late":                    {[]storedAttempt{failedAt(1, 0), failedAt(2, 4.5)}, 0, 1},
		"AfterAnUnknownOne":       {[]storedAttempt{failedAt(1, 0), unknownAt(2, 100), failedAt(3, 100)}, 0, 0},
		"LongAfterAnUnknownOne":   {[]storedAttempt{failedAt(1, 0), unknownAt(2, 130), failedAt(3, 130)}, 0, 1},
		"EarlyAfterAnUnknownOne":  {[]storedAttempt{failedAt(1, 0), unknownAt(2, 1.5), failedAt(3, 1.5)}, 1, 0},
		"AnUnknownUsesNoDelay":    {[]storedAttempt{failedAt(1, 0), unknownAt(2, 20), failedAt(3, 20), failedAt(4, 24.5)}, 0, 0},
		"ReplayedAfterASuccess":   {[]storedAttempt{{number: 1, outcome: "succeeded", startedAt: at(0)}, failedAt(2, 90)}, 0, 0},
		"AfterAReplayItBeginsNew": {[]storedAttempt{{number: 1, outcome: "succeeded", startedAt: at(0)}, failedAt(2, 90), failedAt(3, 91.5)}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newBench(test.attempts...).run()
			require.Equal(t, test.early, r.Early, "early")
			require.Equal(t, test.late, r.Late, "late")
		})
	}
}

// Others went on without a run that was taken for dead, as they do after one of which nothing is known.
func TestAnAttemptThatWasTakenForDeadUsesNoDelay(t *testing.T) {
	t.Parallel()
	for held, early := range map[time.Duration]int{0: 1, time.Second: 1, 10 * time.Second: 0} {
		b := newBench(failedAt(1, 0), failedAt(2, 11), failedAt(3, 13.1))
		b.holds[b.d.deliveryKey] = []hold{{span{at(1), at(1).Add(held)}, 1, "one"}}
		require.Equal(t, early, b.run().Early, held)
	}
}

// A jitter lets an attempt come later than the delay, by no more than that, and never earlier.
func TestScheduleWithJitter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempts    []storedAttempt
		early, late int
	}{
		"InTime": {[]storedAttempt{failedAt(1, 0), failedAt(2, 2), failedAt(3, 7.5), failedAt(4, 23.9)}, 0, 0},
		"Early":  {[]storedAttempt{failedAt(1, 0), failedAt(2, 1.8)}, 1, 0},
		"Late":   {[]storedAttempt{failedAt(1, 0), failedAt(2, 5)}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(test.attempts...)
			b.byID[b.d.endpointID].jitter = 0.5
			r := b.run()
			require.Equal(t, test.early, r.Early, "early")
			require.Equal(t, test.late, r.Late, "late")
		})
	}
}

func TestWhatExcusesLateness(t *testing.T) {
	t.Parallel()
	late := []storedAttempt{failedAt(1, 0), failedAt(2, 12)} // it was due at 2
	for name, test := range map[string]struct {
		happened func(*bench)
		late     int
	}{
		"Nothing":                        {func(*bench) {}, 1},
		"NoWorkerLived":                  {func(b *bench) { b.away = join(span{at(1), at(11)}) }, 0},
		"TheMachineStoodForAPart":        {func(b *bench) { b.away = join(span{at(1), at(9)}) }, 1},
		"TheEndpointWasPaused":           {func(b *bench) { b.stopped(at(1), at(11)) }, 0},
		"TheEndpointWasPausedForAMoment": {func(b *bench) { b.stopped(at(1), at(3)) }, 0},
		"BurstsWereServedAfterThePause": {func(b *bench) {
			b.d.attempts = []storedAttempt{failedAt(1, 0), failedAt(2, 30)}
			b.stopped(at(1), at(3))
			b.bursts.serve(span{at(3), at(29)}, at(1))
		}, 0},
		"NothingWasServedAfterThePause": {func(b *bench) {
			b.d.attempts = []storedAttempt{failedAt(1, 0), failedAt(2, 30)}
			b.stopped(at(1), at(3))
		}, 1},
		"APersonLockedItsRow":     {func(b *bench) { b.journal.note(b.d.String(), at(1), at(11)) }, 0},
		"APersonLockedAnother":    {func(b *bench) { b.journal.note(uuid.NewString(), at(1), at(11)) }, 1},
		"OlderOnesWereServed":     {func(b *bench) { b.shared.serve(span{at(1), at(11)}, at(1)) }, 0},
		"YoungerOnesWereServed":   {func(b *bench) { b.shared.serve(span{at(3), at(11)}, at(3)) }, 1},
		"ABurstWasServed":         {func(b *bench) { b.bursts.serve(span{at(1), at(11)}, at(1)) }, 1},
		"ItsWorkerWasFrozen":      {func(b *bench) { b.frozen(2, at(1), at(11)) }, 0},
		"ItsWorkerWasWell":        {func(b *bench) { b.frozen(2, at(20), at(30)) }, 1},
		"ItsWorkerKeptTheOutcome": {func(b *bench) { b.frozen(1, at(1), at(11)) }, 0},
		"ItWasGivenBack": {func(b *bench) {
			b.watch.note(b.d.deliveryKey, hold{span: span{at(1), at(11)}})
			b.holds = b.watch.holds
		}, 0},
		"ALaneWithAPacerInTrouble":        {func(b *bench) { b.byID[b.d.endpointID].limit = 5; b.worker(at(0), at(3)) }, 0},
		"ALane":                           {func(b *bench) { b.byID[b.d.endpointID].limit = 5 }, 1},
		"ALaneWhosePlaceAFrozenWorkerHas": {func(b *bench) { b.taken(at(1)) }, 0},
		"ALaneWhosePlaceAYoungerOneHas":   {func(b *bench) { b.taken(at(5)) }, 1},
		"ALaneThatNobodyPaced": {func(b *bench) {
			b.byID[b.d.endpointID].limit = 5
			b.watch.notePacer(at(10), 8*time.Second)
			b.unpaced = join(b.watch.unpaced...)
		}, 0},
		"ALaneThatNobodyPacedTwice": {func(b *bench) {
			b.byID[b.d.endpointID].limit = 5
			b.unpaced = join(span{at(3), at(5)}, span{at(8), at(10)})
		}, 0},
		"ALaneThatNobodyPacedForAsLong": {func(b *bench) {
			b.byID[b.d.endpointID].limit = 5
			b.unpaced = join(span{at(3), at(7)})
		}, 1},
		"ALaneThatSomebodyPaced": {func(b *bench) {
			b.byID[b.d.endpointID].limit = 5
			b.watch.notePacer(at(10), time.Second)
			b.unpaced = join(b.watch.unpaced...)
		}, 1},
		"ALaneThatServedWhatWasRecoveredBefore":      {func(b *bench) { b.recovered(at(1), at(2)) }, 0},
		"ALaneThatServedWhatWasRecoveredLater":       {func(b *bench) { b.recovered(at(4), at(5)) }, 1},
		"ALaneThatServedATransactionThatBeganBefore": {func(b *bench) { b.committed(at(1), at(2)) }, 0},
		"ALaneThatServedATransactionThatBeganLater":  {func(b *bench) { b.committed(at(5), at(6)) }, 1},
		"AnotherWasRecoveredAfterADisabling": {func(b *bench) {
			b.recovers = map[uuid.UUID][]span{b.d.endpointID: {{at(9), at(13)}}}
			b.byID[b.d.endpointID].off = []span{{at(-90), at(-80)}}
		}, 1},
		"ItWasRecovered": {func(b *bench) {
			b.recovers = map[uuid.UUID][]span{b.d.endpointID: {{at(9), at(13)}}}
			b.byID[b.d.endpointID].off = []span{{at(7), at(8)}}
		}, 0},
		"ItWasRecoveredBefore":   {func(b *bench) { b.recovers = map[uuid.UUID][]span{b.d.endpointID: {{at(-9), at(0)}}} }, 1},
		"NoLaneWhileNobodyPaced": {func(b *bench) { b.unpaced = join(span{at(1), at(12)}) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(late...)
			test.happened(b)
			require.Equal(t, test.late, b.run().Late)
		})
	}
}

// stopped has a person pause the endpoint for a time.
func (b *bench) stopped(from, to time.Time) { b.journal.note(b.d.endpointID.String(), from, to) }

// worker adds a worker that was in trouble for a time.
func (b *bench) worker(from, to time.Time) {
	b.workers = append(b.workers, &node{name: "worker-1"})
	b.troubles["worker-1"] = join(span{from, to})
}

// frozen has a worker that is in trouble for a time hold a run until the attempt was made.
func (b *bench) frozen(number int, from, to time.Time) {
	b.worker(from, to)
	b.holders["one"] = &holder{trouble: b.troubles["worker-1"]}
	b.holds[b.d.deliveryKey] = []hold{{span{at(1), at(12)}, number, "one"}}
}

// taken has a frozen worker hold another delivery of the endpoint, which has a lane, that was due at a time.
func (b *bench) taken(due time.Time) {
	b.byID[b.d.endpointID].limit = 5
	b.worker(at(20), at(30))
	other := deliveryKey{uuid.New(), b.d.endpointID}
	b.holders["two"] = &holder{trouble: spans{{at(3), at(12)}}}
	b.holds[other] = []hold{{span{at(3), at(12)}, 1, "two"}}
	b.others = map[deliveryKey][]*turn{other: {{storedAttempt: &storedAttempt{number: 1}, place: due}}}
}

// recovered has a delivery of the endpoint, which has a lane, that was cancelled and recovered at a time take ten seconds.
func (b *bench) recovered(from, to time.Time) {
	b.byID[b.d.endpointID].limit = 5
	other := &storedDelivery{deliveryKey: deliveryKey{uuid.New(), b.d.endpointID}}
	other.attempts = []storedAttempt{{number: 1, outcome: "succeeded", startedAt: to, duration: 10 * time.Second}}
	b.recovers = map[uuid.UUID][]span{b.d.endpointID: {{from, to.Add(time.Millisecond)}}}
	b.byID[b.d.endpointID].off = []span{{from.Add(-time.Second), from}}
	b.queue(other, b.turns(other, at(-20), at(-20)))
	b.recovers, b.byID[b.d.endpointID].off = nil, nil
}

// committed has a delivery of the endpoint, which has a lane, whose transaction began at a time, and was committed at another,
// take ten seconds from the moment on at which the other one is due.
func (b *bench) committed(began, told time.Time) {
	b.byID[b.d.endpointID].limit = 5
	other := &storedDelivery{deliveryKey: deliveryKey{uuid.New(), b.d.endpointID}}
	other.attempts = []storedAttempt{{number: 1, outcome: "succeeded", startedAt: at(2), duration: 10 * time.Second}}
	b.numbers[other.eventID], b.told = 7, map[int64]time.Time{7: told}
	b.queue(other, b.turns(other, began, began))
}

func TestRowsWithoutARequestNeedACause(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		row  storedAttempt
		held bool
		fine bool
	}{
		"NobodyHadIt":           {unknownAt(1, 0), false, false},
		"SomebodyHadIt":         {unknownAt(1, 0), true, true},
		"UnknownForNoReason":    {storedAttempt{number: 1, outcome: "unknown"}, true, false},
		"Stopped":               {storedAttempt{number: 1, outcome: "unknown", trouble: "stopped: connecting"}, false, true},
		"Blocked":               {storedAttempt{number: 1, outcome: "blocked", trouble: "blocked: not public"}, false, true},
		"DidNotConnect":         {storedAttempt{number: 1, outcome: "timed_out", trouble: "timeout: connecting"}, false, true},
		"ItsWorkerWasFrozen":    {storedAttempt{number: 1, outcome: "timed_out", trouble: "timeout: waiting for response headers"}, true, true},
		"WaitedForAnAnswer":     {storedAttempt{number: 1, outcome: "timed_out", trouble: "timeout: waiting for response headers"}, false, false},
		"TheConnectionWasReset": {storedAttempt{number: 1, outcome: "unreachable", trouble: "connection_reset: by the receiver"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(test.row)
			b.report.NoStatus, b.report.NoRequest = map[string]int{}, map[string]int{}
			if test.held {
				b.holds[b.d.deliveryKey] = []hold{{span{at(0), at(9)}, 1, "one"}}
			}
			b.auditRows(b.d)
			require.Equal(t, test.fine, b.report.RowsNoRequest == 0)
		})
	}
}
