package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBurstIsDeliveredWhileItYields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	other, _ := b.endpoint(t, withTenant("other"))
	cfg := b.config(t)
	cfg.Lane.BulkRate = 100
	b.start(t, cfg)
	b.enqueueFor(t, "other", 1)
	b.awaitNonePending(t, other)

	const events = 150
	began := time.Now()
	b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, ARRAY[$2::int]), array_fill('invoice.paid'::text, ARRAY[$2::int]),
		array_fill('{}'::text, ARRAY[$2::int]))`, tenant, events)
	for b.pending(t, endpointID) > 0 {
		b.enqueueFor(t, "other", 1)
		b.awaitNonePending(t, other)
		require.Less(t, time.Since(began), time.Minute)
	}
	require.Greater(t, time.Since(began), time.Second, "100 a second, of which 5 were saved up")
}
