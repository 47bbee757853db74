package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// staleDelay is how long a job waits whose run found that it is no longer the job's current run.
	staleDelay = time.Minute

	// panicDelay is the wait after a run that ended without saying when to try again.
	panicDelay = time.Minute

	// rescueSlack tells a rescue from a run that ended late.
	rescueSlack = 5 * time.Second
)

// errGivenBack is what a run returns that gave itself back. River stores nothing of it: the job is no longer running.
var errGivenBack = errors.New("nothing left, and the run was given back")

// Finished holds the runs that have ended in the database already, by the recorder or by being given back, and that
// River has not been told of yet.
type Finished struct {
	mu   sync.Mutex
	jobs map[int64]struct{}
}

// NewFinished returns one that holds nothing.
func NewFinished() *Finished { return &Finished{jobs: map[int64]struct{}{}} }

// add notes that the run of a job is over in the database. Call it before Work returns.
func (f *Finished) add(jobID int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[jobID] = struct{}{}
}

// Take forgets the jobs that it holds and returns the indexes of the others.
func (f *Finished) Take(ids []int64) (others []int) {
	f.mu.Lock()
	defer f.mu.Unlock()

	for i, id := range ids {
		if _, ok := f.jobs[id]; ok {
			delete(f.jobs, id)
			continue
		}
		others = append(others, i)
	}

	return others
}

// NextRetry returns when the job runs again. River calls it after Work with the same job, or, when it rescues the job
// of a dead worker, with a fresh one: that one runs again at once.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	now := w.clock.Now()
	switch {
	case !job.Args.next.IsZero() && job.Args.next.After(now):
		return job.Args.next
	case !job.Args.next.IsZero():
		return now.Add(time.Millisecond) // River takes a time in the past for a mistake
	case job.AttemptedAt != nil && now.Sub(*job.AttemptedAt) > ledger.JobTimeout+rescueSlack:
		return now.Add(time.Millisecond)
	}

	return now.Add(panicDelay)
}

// interrupted ends a run that our own side ended before anything left.
func (w *Worker) interrupted(ctx context.Context, job *river.Job[Args]) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, rivertype.ErrJobCancelledRemotely):
		return cause
	case cause == nil || errors.Is(cause, context.DeadlineExceeded):
		return w.giveBack(ctx, job, ledger.TroubleWait())
	}

	return w.giveBack(ctx, job, handOverDelay)
}

// giveBack ends a run of which nothing left: its job waits for delay and its number is free again. A run that is no
// longer the job's current one changes nothing. It goes on until the database has heard it or the process
// gives up; then the number is an unknown attempt. No snooze of River's: its completer gives a number back
// whoever has it by then.
func (w *Worker) giveBack(ctx context.Context, job *river.Job[Args], delay time.Duration) error {
	ctx = context.WithoutCancel(ctx)
	jobAttempt := int32(job.Attempt) //nolint:gosec // at most 1000
	w.metrics.givenBack.Inc()

	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		tryCtx, cancel := context.WithTimeout(ctx, loadTimeout)
		_, err := db.New().GiveBackJob(tryCtx, w.pool, delay.Seconds(), job.ID, jobAttempt)
		cancel()

		// Should the job be running again when River hears of the error, it is only brought forward.
		job.Args.next = w.clock.Now().Add(delay)
		if err == nil {
			w.finished.add(job.ID)
			return errGivenBack
		}

		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		case <-w.done:
			return fmt.Errorf("giving a run back: %w", err)
		}
	}
}
