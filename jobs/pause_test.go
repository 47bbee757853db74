package jobs_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/ledger"
)

func (b *testBundle) pause(t *testing.T, tenantID string) (p db.Pause) {
	t.Helper()
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) (err error) {
		p, err = ledger.Pause(b.ctx, tx, tenantID, "alice", "a move")
		return err
	}))
	return p
}

func (b *testBundle) resume(t *testing.T, tenantID string) (p *db.Pause) {
	t.Helper()
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) (err error) {
		p, err = ledger.Resume(b.ctx, tx, tenantID)
		return err
	}))
	return p
}

// requests counts those that came below a path.
func (b *testBundle) requests(t *testing.T, endpointID uuid.UUID) (n int) {
	t.Helper()
	e, err := db.New().GetEndpoint(b.ctx, b.pool, endpointID)
	require.NoError(t, err)
	for _, r := range b.receiver.received() {
		if strings.HasSuffix(e.URL, r.path) {
			n++
		}
	}
	return n
}

// While a tenant is paused nothing of its leaves, whichever way its deliveries go, and others' do; then everything does,
// but for what was paused before.
func TestPauseOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, _ := b.endpoint(t)
	slow, _ := b.endpoint(t)
	b.openLane(t, slow)
	limited := b.limited(t, 100, "second")
	asleep, _ := b.endpoint(t)
	b.exec(t, `UPDATE outhook.endpoints SET status = 'paused' WHERE id = $1`, asleep)
	other, _ := b.endpoint(t, withTenant("other"))
	b.start(t, b.config(t))

	first := b.pause(t, tenant)
	require.Equal(t, first, b.pause(t, tenant), "a pause that holds stays as it is")
	b.enqueueFor(t, tenant, 3)
	b.exec(t, `SELECT outhook.enqueue_many(array_fill($1::text, '{120}'), array_fill('invoice.paid'::text, '{120}'), array_fill('{}'::text, '{120}'))`, tenant)
	b.enqueueFor(t, "other", 3)
	b.awaitNonePending(t, other)

	aside := func() int {
		return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue LIKE 'endpoint-%' AND state = 'available' AND attempt = 0`)
	}
	eventually(t, func() bool { return aside() == 4*123 }, func() any { return aside() })
	b.awaitLook(t)
	require.Equal(t, 4*123, aside(), "nobody brings them back")
	for _, id := range []uuid.UUID{plain, slow, limited, asleep} {
		require.Equal(t, 123, b.pending(t, id))
		require.Zero(t, b.requests(t, id))
	}
	require.Zero(t, b.count(t, `SELECT coalesce(sum(attempt_count), 0) FROM outhook.deliveries AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
		WHERE n.tenant_id = $1`, tenant))
	require.Empty(t, b.inspect(t))

	require.NotNil(t, b.resume(t, tenant))
	require.Nil(t, b.resume(t, tenant), "it has ended")
	require.Empty(t, b.inspect(t), "the pacer brings them back")
	for _, id := range []uuid.UUID{plain, slow, limited} {
		b.awaitNonePending(t, id)
		require.Equal(t, 123, b.requests(t, id))
	}
	require.Equal(t, 123, b.pending(t, asleep), "it was paused itself")
	require.Zero(t, b.requests(t, asleep))
}

// A retry whose time passes meanwhile waits for the end of the pause.
func TestRetriesWaitForTheEndOfAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(status(http.StatusInternalServerError))
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second, time.Second}))
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount > 0 })

	b.pause(t, tenant)
	eventually(t, func() bool {
		state, queue := b.jobState(t, eventID, endpointID)
		return state == "available" && queue == ledger.EndpointQueuePrefix+endpointID.String()
	}, func() any { return b.delivery(t, eventID, endpointID) })
	before := b.delivery(t, eventID, endpointID)
	b.awaitLook(t)
	require.Equal(t, before, b.delivery(t, eventID, endpointID))
	require.Len(t, b.attempts(t, eventID), int(before.AttemptCount))

	b.receiver.answers(nil)
	b.resume(t, tenant)
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, before.AttemptCount+1, d.AttemptCount)
}

// The probe of a disabled endpoint does, too.
func TestAProbeWaitsForTheEndOfAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.ail(t, endpointID, 30, 6*24*time.Hour)
	b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'failing: by hand'`)
	b.exec(t, `UPDATE outhook.endpoint_health SET probe_at = now()`)
	cfg := b.healthConfig(t)
	require.NoError(t, b.probe(cfg))
	b.pause(t, tenant)
	b.start(t, cfg)
	aside := func() int {
		return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue LIKE 'endpoint-%' AND state = 'available' AND attempt = 0`)
	}
	eventually(t, func() bool { return aside() == 1 }, func() any { return aside() })
	b.awaitLook(t)
	require.Equal(t, 1, aside())
	require.Empty(t, b.receiver.received())

	b.resume(t, tenant)
	b.awaitStatus(t, endpointID, db.EndpointStatusEnabled)
}

// awaitLook waits until the pacer has looked everywhere once more: it takes its lease each time.
func (b *testBundle) awaitLook(t *testing.T) {
	t.Helper()
	until := func() (at time.Time) {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(max(until), 'epoch') FROM outhook.leases WHERE name = 'pacer'`).Scan(&at))
		return at
	}
	began := until()
	eventually(t, func() bool { return until().After(began.Add(2 * time.Second)) }, func() any { return until() })
}

// Of everything nothing leaves 2 s after the order, however much is enqueued, and no job moves; then everything goes on.
func TestPauseOfEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hangs := b.hangPath(t)
	hanging, _ := b.endpoint(t, withURL(b.receiver.URL+hangs.path))
	client := b.start(t, b.config(t))
	b.enqueue(t, `{}`)
	eventually(t, func() bool { return hangs.now.Load() == 1 }, func() any { return hangs.now.Load() })
	b.exec(t, `UPDATE outhook.endpoints SET event_types = '{none}' WHERE id = $1`, hanging)
	quick, _ := b.endpoint(t)
	b.exec(t, `UPDATE outhook.river_queue SET paused_at = '2026-01-02T03:04:05Z' WHERE name = 'deliver_limited'`) // by a person

	p := b.pause(t, ledger.PauseAll)
	require.Equal(t, p, b.pause(t, ledger.PauseAll), "a pause that holds stays as it is")
	began, n, late := time.Now(), 0, 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for at := began; at.Sub(began) < 4*time.Second; at = <-tick.C {
		b.enqueue(t, `{}`)
		if n++; at.Sub(began) < 2*time.Second {
			late = b.requests(t, quick)
		}
	}
	require.Equal(t, late, b.requests(t, quick))
	require.Equal(t, n, b.pending(t, quick)+late)
	require.NoError(t, client.Ready(b.ctx), "it is no failure")
	require.Equal(t, n-late, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = 'deliver' AND state = 'available' AND attempt = 0`))

	hangs.release()
	b.awaitNonePending(t, hanging)

	require.NotNil(t, b.resume(t, ledger.PauseAll))
	b.awaitNonePending(t, quick)
	require.Equal(t, n, b.requests(t, quick))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_queue WHERE paused_at IS NOT NULL`), "what a person has paused stays")
	require.Nil(t, b.resume(t, ledger.PauseAll))
}

// A worker that starts in the middle of a pause begins nothing; and River UI's Resume of all queues ends it.
func TestAWorkerThatStartsInAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	p := b.pause(t, ledger.PauseAll)
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	b.awaitLook(t)
	require.Equal(t, 1, b.pending(t, endpointID))

	b.exec(t, `UPDATE outhook.river_queue SET paused_at = NULL`)
	b.exec(t, `SELECT pg_notify('outhook.river_control', '{}')`)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	pauses, err := db.New().ListPauses(b.ctx, b.pool, 10)
	require.NoError(t, err)
	require.Empty(t, pauses)
	require.True(t, b.pause(t, ledger.PauseAll).PausedAt.After(p.PausedAt), "a new one")
}
