package rollup_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/rollup"
)

// What has been quiet is told at once, what is busy once a minute, and all together each time.
func TestBusyEndpointsWaitForTheirMinute(t *testing.T) {
	t.Parallel()
	var c rollup.Counter
	endpoint, now := uuid.New(), time.Now()
	observe := func(n int) {
		for range n {
			c.Observe([]rollup.Observation{{
				TenantID: "acme", EndpointID: endpoint, At: now, Outcome: db.AttemptOutcomeSucceeded, Latency: -1,
				State: db.DeliveryStateSucceeded,
			}})
		}
	}

	observe(3)
	require.Equal(t, 3, c.Take(now, time.Minute, "acme", endpoint))
	observe(2)
	require.Zero(t, c.Take(now.Add(10*time.Second), time.Minute, "acme", endpoint))
	observe(4)
	require.Equal(t, 4, c.Take(now.Add(20*time.Second), time.Minute, "", uuid.Nil))
	observe(1)
	require.Equal(t, 7, c.Take(now.Add(time.Minute), time.Minute, "acme", endpoint))
	require.Zero(t, c.Take(now.Add(2*time.Minute), time.Minute, "acme", endpoint))
	observe(5)
	require.Equal(t, 5, c.Take(now.Add(2*time.Minute+time.Second), time.Minute, "acme", uuid.Nil))
}

func BenchmarkObserve(b *testing.B) {
	var c rollup.Counter
	list := make([]rollup.Observation, 34)
	for i := range list {
		list[i] = rollup.Observation{
			TenantID: "acme", EndpointID: uuid.New(), At: time.Now(), Outcome: db.AttemptOutcomeSucceeded,
			Duration: time.Millisecond, Latency: 5 * time.Millisecond, State: db.DeliveryStateSucceeded,
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Observe(list)
	}
}
