package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/retry"
)

// receipt is what a receiver can tell of one request.
type receipt struct {
	path    string
	eventID string
	attempt string
}

// 10,000 events for three endpoints, one of which fails the first two times: events, deliveries, attempts and receipts
// agree exactly.
func TestTenThousandEvents(t *testing.T) {
	t.Parallel()
	events := 10_000
	if testing.Short() { // with the race detector
		events = 2000
	}
	const groupSize = 40
	b := setup(t)
	var mu sync.Mutex
	receipts := make(map[receipt]int)
	b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
		r := receipt{req.URL.Path, req.Header.Get("webhook-id"), req.Header.Get("outhook-attempt")}
		mu.Lock()
		receipts[r]++
		mu.Unlock()
		if r.path == "/fails" && r.attempt < "3" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	schedule := withSchedule(retry.Schedule{time.Second, time.Second})
	paths := make(map[uuid.UUID]string)
	for _, path := range []string{"/first", "/second", "/fails"} {
		id, _ := b.endpoint(t, schedule, withURL(b.receiver.URL+path))
		paths[id] = path
	}
	cfg := b.config(t)
	cfg.River.MaxWorkers, cfg.Deliver.KeptJobRate = 200, 0
	b.start(t, cfg)
	for range events / groupSize {
		var n int
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT sum(delivery_count) FROM outhook.enqueue_many(
			array_fill($1::text, ARRAY[$2::int]), array_fill('a.b'::text, ARRAY[$2::int]), array_fill('{"a": 1}'::text, ARRAY[$2::int]))`,
			tenant, groupSize).Scan(&n))
		require.Equal(t, 3*groupSize, n)
	}

	// A tenth after the other: a machine that does other things may take longer for all than eventually waits.
	deliveries := 3 * events
	for left := deliveries - deliveries/10; left >= 0; left -= deliveries / 10 {
		var pending int
		eventually(t, func() bool {
			pending = b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`)
			return pending <= left
		}, func() any { return pending })
	}

	var storedEvents, succeeded, attempts, tries int
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM outhook.events),
		(SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'),
		(SELECT count(*) FROM outhook.delivery_attempts), (SELECT sum(try_count) FROM outhook.deliveries)`).
		Scan(&storedEvents, &succeeded, &attempts, &tries))
	require.Equal(t, events, storedEvents)
	require.Equal(t, 3*events, succeeded)
	require.Equal(t, 5*events, attempts, b.outcomes(t))
	require.Equal(t, 2*events, tries)

	mu.Lock()
	defer mu.Unlock()
	require.Len(t, receipts, 5*events)
	rows, err := b.pool.Query(b.ctx, `SELECT event_id::text, endpoint_id, number::text FROM outhook.delivery_attempts`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var r receipt
		var endpointID uuid.UUID
		require.NoError(t, rows.Scan(&r.eventID, &endpointID, &r.attempt))
		r.path = paths[endpointID]
		require.Equal(t, 1, receipts[r], r)
	}
	require.NoError(t, rows.Err())
}

// outcomes says how many attempts of each outcome and error there are.
func (b *testBundle) outcomes(t *testing.T) string {
	t.Helper()
	var text string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT string_agg(format('%s %s %s: %s', outcome, status_code, error, n), '; ') FROM (
		SELECT outcome, status_code, error, count(*) AS n FROM outhook.delivery_attempts GROUP BY 1, 2, 3) AS g`).Scan(&text))
	return text
}
