// Package why says why a delivery is where it is: exactly one cause, with a code that never changes and a sentence.
package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/ledger"
)

// MaxAhead is how far the deliveries before one are counted: for each of a page's 200, so many entries of an index. The
// row must have been read with one more.
const MaxAhead = 1000

// operator is what a tenant is shown of a key that is not its own, as in the audit trail.
const operator = "operator"

// Answer is why a delivery is where it is. What is nil is not known, or not for the viewer.
type Answer struct {
	Because string     // the cause
	Text    string     // the same in words, for people
	Since   *time.Time // when it began
	Until   *time.Time // when it ends by itself, at the earliest
	Ahead   *int32     // deliveries that come first, at most MaxAhead
	Worker  *string    // the process that has it
	By      *string    // whose key has paused, disabled or deleted the endpoint, paused its tenant or all, or cancelled it

	EventTypes  []string // what the endpoint was subscribed to when the event was enqueued; nil: not known
	Causes      []Cause  // what attempts have failed by, the last first; none of a delivery that has succeeded
	Recoverable bool     // a recover of the endpoint with missed makes up for it
}

// The causes: part of the API.
const (
	becauseSettled   = "settled"
	becauseSending   = "sending"
	becauseLost      = "worker_lost"
	becausePaused    = "endpoint_paused"
	becauseTenant    = "tenant_paused"
	becauseAll       = "all_paused"
	becauseDisabled  = "endpoint_disabled"
	becauseDeleted   = "endpoint_deleted"
	becauseNoWorker  = "no_live_worker"
	becauseNoJob     = "job_missing"
	becauseIdleQueue = "idle_queue"
	becauseGivenBack = "given_back"
	becauseTime      = "waiting_for_time"
	becauseRetry     = "waiting_for_retry"
	becauseSetAside  = "set_aside"
	becauseQueue     = "queue_paused"
	becauseThrottled = "throttled"
	becauseLane      = "waiting_for_lane"
	becauseSlot      = "waiting_for_slot"
	becauseLine      = "waiting_in_line"
)

// River's states of jobs that are to be worked.
const (
	jobAvailable = "available"
	jobRetryable = "retryable"
	jobScheduled = "scheduled"
	jobRunning   = "running"
	jobPending   = "pending" // in a line
)

// explanation finds the cause.
type explanation struct {
	r        db.ExplainDeliveriesRow
	schedule retry.Schedule // the server's
	tenantID string         // that the viewer is bound to; "": none
	a        Answer
}

// Explain goes through the causes in the order in which they hold a delivery back: what a person has to change comes
// before what passes by itself. failures are those of its attempts, the last first; schedule is the server's. A viewer
// that is bound to a tenant is shown nothing of who works, of others' deliveries and of others' keys.
func Explain(
	r db.ExplainDeliveriesRow, failures []db.ListFailuresRow, schedule retry.Schedule, tenantID string,
) Answer {
	e := &explanation{r: r, schedule: schedule, tenantID: tenantID}
	e.a.Causes = causes(failures)
	for _, found := range []func() bool{
		e.settled, e.sending, e.ended, e.inLine, e.unworked, e.givenBack, e.later, e.waits,
	} {
		if found() {
			break
		}
	}
	return e.a
}

// because sets the cause. since and until may be nil.
func (e *explanation) because(code string, since, until *time.Time, format string, args ...any) bool {
	e.a.Because, e.a.Since, e.a.Until, e.a.Text = code, since, until, fmt.Sprintf(format, args...)
	return true
}

// bound tells whether the viewer sees one tenant only, and so nothing of who works and of others' deliveries.
func (e *explanation) bound() bool { return e.tenantID != "" }

func (e *explanation) settled() bool {
	r := e.r
	if r.State == db.DeliveryStatePending {
		return false
	}

	if r.State == db.DeliveryStateSucceeded {
		return e.because(becauseSettled, r.CompletedAt, nil, "it was delivered%s by attempt %d, which %s",
			at(r.CompletedAt), r.AttemptCount, outcome(r))
	}

	words := "it failed" + at(r.CompletedAt)
	if r.State == db.DeliveryStateCancelled {
		words = "it was cancelled"
		if e.a.By = actor(r.CancelledBy, r.CancelledByTenant, e.tenantID); e.a.By != nil {
			words += " by " + *e.a.By
		}
		words += at(r.CompletedAt)
	}
	words += e.after()
	if r.Reason != nil {
		words += e.reason(*r.Reason)
	}

	if r.State == db.DeliveryStateFailed {
		words += inAll(e.a.Causes)
	}
	return e.because(becauseSettled, r.CompletedAt, nil, "%s", words)
}

// after says how many attempts there were, and what came of the last of them.
func (e *explanation) after() string {
	n, last := e.r.AttemptCount, ""
	if e.r.LastOutcome != "" {
		last = outcome(e.r)
	}

	switch {
	case n == 0:
		return " before any attempt"
	case n == 1 && last != "":
		return " after 1 attempt, which " + last
	case n == 1:
		return " after 1 attempt"
	case last != "":
		return fmt.Sprintf(" after %d attempts, the last of which %s", n, last)
	}
	return fmt.Sprintf(" after %d attempts", n)
}

func (e *explanation) sending() bool {
	r := e.r
	if r.JobState != jobRunning || r.LeaseSince == nil {
		return false
	}

	who := "a worker"
	if !e.bound() {
		e.a.Worker, who = &r.Worker, "the worker "+r.Worker
	}
	return e.because(becauseSending, r.AttemptedAt, nil, "%s has had it since %s: attempt %d",
		who, clock(r.AttemptedAt), r.Number)
}

// ended finds endpoints to which nothing goes.
func (e *explanation) ended() bool {
	r := e.r
	switch {
	case r.DeletedAt != nil:
		return e.because(becauseDeleted, r.DeletedAt, nil,
			"its endpoint was deleted at %s: the delivery is about to be cancelled", clock(r.DeletedAt))

	case r.Status == db.EndpointStatusDisabled && !r.Probe:
		return e.because(becauseDisabled, &r.StatusChangedAt, nil,
			"its endpoint was disabled%s at %s%s: the delivery is about to be cancelled",
			e.byWhom(), clock(&r.StatusChangedAt), statusReason(r.StatusReason))

	case r.Status == db.EndpointStatusPaused:
		return e.because(becausePaused, &r.StatusChangedAt, nil,
			"its endpoint was paused%s at %s%s: the delivery waits until somebody enables the endpoint",
			e.byWhom(), clock(&r.StatusChangedAt), statusReason(r.StatusReason))
	}
	return e.paused()
}

// paused finds what a person has paused in a maintenance.
func (e *explanation) paused() bool {
	r := e.r
	if r.PauseOf == nil {
		return false
	}

	by := *r.PauseBy
	if e.bound() {
		by = operator
	}
	e.a.By = &by
	if *r.PauseOf == ledger.PauseAll {
		return e.because(becauseAll, r.PauseAt, nil,
			"all deliveries have been paused by %s since %s (%s): it waits until somebody resumes them, as with "+
				"`outhook resume --all`",
			by, clock(r.PauseAt), *r.PauseReason)
	}
	return e.because(becauseTenant, r.PauseAt, nil,
		"the deliveries of the tenant %s have been paused by %s since %s (%s): it waits until somebody resumes them, as "+
			"with `outhook resume --tenant`",
		r.TenantID, by, clock(r.PauseAt), *r.PauseReason)
}

// byWhom notes who changed the endpoint's status.
func (e *explanation) byWhom() string {
	e.a.By = actor(e.r.StatusBy, e.r.StatusByTenant, e.tenantID)
	if e.a.By == nil {
		return ""
	}
	return " by " + *e.a.By
}

// actor is who did something, nil if nobody is known to have. A tenant is shown none of others' keys than its own.
func actor(by, itsTenant *string, tenantID string) *string {
	if by != nil && tenantID != "" && (itsTenant == nil || *itsTenant != tenantID) {
		hidden := operator
		return &hidden
	}
	return by
}

// inAll says what a delivery has failed by, and what usually cures the last of it.
func inAll(list []Cause) string {
	if len(list) == 0 {
		return ""
	}

	text := ""
	if len(list) > 1 || list[0].Count > 1 {
		words := make([]string, len(list))
		for i, c := range list {
			words[i] = c.String()
		}
		text = ". In all: " + strings.Join(words, ", ")
	}
	if list[0].Advice != "" {
		text += ". Advice: " + list[0].Advice
	}
	return text
}

// unworked finds deliveries that nobody would take if it were their turn.
func (e *explanation) unworked() bool {
	r, running := e.r, e.r.JobState == jobRunning
	live := running || slices.Contains([]string{jobAvailable, jobRetryable, jobScheduled}, r.JobState)
	ownQueue := r.Queue == ledger.EndpointQueuePrefix+r.EndpointID.String()

	switch {
	case !r.LiveWorkers && (running || !live || !e.dueAt().After(r.DatabaseTime)):
		seen := "none was ever seen"
		if r.WatchedUntil != nil {
			seen = "the last was seen at " + clock(r.WatchedUntil)
		}
		return e.because(becauseNoWorker, r.WatchedUntil, nil,
			"no worker process is alive (%s): start `outhook serve` with the role worker", seen)
	case running:
		return e.because(becauseLost, r.AttemptedAt, nil,
			"the worker that took it at %s has lost its lease: another takes over within seconds", clock(r.AttemptedAt))
	case !live:
		return e.because(becauseNoJob, nil, nil, "%s",
			"it has no job any more, which was deleted or has ended: reconcile gives it a new one within a minute, or "+
				"cancels it if River UI's Cancel ended the job; `outhook doctor --repair` does so at once")
	case !ownQueue && !slices.Contains(ledger.WorkedQueues(), ledger.WorkedAs(r.Queue)):
		return e.because(becauseIdleQueue, nil, nil,
			"its job is in the queue %s, which no worker serves: `outhook doctor` lists it", r.Queue)
	}
	return false
}

// givenBack finds deliveries of which nothing leaves by trouble of a worker.
func (e *explanation) givenBack() bool {
	r := e.r
	words := map[string]string{
		ledger.TroubleLease: "the worker could not renew its lease, so it may be cut off from the database",
		ledger.TroubleLoad:  "the worker could not read from the database what to send; its log has the error",
		ledger.TroubleSecret: "no key of the worker's OUTHOOK_ENCRYPTION_KEY opens the endpoint's secrets; " +
			"`outhook doctor` with the same variable names the missing key",
		ledger.TroubleMark:    "the worker could not write to the database; its log has the error",
		ledger.TroubleNetwork: "no request can leave the worker's machine; its /readyz says why",
		ledger.TroubleTimeout: "the worker ran out of time before anything left, as on a machine that is too busy",
		ledger.TroublePanic:   "it crashed inside the worker, whose log says where",
	}[r.GivenBack]
	if words == "" || r.Rescues > 1 || r.QueuePausedAt != nil {
		return false
	}

	if e.bound() {
		words = "that is no fault of its endpoint"
	}
	return e.because(becauseGivenBack, r.NextAttemptAt, r.ScheduledAt,
		"a worker took it and could not send it: %s. It is tried again every few seconds", words)
}

// dueAt returns when the workers may take it.
func (e *explanation) dueAt() time.Time {
	due := e.r.DatabaseTime
	for _, t := range []*time.Time{e.r.NextAttemptAt, e.r.ScheduledAt} {
		if t != nil && t.After(due) {
			due = *t
		}
	}
	return due
}

// later finds deliveries that are not due.
func (e *explanation) later() bool {
	r := e.r
	switch {
	case r.TryCount == 0 && r.DeliverAt != nil && r.NextAttemptAt != nil && r.NextAttemptAt.Equal(*r.DeliverAt) &&
		r.DeliverAt.After(r.DatabaseTime):
		return e.because(becauseTime, nil, r.DeliverAt,
			"it waits until %s, as its publisher wished; until then it can be cancelled", clock(r.DeliverAt))

	case r.NextAttemptAt != nil && r.NextAttemptAt.After(r.DatabaseTime):
		words := fmt.Sprintf("its next attempt, number %d, is due at %s", r.AttemptCount+1, clock(r.NextAttemptAt))
		if r.TryCount > 0 {
			words = fmt.Sprintf("it waits for try %d of %d, due at %s", r.TryCount+1, e.tries(), clock(r.NextAttemptAt))
		}
		if r.LastOutcome != "" {
			words += fmt.Sprintf("; attempt %d %s", r.AttemptCount, outcome(r))
		}
		return e.because(becauseRetry, nil, r.NextAttemptAt, "%s", words)

	case !e.dueAt().After(r.DatabaseTime):
		return false
	case r.GivenBack == ledger.HandedOver:
		return e.handedOver()
	case r.Rescues > 1:
		return e.because(becauseSetAside, nil, r.ScheduledAt,
			"it is set aside until %s: %d workers in a row have died while sending it", clock(r.ScheduledAt), r.Rescues)
	}
	return e.because(becauseSetAside, nil, r.ScheduledAt,
		"it is set aside until %s: its tenant has as many requests under way to the endpoint's host as it may have "+
			"(OUTHOOK_MAX_PER_HOST, OUTHOOK_HOST_RATE)", clock(r.ScheduledAt))
}

// handedOver says of a delivery that a worker had which stops that another takes it up, in its place.
func (e *explanation) handedOver() bool {
	const words = "a worker that stops has handed it over before anything was sent: "
	if r := e.r; strings.HasPrefix(r.Queue, ledger.EndpointQueuePrefix) {
		return e.because(becauseLane, r.NextAttemptAt, r.ScheduledAt,
			"%sit gets its place in its endpoint's lane back at %s", words, clock(r.ScheduledAt))
	}
	return e.because(becauseSlot, e.r.NextAttemptAt, e.r.ScheduledAt,
		"%sanother takes it from %s on", words, clock(e.r.ScheduledAt))
}

// tries returns how many tries the delivery has.
func (e *explanation) tries() int {
	if e.r.RetrySchedule != nil {
		return len(e.r.RetrySchedule) + 1
	}
	return len(e.schedule) + 1
}

// waits says for whose turn a delivery waits that is due.
func (e *explanation) waits() bool {
	r, since := e.r, e.r.NextAttemptAt
	inLane := strings.HasPrefix(r.Queue, ledger.EndpointQueuePrefix)

	switch {
	case r.QueuePausedAt != nil:
		return e.because(becauseQueue, r.QueuePausedAt, nil,
			"the queue that it goes through was paused by a person at %s: it waits until somebody resumes that in River UI",
			clock(r.QueuePausedAt))
	case inLane && r.Lane == ledger.LaneSlow && r.HeldUntil != nil && r.HeldUntil.After(r.DatabaseTime):
		return e.because(becauseThrottled, nil, r.HeldUntil,
			"its endpoint has asked for a break, or answered 429, 502 or 504: nothing is sent to it before %s; %s",
			clock(r.HeldUntil), e.before())
	case inLane && (r.Lane == ledger.LaneSlow || r.Lane == ledger.LaneLimited):
		return e.because(becauseLane, since, nil,
			"it waits for its turn in its endpoint's lane, which has been %s since %s%s: %s, and %s",
			r.Lane, clock(&r.LaneChangedAt), inBrackets(r.LaneReason), e.before(), e.allowed())
	case inLane:
		return e.because(becauseLane, since, nil, "%s", "its endpoint's lane was closed, or the endpoint enabled: "+
			"the pacer is about to move it to the queue that workers take from; "+e.before())
	}

	words := "it is due"
	if since != nil {
		words = "it has been due since " + clock(since)
	}
	words += " and waits for a free slot of a worker"
	if !e.bound() {
		words += ": in the queue " + ledger.WorkedAs(r.Queue) + " " + e.before()
	}
	return e.because(becauseSlot, since, nil, "%s", words)
}

// before notes how many deliveries come first.
func (e *explanation) before() string {
	n := min(e.r.Ahead, MaxAhead)
	e.a.Ahead = &n
	switch {
	case e.r.Ahead > MaxAhead:
		return fmt.Sprintf("more than %d deliveries are ahead of it", MaxAhead)
	case n == 0:
		return "none is ahead of it"
	case n == 1:
		return "1 delivery is ahead of it"
	}
	return fmt.Sprintf("%d deliveries are ahead of it", n)
}

// allowed says what the lane lets pass.
func (e *explanation) allowed() string {
	width := e.r.MaxInFlight
	if e.r.Width != nil {
		width = min(width, *e.r.Width)
	}

	words := fmt.Sprintf("at most %d requests may be under way", width)
	if width == 1 {
		words = "one request at a time may be under way"
	}
	if e.r.RateLimit != nil {
		words += fmt.Sprintf(", %d per %s", *e.r.RateLimit, e.r.RatePer)
	}
	return words
}

// reason says a delivery's reason in words. Whom it was cancelled by says it, too.
func (e *explanation) reason(reason string) string {
	if reason == ledger.ReasonOperator && e.a.By != nil {
		return ""
	}
	words := map[string]string{
		ledger.ReasonExhausted:  "its retry schedule is used up; replay it when the endpoint works again",
		ledger.ReasonGone:       "the endpoint answered 410 and was disabled",
		ledger.ReasonLoop:       "the endpoint leads to an API of Outhook, or too many webhooks in a row led to the event",
		ledger.ReasonWorkerDied: "too many workers in a row died while sending it",

		ledger.ReasonEndpointDisabled: "its endpoint was disabled; recover the endpoint when it is enabled again",
		ledger.ReasonEndpointDeleted:  "its endpoint was deleted",
		ledger.ReasonExpired:          "it was still pending at the end of the retention",
		ledger.ReasonErased:           "its tenant's data was erased",
		ledger.ReasonPayloadGone:      "its payload is gone",
		ledger.ReasonWithdrawn:        "its event was taken back before it was due",
		ledger.ReasonOperator:         "a person cancelled it",
	}[reason]
	return ": " + cmp.Or(words, reason)
}

// outcome says what came of the last attempt.
func outcome(r db.ExplainDeliveriesRow) string {
	words := map[string]string{
		"succeeded": "succeeded", "rejected": "was rejected", "timed_out": "timed out",
		"unreachable": "did not reach the endpoint", "blocked": "was not allowed to leave", "unknown": "has no known outcome",
	}[r.LastOutcome]
	if words == "" {
		words = "is not in the log any more"
	}

	switch {
	case r.LastStatusCode != nil:
		words += fmt.Sprintf(" with status %d", *r.LastStatusCode)
	case r.LastError != "":
		words += inBrackets(errorWords(r.LastError))
	}
	return words
}

// errorWords says an error, whose class is one word, for people. What the outcome says already is left out.
func errorWords(text string) string {
	class, rest, found := strings.Cut(text, ": ")
	switch {
	case found && (class == "timeout" || class == "blocked"):
		return rest
	case found:
		return strings.ReplaceAll(class, "_", " ") + ": " + rest
	}
	return strings.ReplaceAll(class, "_", " ")
}

// inBrackets puts a reason that may be empty behind what it explains.
func inBrackets(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// statusReason is why an endpoint has its status; "": somebody has set it, of which the reason says nothing.
func statusReason(reason string) string {
	class, rest, found := strings.Cut(reason, ": ")
	switch {
	case class == "api":
		return ""
	case class == "failing" && found:
		return " (it kept failing: " + rest + ")"
	case class == "gone":
		return " (it answered 410)"
	case class == "order" && found:
		return " (it gets its events in order: " + rest + ")"
	}
	return inBrackets(reason)
}

// at says when something was, if that is known.
func at(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " at " + clock(t)
}

// clock is how a time stands in a text.
func clock(t *time.Time) string {
	if t == nil {
		return "now"
	}
	return t.UTC().Format(time.RFC3339)
}
