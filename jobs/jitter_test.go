package jobs_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
)

func withJitter(j float64) endpointOption {
	return func(p *db.InsertEndpointParams) { p.RetryJitter = &j }
}

// What fails in the same moment, which is what a receiver's outage is: with jitter it is due at times that spread over
// what the jitter may add, and nothing before its delay; without, in the same moment again, to the microsecond.
func TestRetryJitter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server   retry.Jitter
		endpoint []endpointOption
		most     time.Duration // what it may add to the minute
	}{
		"NoneIsExact":             {},
		"TheServers":              {server: 0.5, most: 30 * time.Second},
		"AnEndpointsOwn":          {endpoint: []endpointOption{withJitter(0.5)}, most: 30 * time.Second},
		"AnEndpointsOwnIsGreater": {server: 0.1, endpoint: []endpointOption{withJitter(1)}, most: time.Minute},
		"AnEndpointsOwnIsNone":    {server: 0.5, endpoint: []endpointOption{withJitter(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receiver.answers(status(http.StatusInternalServerError))
			endpointID, _ := b.endpoint(t, tc.endpoint...)
			b.enqueueFor(t, tenant, 100)

			failed := b.failAtOnce(t, tc.server, 100)
			requireSpread(t, b.dueTimes(t), failed.Add(time.Minute), tc.most)
			require.Equal(t, 100, b.pending(t, endpointID))
		})
	}
}

// A receiver that asks all for the same wait would get them all at its end.
func TestRetryJitterIsAddedToRetryAfter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server retry.Jitter
		most   time.Duration
	}{"NoneIsExact": {}, "Jitter": {0.5, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			for range 50 { // each asked once: an endpoint that has asked for a wait gets nothing more
				b.endpoint(t)
			}
			b.enqueue(t, `{}`)

			failed := b.failAtOnce(t, tc.server, 50)
			requireSpread(t, b.dueTimes(t), failed.Add(2*time.Minute), tc.most)
		})
	}
}

// failAtOnce lets workers with a clock that stands still attempt so many deliveries, and returns its time.
func (b *testBundle) failAtOnce(t *testing.T, jitter retry.Jitter, deliveries int) time.Time {
	t.Helper()
	clock := &stubClock{now: time.Now().Add(time.Second).Truncate(time.Microsecond)}
	cfg := b.config(t)
	cfg.Now, cfg.Deliver.Jitter = clock.Now, jitter
	b.start(t, cfg)

	var attempted int
	eventually(t, func() bool {
		attempted = b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE attempt_count = 1`)
		return attempted == deliveries
	}, func() any { return attempted })
	return clock.now
}

// dueTimes returns when the deliveries are due, each when its job is.
func (b *testBundle) dueTimes(t *testing.T) (list []time.Time) {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, `SELECT d.next_attempt_at, j.scheduled_at FROM outhook.deliveries AS d
		JOIN outhook.river_job AS j ON j.id = d.job_id ORDER BY d.next_attempt_at`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var due, scheduled time.Time
		require.NoError(t, rows.Scan(&due, &scheduled))
		require.WithinDuration(t, due, scheduled, 0)
		list = append(list, due)
	}
	require.NoError(t, rows.Err())
	return list
}

// requireSpread requires of 50 sorted times or more that none is before least, none more than most after it, and that
// they reach from the first third of that to the last, which 50 miss by chance once in 10^8 runs.
func requireSpread(t *testing.T, times []time.Time, least time.Time, most time.Duration) {
	t.Helper()
	first, last := times[0].Sub(least), times[len(times)-1].Sub(least)
	require.GreaterOrEqual(t, first, time.Duration(0))
	require.LessOrEqual(t, last, most)
	if most > 0 {
		require.Less(t, first, most/3)
		require.Greater(t, last, most*2/3)
	}
}

// The workers rely on it; NaN is greater than any number to Postgres, and neither less nor greater to Go.
func TestRetryJitterHasBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	for _, j := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		_, err := b.pool.Exec(b.ctx, `UPDATE outhook.endpoints SET retry_jitter = $1`, j)
		require.ErrorContains(t, err, "endpoints_retry_jitter_check", j)

		cfg := b.config(t)
		cfg.Deliver.Jitter = retry.Jitter(j)
		_, err = jobs.New(cfg)
		require.ErrorContains(t, err, "Jitter must be a number from 0 to 1", j)
	}
	b.exec(t, `UPDATE outhook.endpoints SET retry_jitter = 1`)
	b.exec(t, `UPDATE outhook.endpoints SET retry_jitter = NULL`)
}
