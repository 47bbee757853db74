package jobs

import (
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// fetched returns jobs that were taken as River's own fetch does, which can tell that it can't read what a job's errors
// say: such a run fails.
func fetched(jobs []db.RiverJob) *riverdriver.JobGetAvailableResult {
	res := &riverdriver.JobGetAvailableResult{Jobs: make([]*rivertype.JobRow, len(jobs))}
	for i, j := range jobs {
		row, err := jobRow(j)
		res.Jobs[i] = row
		if err != nil {
			if res.DecodeErrors == nil {
				res.DecodeErrors = make(map[int64]error)
			}
			res.DecodeErrors[j.ID] = err
		}
	}
	return res
}

// jobRow returns a job as River knows it, but for UniqueStates, which are of interest when a job is inserted.
func jobRow(j db.RiverJob) (row *rivertype.JobRow, err error) {
	row = &rivertype.JobRow{
		ID: j.ID, Attempt: max(int(j.Attempt), 0), AttemptedAt: pg.UTC(j.AttemptedAt), AttemptedBy: j.AttemptedBy,
		CreatedAt: j.CreatedAt.UTC(), EncodedArgs: j.Args, Errors: make([]rivertype.AttemptError, len(j.Errors)),
		FinalizedAt: pg.UTC(j.FinalizedAt), Kind: j.Kind, MaxAttempts: max(int(j.MaxAttempts), 0), Metadata: j.Metadata,
		Priority: max(int(j.Priority), 0), Queue: j.Queue, ScheduledAt: j.ScheduledAt.UTC(),
		State: rivertype.JobState(j.State), Tags: j.Tags, UniqueKey: j.UniqueKey,
	}

	for i, text := range j.Errors {
		if err := riverdriver.UnmarshalAttemptError(text, &row.Errors[i]); err != nil {
			row.Errors = nil
			return row, err
		}
	}
	return row, nil
}
