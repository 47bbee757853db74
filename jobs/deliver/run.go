package deliver

import (
	"encoding/json"
	"time"

	"github.com/riverqueue/river"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// run is one run of a job, with what was loaded for it.
type run struct {
	*delivery // nil before the load, and if there is none

	job      *river.Job[Args]
	number   int32 // of the attempt, should one be made
	metadata metadata
	reopened bool // the delivery was settled, and a person has ordered it again
	sent     bool // a request may have left

	trace string // the event's traceparent, "" for none
	depth int    // how many webhooks in a row led to the event
}

// metadata is what river_job.metadata says of the runs of a job. A stored format.
type metadata struct {
	Release  int   `json:"release"`  // the run that the pacer has released
	Rescues  int   `json:"rescues"`  // runs in a row that brought their worker down
	Begun    int   `json:"begun"`    // those of them that had begun to send
	Sequence int64 `json:"sequence"` // the delivery's number in its line, 0 for none
}

func newRun(job *river.Job[Args]) *run {
	r := &run{job: job, number: int32(job.Attempt)} //nolint:gosec // at most 1000
	if job.Args.Base != nil {
		r.number += int32(*job.Args.Base) //nolint:gosec // an attempt number, an integer in the database
	}

	if len(job.Metadata) > len("{}") {
		// River and people write there as well; what can't be read counts for nothing.
		_ = json.Unmarshal(job.Metadata, &r.metadata)
	}
	return r
}

// own takes what was loaded. Settling finishes the job in any live state, so only a person can have started it again.
func (r *run) own(d *delivery) {
	r.delivery, r.reopened = d, d.State != db.DeliveryStatePending
	if d.Traceparent != nil {
		r.trace, r.depth = ledger.SplitDepth(*d.Traceparent)
	}
}

// current tells whether the run was its job's current one when it was loaded, and not cancelled.
func (r *run) current() bool {
	return r.JobRunning && int(r.JobAttempt) == r.job.Attempt && r.JobAttemptedAt.Equal(*r.job.AttemptedAt)
}

// record returns what ends the run in some way.
func (r *run) record(e ending, at time.Time) record {
	rec := record{
		ending: e, eventID: r.job.Args.EventID, endpointID: r.job.Args.EndpointID, number: r.number, at: at,
		jobID: r.job.ID, jobAttempt: int32(r.job.Attempt), //nolint:gosec // at most 1000
		attemptedAt: *r.job.AttemptedAt, state: db.DeliveryStatePending, reopened: r.reopened, probe: r.job.Args.Probe,
		uniqueKey: r.job.UniqueKey,
	}

	if r.delivery != nil {
		rec.tenantID, rec.deliverAt = r.TenantID, r.DeliverAt
	}
	if r.delivery == nil || r.JobID != r.job.ID {
		rec.number = 0 // the numbers of another job are not its own
	}
	return rec
}

// burst tells whether the run has a place of bursts.
func (r *run) burst() bool { return ledger.WorkedAs(r.job.Queue) == ledger.QueueDeliverBulk }

// paused tells whether a person has paused the endpoint, or its tenant: also a probe waits for the end of that.
func (r *run) paused() bool { return r.Status == db.EndpointStatusPaused || r.TenantPaused }

// released tells whether the pacer has released this very run: a retry, or a run in place of a dead worker's, needs a
// release of its own.
func (r *run) released() bool {
	return (r.job.Queue == ledger.QueueDeliverSlow || r.job.Queue == ledger.QueueDeliverLimited) &&
		r.metadata.Release == r.job.Attempt
}

// home tells whether the run's job is where its endpoint's jobs wait or are worked. If not, it was enqueued or fetched
// before the lane was opened.
func (r *run) home() bool {
	switch r.Lane {
	case ledger.LaneSlow, ledger.LaneLimited:
		return r.released()
	case ledger.LaneBulk:
		return r.job.Queue != ledger.QueueDeliver
	}
	return true
}
