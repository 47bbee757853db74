package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
)

// A worker is not ready if it takes nothing of what is due for 10 s although it could. It could not if all its places are
// taken, and should not if a person has paused the queue.
func TestAWorkerThatFetchesNothingIsNotReady(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	answer := sync.OnceFunc(func() { close(free) })
	t.Cleanup(answer)
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		<-free
		w.WriteHeader(http.StatusNoContent)
	})
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	b.enqueue(t, `{}`)
	waits, paused, locked := b.enqueue(t, `{}`), b.enqueue(t, `{}`), b.enqueue(t, `{}`)
	const move = `UPDATE outhook.river_job SET queue = $1 WHERE id = $2`
	b.exec(t, move, "deliver_bulk", b.jobID(t, paused, endpointID))
	b.exec(t, move, "deliver_slow", b.jobID(t, locked, endpointID))
	b.exec(t, `INSERT INTO outhook.river_queue (name, paused_at, updated_at) VALUES ('deliver_bulk', now(), now())`)
	release := b.hold(t, `SELECT FROM outhook.river_job WHERE id = $1 FOR UPDATE`, b.jobID(t, locked, endpointID))

	cfg := b.config(t)
	cfg.River.MaxWorkers = 1
	client := b.start(t, cfg)
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	began := time.Now()
	eventually(t, func() bool { return client.Ready(b.ctx) != nil }, func() any { return nil })
	require.Greater(t, time.Since(began), 8*time.Second)
	for range 20 {
		err := client.Ready(b.ctx)
		require.ErrorIs(t, err, jobs.ErrNotFetching)
		require.ErrorContains(t, err, "deliver_slow", "and no other queue")
	}

	release()
	eventually(t, func() bool { return client.Ready(b.ctx) == nil }, func() any { return client.Ready(b.ctx) })
	state, _ := b.jobState(t, waits, endpointID)
	require.Equal(t, "available", state, "the only place is taken")
	state, _ = b.jobState(t, paused, endpointID)
	require.Equal(t, "available", state)
	answer()
	b.awaitState(t, waits, endpointID, db.DeliveryStateSucceeded)
}
