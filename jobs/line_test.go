package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/line"
	"github.com/outhook/outhook/jobs/reconcile"
)

func inOrder(mode string) endpointOption {
	return func(p *db.InsertEndpointParams) { p.Ordered = mode }
}

// enqueueIn enqueues an event with an ordering key, "" for none.
func (b *testBundle) enqueueIn(t *testing.T, key, payload string) (id uuid.UUID) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', $2::text, ordering_key => $3)`, tenant, payload, key).Scan(&id))
	return id
}

// bodies returns what arrived, in the order in which it did.
func (r *receiver) bodies() (list []string) {
	for _, req := range r.received() {
		list = append(list, string(req.body))
	}
	return list
}

func TestAnOrderedEndpointGetsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	underWay, most := 0, 0
	b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		underWay++
		most = max(most, underWay)
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			underWay--
		}()
		if req.Header.Get("outhook-sequence") == "3" && req.Header.Get("outhook-attempt") == "1" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	endpointID, _ := b.endpoint(t, inOrder("skip"), withSchedule(retry.Schedule{time.Second}))
	b.start(t, b.config(t))
	var want []string
	var last uuid.UUID
	for i := range 20 {
		body := strconv.Itoa(i)
		last = b.enqueue(t, body)
		if want = append(want, body); i == 2 {
			want = append(want, body) // it fails once
		}
	}
	b.awaitState(t, last, endpointID, db.DeliveryStateSucceeded)

	require.Equal(t, want, b.receiver.bodies())
	require.Equal(t, 1, most)
	for i, req := range b.receiver.received() {
		n := i + 1
		if i > 2 {
			n--
		}
		require.Equal(t, strconv.Itoa(n), req.header.Get("outhook-sequence"))
	}
	require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'pending'`))
}

// Who has settled a delivery of a line fetches the next one at once: neither its poll nor the pacer is waited for.
func TestTheNextInLineIsFetchedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, inOrder("skip"))
	var last uuid.UUID
	for i := range 40 {
		last = b.enqueue(t, strconv.Itoa(i))
	}
	cfg := b.config(t)
	cfg.River.FetchPollInterval = time.Minute
	began := time.Now()
	b.start(t, cfg)
	b.awaitState(t, last, endpointID, db.DeliveryStateSucceeded)
	require.Less(t, time.Since(began), 30*time.Second)
}

func TestKeysGoBesideEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.Header.Get("x-key"), "held") {
			<-free
		}
	})
	endpointID, _ := b.endpoint(t)
	b.start(t, b.config(t))
	publish := func(key string, n int) (id uuid.UUID) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', $2::text, ordering_key => $3, headers => jsonb_build_object('x-key', $3::text))`,
			tenant, strconv.Itoa(n), key).Scan(&id))
		return id
	}
	first, second := publish("held", 1), publish("held", 2)
	other := publish("other", 3)
	none := b.enqueue(t, "4")
	b.awaitState(t, other, endpointID, db.DeliveryStateSucceeded)
	b.awaitState(t, none, endpointID, db.DeliveryStateSucceeded)
	state, queue := b.jobState(t, second, endpointID)
	require.Equal(t, "pending", state)
	require.True(t, strings.HasPrefix(queue, ledger.LineQueuePrefix), queue)
	release()
	b.awaitState(t, first, endpointID, db.DeliveryStateSucceeded)
	b.awaitState(t, second, endpointID, db.DeliveryStateSucceeded)
}

func TestWhatFollowsAFailureInLine(t *testing.T) {
	t.Parallel()
	once := withSchedule(retry.Schedule{})

	t.Run("SkipGoesOn", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, inOrder("skip"), once)
		first, second := b.enqueue(t, "1"), b.enqueue(t, "2")
		b.start(t, b.config(t))
		b.awaitState(t, second, endpointID, db.DeliveryStateFailed)
		require.Equal(t, db.DeliveryStateFailed, b.delivery(t, first, endpointID).State)
	})

	t.Run("BlockWaitsForAPerson", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, inOrder("block"), once)
		first, second := b.enqueue(t, "1"), b.enqueue(t, "2")
		b.start(t, b.config(t))
		b.awaitState(t, first, endpointID, db.DeliveryStateFailed)
		n, err := db.New().GetEndpoint(b.ctx, b.pool, endpointID)
		require.NoError(t, err)
		require.Equal(t, db.EndpointStatusPaused, n.Status)
		require.Equal(t, "order: event "+first.String()+" has used up its schedule; replay it or not, then enable the endpoint", n.StatusReason)
		state, _ := b.jobState(t, second, endpointID)
		require.Equal(t, "pending", state)

		// A replay goes before what waits.
		b.receiver.answers(status(http.StatusNoContent))
		require.NoError(t, b.replay(t, first, endpointID, false))
		b.exec(t, `UPDATE outhook.endpoints SET status = 'enabled' WHERE id = $1`, endpointID)
		b.awaitState(t, second, endpointID, db.DeliveryStateSucceeded)
		require.Equal(t, []string{"1", "1", "2"}, b.receiver.bodies())
		require.Equal(t, "1", b.receiver.received()[1].header.Get("outhook-sequence"))
		require.Equal(t, "2", b.receiver.received()[2].header.Get("outhook-sequence"))
	})

	t.Run("AKeyGoesOn", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, inOrder("block"), once)
		b.enqueueIn(t, "k", "1")
		second := b.enqueueIn(t, "k", "2")
		b.start(t, b.config(t))
		b.awaitState(t, second, endpointID, db.DeliveryStateFailed)
	})
}

// Whatever ends the one that is under way, the next one follows.
func TestWhateverEndsOneTheNextFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
	b.start(t, b.config(t))
	tried := func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 }
	for i, end := range []func(id uuid.UUID){
		func(id uuid.UUID) {
			require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, id, endpointID) }))
		},
		func(id uuid.UUID) {
			require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { _, err := ledger.ErasePayload(b.ctx, tx, id, true); return err }))
		},
	} {
		key := strconv.Itoa(i)
		first := b.enqueueIn(t, key, `"first"`)
		b.await(t, first, endpointID, tried)
		second := b.enqueueIn(t, key, `"second"`)
		state, _ := b.jobState(t, second, endpointID)
		require.Equal(t, "pending", state)
		end(first)
		b.await(t, second, endpointID, tried)
	}
}

// What is for later takes its place in line at its time, before which others pass it; until then it can be taken back.
func TestLaterInLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
	publish := func(body string, in time.Duration) (id uuid.UUID) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', $2::text, ordering_key => 'k', deliver_at => now() + $3::interval)`,
			tenant, body, in).Scan(&id))
		return id
	}
	never, soon := publish("0", time.Hour), publish("1", 500*time.Millisecond)
	first := b.enqueueIn(t, "k", "2")
	b.start(t, b.config(t))
	tried := func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 }
	b.await(t, first, endpointID, tried)
	third := publish("3", time.Second)
	end := func(id uuid.UUID) {
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, id, endpointID) }))
	}

	// It is due, and the line is at another one.
	var due time.Time
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT deliver_at FROM outhook.events WHERE id = $1`, soon).Scan(&due))
	eventually(t, func() bool { return time.Now().After(due) }, func() any { return due })
	state, _ := b.jobState(t, soon, endpointID)
	require.Equal(t, "pending", state)
	end(first)
	b.await(t, soon, endpointID, tried)
	end(soon)
	b.await(t, third, endpointID, tried)

	require.True(t, b.takeBack(t, never).Withdrawn)
	require.Equal(t, db.DeliveryStateCancelled, b.delivery(t, never, endpointID).State)
	require.False(t, b.takeBack(t, third).Withdrawn)
	require.Equal(t, []string{"2", "1", "3"}, b.receiver.bodies())
}

// What a transaction has put in line that has read its endpoint before that ended, and commits after all else of it was
// cancelled, is cancelled too.
func TestALineOfAnEndedEndpointEnds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{"Disabled": "status = 'disabled'", "Deleted": "status = 'paused', deleted_at = now()"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t, inOrder("block"))
			first, second := b.enqueue(t, "1"), b.enqueue(t, "2")
			b.exec(t, `UPDATE outhook.endpoints SET `+change+` WHERE id = $1`, endpointID)
			b.start(t, b.config(t))
			b.awaitState(t, first, endpointID, db.DeliveryStateCancelled)
			b.awaitState(t, second, endpointID, db.DeliveryStateCancelled)
		})
	}
}

// A job that is lost is replaced, at its place and not before its time.
func TestALostJobIsReplacedInLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
	b.start(t, b.config(t))
	first := b.enqueueIn(t, "k", `"first"`)
	b.await(t, first, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
	b.exec(t, `DELETE FROM outhook.river_job AS j USING outhook.deliveries AS d WHERE d.job_id = j.id AND d.event_id = $1`, first)
	_, err := reconcile.Repair(b.ctx, b.pool)
	require.NoError(t, err)
	eventually(t, func() bool { state, _ := b.jobState(t, first, endpointID); return state == "scheduled" },
		func() any { state, queue := b.jobState(t, first, endpointID); return state + queue })

	second := b.enqueueIn(t, "k", `"second"`)
	state, _ := b.jobState(t, second, endpointID)
	require.Equal(t, "pending", state)
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, first, endpointID) }))
	b.await(t, second, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 })
}

func TestReplayInOrderNeedsForce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	id := b.enqueueIn(t, "k", "1")
	b.start(t, b.config(t))
	b.awaitState(t, id, endpointID, db.DeliveryStateSucceeded)
	require.ErrorIs(t, b.replay(t, id, endpointID, false), ledger.ErrInOrder)
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
		return ledger.Replay(b.ctx, tx, id, endpointID, ledger.How{Force: true})
	}))
	b.await(t, id, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 && d.State == db.DeliveryStateSucceeded })
	require.Equal(t, "1", b.receiver.received()[1].header.Get("outhook-sequence"))
}

// Ids of one key are in the order of the commits: who comes second waits for the first one's end, and draws his then.
func TestKeysAreInTheOrderOfTheCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	first, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	defer func() { _ = first.Rollback(b.ctx) }()
	var before, after uuid.UUID
	require.NoError(t, first.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '1', ordering_key => 'k')`, tenant).Scan(&before))

	for _, isolation := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead} {
		second := make(chan error, 1)
		go func() {
			second <- pgx.BeginTxFunc(b.ctx, b.pool, pgx.TxOptions{IsoLevel: isolation}, func(tx pgx.Tx) error {
				return tx.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '2', ordering_key => 'k')`, tenant).Scan(&after)
			})
		}()
		eventually(t, func() bool {
			return b.number(t, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) > 0
		}, func() any { return "nobody waits" })
		var committed time.Time
		require.NoError(t, first.QueryRow(b.ctx, `SELECT clock_timestamp()`).Scan(&committed))
		require.NoError(t, first.Commit(b.ctx))
		require.NoError(t, <-second)
		require.Less(t, before.String(), after.String())
		require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.events WHERE id = $1 AND created_at > $2`, after, committed))

		first, err = b.pool.Begin(b.ctx)
		require.NoError(t, err)
		require.NoError(t, first.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'a.b', '1', ordering_key => 'k')`, tenant).Scan(&before))
	}
}

// A line that stands is found, and released.
func TestStandingLinesAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.enqueueIn(t, "k", "1")
	found, err := reconcile.Inspect(b.ctx, b.pool, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 1, countOf(found, "lines_standing"))

	found, err = reconcile.Repair(b.ctx, b.pool)
	require.NoError(t, err)
	require.Equal(t, 1, countOf(found, "lines_standing"))
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE queue = 'deliver' AND state = 'available' AND unique_key IS NOT NULL`))

	b.enqueueIn(t, "paused", "1")
	b.exec(t, `UPDATE outhook.endpoints SET status = 'paused' WHERE id = $1`, endpointID)
	keys, err := line.Standing(b.ctx, b.pool)
	require.NoError(t, err)
	require.Empty(t, keys, "nothing of a paused endpoint is to be released")
}

func countOf(found []reconcile.Finding, check string) int {
	for _, f := range found {
		if f.Check == check {
			return f.Count
		}
	}
	return -1
}

// 10,000 events over 100 keys, of which one request in ten fails, and workers that crash: what arrives of each key is in
// order, and nothing is lost.
func TestOrderHoldsWhateverHappens(t *testing.T) {
	t.Parallel()
	events := 10_000
	if testing.Short() {
		events = 1000
	}
	const keys = 100
	b := setup(t)
	var mu sync.Mutex
	logs := make(map[string][]int)
	b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
		n, err := strconv.Atoi(req.Header.Get("x-n"))
		mu.Lock()
		logs[req.Header.Get("x-key")] = append(logs[req.Header.Get("x-key")], n)
		mu.Unlock()
		if err != nil || rand.IntN(10) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	schedule := make(retry.Schedule, 30)
	for i := range schedule {
		schedule[i] = time.Second
	}
	b.endpoint(t, withSchedule(schedule))

	start := func() *jobs.Client {
		cfg := b.config(t)
		cfg.Deliver.KeptJobRate = 0
		client, err := jobs.New(cfg)
		require.NoError(t, err)
		require.NoError(t, client.Start(b.ctx))
		return client
	}
	clients := []*jobs.Client{start(), start()}
	defer func() {
		for _, c := range clients {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 20*time.Second)
			_ = c.Stop(ctx)
			cancel()
		}
	}()
	for i := 0; i < events; i += keys {
		_, err := b.pool.Exec(b.ctx, `SELECT outhook.enqueue_many(array_fill($1::text, ARRAY[$2::int]), array_fill('a.b'::text, ARRAY[$2::int]),
			array_fill('1'::text, ARRAY[$2::int]),
			headers => (SELECT array_agg(json_build_object('x-key', k::text, 'x-n', $3::int::text)::text ORDER BY k) FROM generate_series(1, $2::int) AS k),
			ordering_keys => (SELECT array_agg(k::text ORDER BY k) FROM generate_series(1, $2::int) AS k))`, tenant, keys, i/keys)
		require.NoError(t, err)
	}

	pending := events
	crashed, cancel := context.WithCancel(b.ctx)
	cancel()
	for left := events - events/20; left >= 0; left -= events / 20 {
		eventually(t, func() bool {
			pending = b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`)
			return pending <= left
		}, func() any { return pending })
		if left > 0 && left/(events/20)%2 == 0 { // one crashes: it records nothing any more
			i := rand.IntN(len(clients))
			_ = clients[i].Stop(crashed)
			clients[i] = start()
		}
	}

	require.Equal(t, events, b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`), b.outcomes(t))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, logs, keys)
	for key, log := range logs {
		last := -1
		for i, n := range log {
			require.True(t, n == last || n == last+1, "key %s: %d after %d, the %dth of %v", key, n, last, i, log)
			last = n
		}
		require.Equal(t, events/keys-1, last, key)
	}
	require.Equal(t, keys, b.number(t, fmt.Sprintf(`SELECT count(*) FROM outhook.lines WHERE sequence = %d`, events/keys)))
}
