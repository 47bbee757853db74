package jobs_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
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

// Any login of the database may notify, on River's channels too. Nobody is believed: no run ends by it, no queue stops, and
// the leader stays. A pause that is in the queue's row holds, and so does its end.
func TestNobodyIsBelievedWhoNotifies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		if req.Header.Get("outhook-attempt") == "1" && strings.Contains(req.URL.Path, "held") {
			<-free
		}
	})
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.URL += "/held"; p.TimeoutMS = 30_000 })
	client, err := jobs.New(b.config(t))
	require.NoError(t, err)
	events, unsubscribe := client.River().Subscribe(river.EventKindQueuePaused, river.EventKindQueueResumed)
	defer unsubscribe()
	b.run(t, client)
	held := b.enqueue(t, `{}`)
	eventually(t, func() bool { return requests(b, held) == 1 }, func() any { return nil })
	const leader = `SELECT leader_id || elected_at FROM outhook.river_leader`
	eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM outhook.river_leader`) == 1 }, func() any { return nil })
	var before, after string
	require.NoError(t, b.pool.QueryRow(b.ctx, leader).Scan(&before))

	stranger := b.stranger(t)
	for range 200 {
		_, err := stranger.Exec(b.ctx, `SELECT pg_notify('outhook.river_control', json_build_object('action', 'cancel', 'job_id', i, 'queue', 'deliver')::text),
				pg_notify('outhook.river_control', json_build_object('action', a, 'queue', q)::text), pg_notify('outhook.river_insert', 'nonsense'),
				pg_notify('outhook.river_leadership', json_build_object('action', 'request_resign', 'name', q)::text)
			FROM generate_series(1, 10) AS i, unnest(ARRAY['pause', 'metadata_changed']) AS a, unnest(ARRAY['*', 'deliver', 'default']) AS q`)
		require.NoError(t, err)
	}
	release()
	b.awaitState(t, held, endpointID, db.DeliveryStateSucceeded)
	b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
	require.NoError(t, b.pool.QueryRow(b.ctx, leader).Scan(&after))
	require.Equal(t, before, after)

	heard := func(kind river.EventKind) {
		t.Helper()
		select {
		case e := <-events:
			require.Equal(t, kind, e.Kind)
			require.Equal(t, "deliver", e.Queue.Name)
		case <-time.After(60 * time.Second):
			require.FailNow(t, "nothing was heard", "%s", kind)
		}
	}
	require.Empty(t, events, "no queue was paused")
	require.NoError(t, client.River().QueuePause(b.ctx, "deliver", nil))
	heard(river.EventKindQueuePaused)
	waits := b.enqueue(t, `{}`)
	_, err = stranger.Exec(b.ctx, `NOTIFY "outhook.river_control", '{"action": "resume", "queue": "deliver"}'`)
	require.NoError(t, err)
	require.NoError(t, client.River().QueuePause(b.ctx, "operations", nil))
	require.NoError(t, client.River().QueueResume(b.ctx, "operations", nil))
	require.Zero(t, requests(b, waits))
	require.NoError(t, client.River().QueueResume(b.ctx, "deliver", nil))
	heard(river.EventKindQueueResumed)
	b.awaitState(t, waits, endpointID, db.DeliveryStateSucceeded)
}

// However many notifications come, River is told of a queue's new jobs once in a while, of no queue that there is not, and of
// the last one's.
func TestAStormOfNotificationsIsAFewHints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const every = 20 * time.Millisecond
	l := jobs.ListenerOf(b.pool, every)
	require.NoError(t, l.Connect(b.ctx))
	t.Cleanup(func() { require.NoError(t, l.Close(context.WithoutCancel(b.ctx))) })
	require.NoError(t, l.Listen(b.ctx, "river_insert"))
	require.NoError(t, l.Listen(b.ctx, "river_control"))
	stranger := b.stranger(t)
	began, done := time.Now(), make(chan error, 1)
	go func() {
		_, err := stranger.Exec(b.ctx, `SELECT pg_notify('outhook.river_insert', p) FROM generate_series(1, 10000) AS i,
				unnest(ARRAY['nonsense ' || i, repeat('x', 4000) || i, json_build_object('queue', 'deliver', 'i', i)::text,
					json_build_object('queue', 'nobody ' || i)::text]) AS p;
			NOTIFY "outhook.river_insert", '{"queue" : "maintenance"}'`)
		done <- err
	}()

	told := map[string]int{}
	for last := false; !last; {
		n, err := l.WaitForNotification(b.ctx)
		require.NoError(t, err)
		told[n.Payload]++
		last = strings.Contains(n.Payload, "maintenance")
	}
	require.NoError(t, <-done)
	most := 2 + int(time.Since(began)/every)
	require.Less(t, most, 10_000)
	require.Positive(t, told[`{"queue":"deliver"}`])
	require.LessOrEqual(t, told[`{"queue":"deliver"}`], most)
	require.Len(t, told, 2, "and of nothing else")
}

// What is heard right after a hint was passed on is a hint too: it is passed on when it may be.
func TestTheLastHintIsNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := jobs.ListenerOf(b.pool, 100*time.Millisecond)
	require.NoError(t, l.Connect(b.ctx))
	t.Cleanup(func() { require.NoError(t, l.Close(context.WithoutCancel(b.ctx))) })
	require.NoError(t, l.Listen(b.ctx, "river_insert"))
	for range 3 {
		b.exec(t, `NOTIFY "outhook.river_insert", '{"queue": "deliver"}'`)
		n, err := l.WaitForNotification(b.ctx)
		require.NoError(t, err)
		require.Contains(t, n.Payload, `"deliver"`)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 300*time.Millisecond)
	defer cancel()
	_, err := l.WaitForNotification(ctx)
	require.Error(t, err, "nothing more was heard")
	require.NoError(t, l.Ping(b.ctx))
}
