package jobs_test

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/jobs"
)

// A worker whose clock is wrong lets a failed operation, erasure or retention rest for as long as any other does. River
// takes a time that is past for none, and lets the job wait by a policy of its own.
func TestFailedJobsRestByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-time.Hour, -time.Minute, 0, time.Minute, time.Hour} {
		clock := &dbclock.Clock{}
		for range 2 * dbclock.Samples {
			now := time.Now()
			clock.Sample(now, now, now.Add(off))
		}
		next := jobs.NextRetry(clock, &rivertype.JobRow{Attempt: 10, Kind: "operate"})
		require.WithinDuration(t, time.Now().Add(off+5*time.Second), next, 4*time.Second)
	}
}
