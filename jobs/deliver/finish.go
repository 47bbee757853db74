package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// markSettled is the key that the completion of each run of ours carries. River's completer has nothing to do for it:
// the run has ended in the database before it ended here.
const markSettled = "outhook_settled"

// Settled tells whether a completion's metadata are those of a run that has ended already.
func Settled(metadataUpdates []byte) bool {
	return bytes.Contains(metadataUpdates, []byte(`"`+markSettled+`":`))
}

// Middleware returns what stands around each run of a delivery's job.
func (w *Worker) Middleware(*rivertype.JobRow) []rivertype.WorkerMiddleware {
	return []rivertype.WorkerMiddleware{&keeper{worker: w}}
}

// keeper keeps River from ending a run, whichever way it goes: Work has ended it in the database when it returns nil.
type keeper struct {
	river.MiddlewareDefaults

	worker *Worker
}

// Work marks the run before anything can go wrong in it.
func (k *keeper) Work(ctx context.Context, row *rivertype.JobRow, inner func(context.Context) error) error {
	if err := river.MetadataSet(ctx, markSettled, true); err != nil {
		return fmt.Errorf("marking the run: %w", err)
	}

	k.worker.runs.Begin(row)
	defer k.worker.runs.End(row)

	err := inner(ctx)
	if err == nil {
		return nil
	}

	// Work was not called: a person has inserted a job whose arguments nobody can read.
	k.worker.calm.ErrorContext(ctx, "discarding a job that can't be read",
		slog.Int64("job_id", row.ID), slog.Any("error", err))
	k.worker.endJob(ctx, newRun(&river.Job[Args]{JobRow: row}), "the arguments can't be read")
	return nil
}

// NextRetry returns when a job runs again that has failed as often as it was attempted: the default schedule's delay,
// and after the last one the same once more. The worker itself asks for each delivery's own schedule (see judge), and
// ends those whose schedule is used up.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	schedule := w.cfg.Schedule
	delay, ok := schedule.Delay(job.Attempt)
	if !ok && len(schedule) > 0 {
		delay = schedule[len(schedule)-1]
	}
	return w.clock.Now().Add(max(delay, time.Second))
}

// interrupted ends a run that our own side ended before anything left.
func (w *Worker) interrupted(ctx context.Context, r *run) {
	ended := context.Cause(ctx)
	switch {
	case ended == nil:
		w.giveBack(ctx, r, causeNetwork, nil, ledger.TroubleWait())
	case errors.Is(ended, context.DeadlineExceeded):
		w.giveBack(ctx, r, causeTimeout, ended, ledger.TroubleWait())
	default:
		w.giveBack(ctx, r, causeStop, nil, handOverDelay)
	}
}

// giveBack ends a run of which nothing left: its job waits for delay and its number is free again. It goes on until the
// database has heard it or the process gives up; then the number is an unknown attempt. err may be nil.
func (w *Worker) giveBack(ctx context.Context, r *run, why cause, err error, delay time.Duration) {
	w.returns.note(ctx, r, why, err)
	rec := r.record(back, w.clock.Now().Add(delay))
	rec.late = why
	w.save(ctx, &rec)
}

// GivingBack returns why a run was given back within the last 30 s by trouble of ours, "" if none was.
func (w *Worker) GivingBack() string { return w.returns.lately() }

// settle ends the delivery without a request. One that a person has ordered again stays as it was: the order can't be
// carried out, and only its job ends.
func (w *Worker) settle(ctx context.Context, r *run, state db.DeliveryState, reason string) {
	rec := r.record(done, w.clock.Now())
	rec.state, rec.reason = state, reason
	w.save(ctx, &rec)
}

// endJob ends a job that has no delivery of its own: as completed, or as discarded if there is an error.
func (w *Worker) endJob(ctx context.Context, r *run, jobError string) {
	rec := r.record(done, w.clock.Now())
	rec.jobError = jobError
	w.save(ctx, &rec)
}

// panicked ends a run that did, if it did. Its delivery is tried again a while later, ten times at most, as if the
// worker had died; what left has its row. Only the type of what it panicked with is told: it may hold anything.
func (w *Worker) panicked(ctx context.Context, r *run) {
	p := recover()
	if p == nil {
		return
	}

	w.returns.count(causePanic)
	w.calm.LogAttrs(ctx, slog.LevelError, "a run panicked",
		r.attrs(slog.String("panic", fmt.Sprintf("%T", p)), slog.String("stack", string(debug.Stack())))...)
	now := w.clock.Now()
	rec := r.record(back, now.Add(panicDelay))
	if r.sent {
		rec.ending, rec.attempt = wait, &attempt{
			startedAt: now, durationMS: -1, outcome: db.AttemptOutcomeUnknown, trigger: r.trigger(),
			error: "panic: the run failed",
		}
	}
	rec.died, rec.late, rec.jobError = true, causePanic, "panic"
	w.save(ctx, &rec)
}
