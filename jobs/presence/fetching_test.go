package presence_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs/presence"
)

func TestRunsKnowWhatAFetchHasBrought(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := presence.NewRuns()
		known := func() any {
			ids, ok := r.Known()
			if !ok {
				return "not all"
			}
			return ids
		}
		require.Empty(t, known())

		frozen, quick := r.Fetch(), r.Fetch()
		one, two := &rivertype.JobRow{ID: 1, Queue: "deliver"}, &rivertype.JobRow{ID: 2, Queue: "deliver"}
		quick([]*rivertype.JobRow{one})
		require.Equal(t, []int64{1}, known(), "before its run begins")
		<-time.After(presence.LostAfter)
		require.Equal(t, "not all", known(), "a fetch may have brought something by now")
		frozen([]*rivertype.JobRow{two})
		require.ElementsMatch(t, []int64{1, 2}, known())

		r.Begin(one)
		r.Begin(one)
		r.End(one)
		require.ElementsMatch(t, []int64{1, 2}, known(), "another run of it goes on")
		require.Equal(t, 1, r.Len())
		r.End(one)
		require.Equal(t, []int64{2}, known())

		r.Fetch()(nil) // it failed
		require.Equal(t, []int64{2}, known())
	})
}
