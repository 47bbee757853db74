package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
)

// stubClock stands still until it is set.
type stubClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stubClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stubClock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = to
}

// With River's clock stubbed: four attempts at 0, 1m, 3m and 7m, then failed, and never a fifth.
func TestDefaultScheduleExactly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusServiceUnavailable))
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	// The database wrote the job's scheduled_at; from here on time is what the test says, to the microsecond of Postgres.
	start := time.Now().Add(time.Second).Truncate(time.Microsecond)
	clock := &stubClock{now: start}
	cfg := b.config(t)
	cfg.Now = clock.Now
	b.start(t, cfg)

	due := start
	for number, delay := range append(retry.Fast(), 0) {
		clock.set(due)
		d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return int(d.AttemptCount) == number+1 })
		if delay == 0 {
			require.Equal(t, db.DeliveryStateFailed, d.State)
			break
		}
		due = due.Add(delay)
		require.Equal(t, db.DeliveryStatePending, d.State)
		require.WithinDuration(t, due, *d.NextAttemptAt, 0)
		b.awaitPromotion(t, clock, eventID, due)
	}

	// A fifth attempt would need a live job.
	clock.set(due.Add(24 * time.Hour))
	var live int
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'
		AND state IN ('available', 'running', 'retryable', 'scheduled', 'pending')`).Scan(&live))
	require.Zero(t, live)
	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 4)
	for i, want := range []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute} {
		require.WithinDuration(t, start.Add(want), attempts[i].StartedAt, 0, "attempt %d", i+1)
	}
	require.Len(t, b.receiver.received(), 4)
}

// awaitPromotion waits until the job is to run when it is due, sets the clock to just before, and makes it available:
// from here on only the fetch's own comparison keeps it from running early. Ours become available when they are due on the
// database's clock, which no test can set; the scheduler of somebody's own River client does it up to 5 s ahead.
func (b *testBundle) awaitPromotion(t *testing.T, clock *stubClock, eventID any, due time.Time) {
	t.Helper()
	clock.set(due.Add(-time.Millisecond))
	var state string
	var scheduledAt time.Time
	eventually(t, func() bool {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state::text, scheduled_at FROM outhook.river_job
			WHERE kind = 'deliver' AND args ->> 'event_id' = $1::text`, eventID).Scan(&state, &scheduledAt))
		return state == "retryable" || state == "scheduled"
	}, func() any { return state })
	require.WithinDuration(t, due, scheduledAt, 0)
	b.exec(t, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver' AND args ->> 'event_id' = $1::text`, eventID)
}
