package deliver

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/outhook/outhook/jobs/ledger"
)

// run is one run of a job, with what was loaded for it.
type run struct {
	*delivery
	job      *river.Job[Args]
	number   int32
	reopened bool
}

func (r *run) record(at time.Time) record {
	return record{
		eventID: r.EventID, endpointID: r.EndpointID, jobID: r.job.ID, number: r.number,
		jobAttempt: int32(r.job.Attempt), //nolint:gosec // at most 1000
		reopened:   r.reopened, gap: r.number-1 > r.AttemptCount, probe: r.job.Args.Probe, at: at,
	}
}

func (r *run) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("event_id", r.EventID.String()),
		slog.String("endpoint_id", r.EndpointID.String()),
		slog.Int("attempt", int(r.number)),
	}, more...)
}

// released tells whether the pacer has released this very run: a retry, or a run in place of a dead worker's, needs a
// release of its own.
func (r *run) released() bool {
	if r.job.Queue != ledger.QueueDeliverSlow && r.job.Queue != ledger.QueueDeliverLimited {
		return false
	}

	var metadata struct {
		Release int `json:"release"`
	}
	return json.Unmarshal(r.job.Metadata, &metadata) == nil && metadata.Release == r.job.Attempt
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
