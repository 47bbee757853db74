package jobs_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs"
)

// Of the transactions that are open at the same time only one notifies. An application may hold that one open for as long
// as it likes: what the others enqueue meanwhile is found by the workers' poll.
func TestSkippedNotificationWaitsForThePollOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	cfg := b.config(t)
	cfg.River = jobs.DefaultConfig().River
	b.start(t, cfg)

	holder, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer holder.Rollback(b.ctx)
	var held uuid.UUID
	require.NoError(t, holder.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{}'::text)`, tenant).Scan(&held))
	var free bool
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT pg_try_advisory_xact_lock(1869968488, hashtext('deliver'))`).Scan(&free))
	require.False(t, free, "the open transaction is the one that notifies")

	// 20 events over 10 s.
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var waits []time.Duration
	for range 20 {
		<-tick.C
		began := time.Now()
		eventID := b.enqueue(t, `{}`)
		eventually(t, func() bool { return requests(b, eventID) == 1 }, func() any { return eventID })
		waits = append(waits, time.Since(began))
	}
	slices.Sort(waits)
	t.Logf("from commit to receipt: median %v, worst %v", waits[10], waits[19])
	require.Less(t, waits[10], 500*time.Millisecond, "the poll is 20 to 50 ms, on a machine that may be busy")
	require.Less(t, waits[19], 5*time.Second)
	require.Zero(t, requests(b, held), "not committed yet")

	require.NoError(t, holder.Commit(b.ctx))
	eventually(t, func() bool { return requests(b, held) == 1 }, func() any { return held })
}
