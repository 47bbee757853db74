package jobs_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/operation"
)

// ended stores n events whose deliveries have all been settled by one attempt, some time ago.
func (b *testBundle) ended(t *testing.T, n int, eventType string, state db.DeliveryState, reason string, ago time.Duration) {
	t.Helper()
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`CREATE TEMP TABLE made ON COMMIT DROP AS SELECT outhook.enqueue('` + tenant + `', '` + eventType + `', '{}'::text) AS id FROM generate_series(1, $1)`,
			`UPDATE outhook.river_job SET state = 'discarded', finalized_at = now(), attempt = 1 WHERE (args ->> 'event_id')::uuid IN (SELECT id FROM made)`,
		} {
			args := []any{n}
			if sql[0] != 'C' {
				args = nil
			}
			if _, err := tx.Exec(b.ctx, sql, args...); err != nil {
				return err
			}
		}
		_, err := tx.Exec(b.ctx, `UPDATE outhook.deliveries SET state = $1, reason = nullif($2, ''), next_attempt_at = NULL, attempt_count = 1,
			try_count = 1, completed_at = now() - make_interval(secs => $3) WHERE event_id IN (SELECT id FROM made)`, state, reason, ago.Seconds())
		return err
	}))
}

func (b *testBundle) operate(t *testing.T, start func(pgx.Tx) (db.Operation, error)) (op db.Operation) {
	t.Helper()
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) (err error) {
		op, err = start(tx)
		return err
	}))
	return op
}

func (b *testBundle) recover(t *testing.T, endpointID uuid.UUID, f operation.Filter) db.Operation {
	t.Helper()
	return b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Recover(b.ctx, tx, endpointID, f) })
}

func (b *testBundle) awaitOperation(t *testing.T, id uuid.UUID, done func(db.Operation) bool) (op db.Operation) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		op, err = db.New().GetOperation(b.ctx, b.pool, id)
		require.NoError(t, err)
		return done(op)
	}, func() any { return op })
	return op
}

func completed(op db.Operation) bool { return op.State == operation.StateCompleted }

// lastHour is a filter whose until is long enough ago for one pass.
func lastHour() operation.Filter {
	until := time.Now().Add(-time.Minute)
	return operation.Filter{Since: time.Now().Add(-time.Hour), Until: &until}
}

// replays returns how many deliveries have had how many replay jobs.
func (b *testBundle) replays(t *testing.T) map[int]int {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, `SELECT n, count(*) FROM (SELECT count(*) AS n FROM outhook.river_job WHERE kind = 'deliver' AND args ? 'base'
		GROUP BY args ->> 'event_id', args ->> 'endpoint_id') AS w GROUP BY n`)
	require.NoError(t, err)
	counts := map[int]int{}
	var n, count int
	_, err = pgx.ForEachRow(rows, []any{&n, &count}, func() error { counts[n] = count; return nil })
	require.NoError(t, err)
	require.NoError(t, rows.Err())
	return counts
}

func TestRecover(t *testing.T) {
	t.Parallel()

	t.Run("ReplaysFailedAndEndpointCancelledOfTheRange", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.ended(t, 600, "invoice.paid", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
		b.ended(t, 20, "invoice.paid", db.DeliveryStateCancelled, ledger.ReasonEndpointDisabled, 10*time.Minute)
		b.ended(t, 3, "invoice.paid", db.DeliveryStateCancelled, ledger.ReasonOperator, 10*time.Minute)
		b.ended(t, 4, "invoice.paid", db.DeliveryStateFailed, ledger.ReasonExhausted, 2*time.Hour)
		b.ended(t, 5, "invoice.paid", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Second)
		b.ended(t, 6, "invoice.paid", db.DeliveryStateSucceeded, "", 10*time.Minute)
		other, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.EventTypes = []string{"other"} })
		b.exec(t, `UPDATE outhook.endpoints SET event_types = '{invoice.*}' WHERE id = $1`, endpointID)
		b.ended(t, 7, "other", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)

		op := b.recover(t, endpointID, lastHour())
		err := b.inTx(t, func(tx pgx.Tx) error { _, err := operation.Recover(b.ctx, tx, endpointID, lastHour()); return err })
		require.ErrorIs(t, err, operation.ErrUnderway)
		b.start(t, b.config(t))
		op = b.awaitOperation(t, op.ID, completed)
		require.EqualValues(t, 620, *op.TotalCount)
		require.EqualValues(t, 620, op.ReplayedCount)
		require.Zero(t, op.SkippedCount)
		require.Nil(t, op.LastError)
		eventually(t, func() bool { return len(b.receiver.received()) == 620 }, func() any { return len(b.receiver.received()) })
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 626
		}, func() any { return nil })
		require.Equal(t, map[int]int{1: 620}, b.replays(t))
		require.Equal(t, 620, b.count(t, `SELECT count(*) FROM outhook.delivery_attempts WHERE number = 2 AND trigger = 'manual'`))
		require.Equal(t, 3, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'cancelled'`))
		require.Equal(t, 7, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'failed' AND endpoint_id = $1`, other))

		again := b.recover(t, endpointID, lastHour())
		again = b.awaitOperation(t, again.ID, completed)
		require.Zero(t, again.ReplayedCount, "nothing that matches is left")
	})

	t.Run("WhatIsCommittedLateIsFound", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.ended(t, 5, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, time.Second)
		op := b.recover(t, endpointID, operation.Filter{Since: time.Now().Add(-time.Hour)})
		b.start(t, b.config(t))
		b.awaitOperation(t, op.ID, func(op db.Operation) bool { return op.ReplayedCount == 5 })
		b.ended(t, 2, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 30*time.Second) // before the position
		op = b.awaitOperation(t, op.ID, completed)
		require.EqualValues(t, 7, op.ReplayedCount)
		require.Equal(t, map[int]int{1: 7}, b.replays(t))
	})

	t.Run("EventsThatWereEnqueuedWhileItWasDisabledAreDeliveredIfAskedFor", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		before := b.enqueue(t, `{}`)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.EventTypes = []string{"invoice.*"} })
		b.ended(t, 3, "invoice.paid", db.DeliveryStateFailed, ledger.ReasonExhausted, time.Second)
		b.setStatus(t, endpointID, db.EndpointStatusDisabled)
		b.exec(t, `SELECT count(outhook.enqueue($1, 'invoice.paid', '{}'::text)) FROM generate_series(1, 700)`, tenant)
		b.exec(t, `SELECT outhook.enqueue($1, 'user.made', '{}'::text), outhook.enqueue('another', 'invoice.paid', '{}'::text)`, tenant)
		b.setStatus(t, endpointID, db.EndpointStatusEnabled)
		op := b.recover(t, endpointID, operation.Filter{Since: time.Now().Add(-time.Hour), Missed: true})
		b.start(t, b.config(t))
		op = b.awaitOperation(t, op.ID, completed)
		require.EqualValues(t, 703, op.ReplayedCount)
		require.Nil(t, op.TotalCount)
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 703
		}, func() any { return nil })
		require.Equal(t, 703, b.count(t, `SELECT count(*) FROM outhook.deliveries`))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE event_id = $1`, before))
		require.Len(t, b.receiver.received(), 703)
	})

	t.Run("WhatAFilterLeftOutIsNotMissed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) {
			path := `exists($."data"."n" ? (@ > 1))`
			p.EventTypes, p.Filter, p.FilterPath = []string{"invoice.*"}, []byte(`{"data":{"n":{"$gt":1}}}`), &path
		})
		b.setStatus(t, endpointID, db.EndpointStatusDisabled)
		for _, payload := range []string{`{"n": 1}`, `{"n": 2}`, `{"n": 3}`, `"\u0000"`} {
			b.exec(t, `SELECT outhook.enqueue($1, 'invoice.paid', $2), outhook.enqueue($1, 'user.made', $2)`, tenant, payload)
		}
		b.setStatus(t, endpointID, db.EndpointStatusEnabled)
		op := b.recover(t, endpointID, operation.Filter{Since: time.Now().Add(-time.Hour), Missed: true})
		b.start(t, b.config(t))
		op = b.awaitOperation(t, op.ID, completed)
		require.EqualValues(t, 2, op.ReplayedCount)
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id
			WHERE e.type = 'invoice.paid' AND e.payload::text IN ('{"n": 2}', '{"n": 3}')`))
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM outhook.deliveries`))
	})

	t.Run("ADisabledEndpointIsRefusedOrSkippedAndSoIsAPayloadThatIsGone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.ended(t, 5, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
		b.ended(t, 2, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
		b.exec(t, `UPDATE outhook.events SET payload = NULL WHERE id IN (SELECT event_id FROM outhook.deliveries ORDER BY event_id DESC LIMIT 2)`)
		op := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
		client, err := jobs.New(b.config(t))
		require.NoError(t, err)
		require.NoError(t, client.Start(b.ctx))
		op = b.awaitOperation(t, op.ID, completed)
		require.EqualValues(t, 2, op.SkippedCount, "their payload is gone")
		require.EqualValues(t, 5, op.ReplayedCount)
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 5
		}, func() any { return nil })
		require.NoError(t, client.Stop(b.ctx))
		b.exec(t, `UPDATE outhook.deliveries SET state = 'failed', completed_at = now() - interval '10 min' WHERE state = 'succeeded'`)

		op = b.recover(t, endpointID, lastHour())
		b.setStatus(t, endpointID, db.EndpointStatusDisabled)
		err = b.inTx(t, func(tx pgx.Tx) error { _, err := operation.Recover(b.ctx, tx, endpointID, lastHour()); return err })
		require.ErrorIs(t, err, ledger.ErrEndpointGone)
		b.start(t, b.config(t))
		op = b.awaitOperation(t, op.ID, completed)
		require.Zero(t, op.ReplayedCount)
		require.EqualValues(t, 7, op.SkippedCount)
	})
}

func TestReplayMany(t *testing.T) {
	t.Parallel()

	t.Run("ByTenantTypeAndState", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		b.ended(t, 5, "invoice.paid", db.DeliveryStateSucceeded, "", 10*time.Minute)
		b.ended(t, 4, "invoice.paid", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
		b.ended(t, 3, "user.made", db.DeliveryStateSucceeded, "", 10*time.Minute)
		b.ended(t, 2, "invoice.paid", db.DeliveryStateSucceeded, "", 2*time.Hour)
		nobody, acme := "nobody", tenant
		f := operation.Filter{Since: time.Now().Add(-time.Hour)} // an event is never younger than the end of its delivery, as until would have it
		f.States, f.EventTypes = []db.DeliveryState{db.DeliveryStateSucceeded}, []string{"invoice.*"}
		f.TenantID = &nobody
		none := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, f) })
		b.start(t, b.config(t))
		require.Zero(t, b.awaitOperation(t, none.ID, completed).ReplayedCount)
		f.TenantID = &acme
		some := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, f) })
		require.EqualValues(t, 5, b.awaitOperation(t, some.ID, completed).ReplayedCount)
		eventually(t, func() bool { return len(b.receiver.received()) == 5 }, func() any { return len(b.receiver.received()) })
	})

	t.Run("TwoAtOnceReplayNothingTwice", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		b.ended(t, 1500, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
		var ids []uuid.UUID
		for range 2 {
			ids = append(ids, b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) }).ID)
		}
		b.start(t, b.config(t))
		var sum int64
		for _, id := range ids {
			sum += b.awaitOperation(t, id, completed).ReplayedCount
		}
		require.EqualValues(t, 1500, sum)
		require.Equal(t, map[int]int{1: 1500}, b.replays(t))
	})
}

func TestOperationIsPacedPausedAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	free := make(chan struct{})
	b.receiver.answers(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	b.ended(t, 1200, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	op := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	cfg := b.config(t)
	cfg.River.MaxBulkWorkers, cfg.Operation.Backlog = 1, 100
	b.start(t, cfg)
	// One chunk, and no more while it waits.
	b.awaitOperation(t, op.ID, func(op db.Operation) bool { return op.ReplayedCount == 500 })
	paused := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Pause(b.ctx, tx, op.ID) })
	require.Equal(t, operation.StatePaused, paused.State)
	close(free)
	eventually(t, func() bool { return len(b.receiver.received()) >= 500 }, func() any { return len(b.receiver.received()) })
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'operate' AND state NOT IN ('completed', 'discarded', 'cancelled')`) == 0
	}, func() any { return nil })
	require.EqualValues(t, 500, b.awaitOperation(t, op.ID, func(db.Operation) bool { return true }).ReplayedCount)

	b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Resume(b.ctx, tx, op.ID) })
	done := b.awaitOperation(t, op.ID, completed)
	require.EqualValues(t, 1200, done.ReplayedCount)
	require.EqualValues(t, 1200, *done.TotalCount)
	require.Equal(t, map[int]int{1: 1200}, b.replays(t))
	err := b.inTx(t, func(tx pgx.Tx) error { _, err := operation.Cancel(b.ctx, tx, op.ID); return err })
	require.ErrorIs(t, err, operation.ErrOver)
	err = b.inTx(t, func(tx pgx.Tx) error { _, err := operation.Pause(b.ctx, tx, uuid.New()); return err })
	require.ErrorIs(t, err, operation.ErrNotFound)
}

// There are two slots. Operations that can't go on must not have them.
func TestOperationThatWaitsHoldsNoSlot(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(t *testing.T, b *testBundle, endpointID, operationID uuid.UUID){
		"APausedEndpointsBacklogIsFull": func(t *testing.T, b *testBundle, endpointID, _ uuid.UUID) {
			t.Helper()
			b.setStatus(t, endpointID, db.EndpointStatusPaused)
			b.exec(t, `SELECT count(outhook.enqueue($1, n.event_types[1], '{}'::text))
				FROM outhook.endpoints AS n, generate_series(1, 20) WHERE n.id = $2`, tenant, endpointID)
		},
		"SomebodyHoldsADelivery": func(t *testing.T, b *testBundle, endpointID, _ uuid.UUID) {
			t.Helper()
			b.hold(t, `SELECT * FROM outhook.deliveries WHERE endpoint_id = $1 LIMIT 1 FOR UPDATE`, endpointID)
		},
		"SomebodyHoldsTheOperation": func(t *testing.T, b *testBundle, _, operationID uuid.UUID) {
			t.Helper()
			b.hold(t, `SELECT * FROM outhook.operations WHERE id = $1 FOR UPDATE`, operationID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointIDs := map[string]uuid.UUID{}
			for _, eventType := range []string{"first", "second", "third", "another"} {
				endpointIDs[eventType], _ = b.endpoint(t, func(p *db.InsertEndpointParams) { p.EventTypes = []string{eventType} })
				b.ended(t, 5, eventType, db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
				if eventType != "another" {
					keep(t, b, endpointIDs[eventType], b.recover(t, endpointIDs[eventType], lastHour()).ID)
				}
			}
			cfg := b.config(t)
			cfg.Operation.Backlog = 10
			b.start(t, cfg)
			eventually(t, func() bool {
				return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'operate' AND attempted_at IS NOT NULL`) >= 2
			}, func() any { return nil })

			another := b.recover(t, endpointIDs["another"], lastHour()).ID
			done := b.awaitOperation(t, another, func(op db.Operation) bool { return op.ReplayedCount == 5 })
			require.Less(t, done.PassBeganAt.Sub(done.CreatedAt), 3*time.Second)
		})
	}
}

// A tenant's own bursts may fill its queue for as long as they like.
func TestATenantsBurstsDoNotStarveItsOperation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	failed, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.EventTypes = []string{"failed"} })
	b.ended(t, 5, "failed", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	b.endpoint(t, func(p *db.InsertEndpointParams) { p.EventTypes, p.TimeoutMS = []string{"burst"}, 30_000 })
	b.exec(t, `SELECT count(*) FROM outhook.enqueue_many(array_fill($1::text, '{200}'), array_fill('burst'::text, '{200}'), array_fill('{}'::text, '{200}'))`, tenant)
	cfg := b.config(t)
	cfg.River.MaxBulkWorkers, cfg.Operation.Backlog = 1, 10
	b.start(t, cfg)

	id := b.recover(t, failed, lastHour()).ID
	b.awaitOperation(t, id, func(op db.Operation) bool { return op.ReplayedCount == 5 })
	require.Greater(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = $1 AND state = 'available'`, b.bulkQueue(t, tenant)), 10)
}

// Bursts of one tenant, which may go on for hours, keep no operation of another's, nor one of another's endpoint, from going on.
// One of all tenants does wait for them.
func TestOthersBurstsKeepNoOperationFromGoingOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b.endpoint(t, withTenant("bursting"), func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	b.backlog(t, "bursting", 2500)
	endpointID, _ := b.endpoint(t)
	b.ended(t, 1200, "failed", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	cfg := b.config(t)
	cfg.River.MaxBulkWorkers, cfg.Operation.Backlog = 1, 2000
	b.start(t, cfg)

	all := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	op := b.awaitOperation(t, b.recover(t, endpointID, lastHour()).ID, completed)
	require.EqualValues(t, 1200, op.ReplayedCount)
	require.Less(t, op.CompletedAt.Sub(op.CreatedAt), 10*time.Second, "it stood still for no burst of the other's")
	require.Greater(t, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE queue = $1 AND state = 'available'`,
		b.bulkQueue(t, "bursting")), 2000)
	waits, err := db.New().GetOperation(b.ctx, b.pool, all.ID)
	require.NoError(t, err)
	require.Zero(t, waits.ReplayedCount)
}

// endless orders operations that look through all, which matches nothing, again and again: a position that a trigger
// takes back.
func (b *testBundle) endless(t *testing.T, n int, tenantID *string) {
	t.Helper()
	b.exec(t, `CREATE FUNCTION outhook.endless() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN NEW.cursor_event_id = OLD.cursor_event_id; RETURN NEW; END $$`)
	b.exec(t, `CREATE TRIGGER endless BEFORE UPDATE OF cursor_event_id ON outhook.operations FOR EACH ROW
		WHEN (NEW.event_types = '{none}') EXECUTE FUNCTION outhook.endless()`)
	f := lastHour()
	f.EventTypes, f.TenantID = []string{"none"}, tenantID
	b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, f) })
	b.exec(t, `WITH made AS (INSERT INTO outhook.operations (id, kind, tenant_id, event_types, states, since, until)
			SELECT outhook.uuid_v7(), o.kind, o.tenant_id, o.event_types, o.states, o.since, o.until
			FROM outhook.operations AS o, generate_series(2, $1) RETURNING id)
		INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT 'operate', jsonb_build_object('operation_id', id), 'operations', 1000 FROM made`, n)
}

// While many operations have enough to do, each has its turn within moments.
func TestOperationsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	b.ended(t, 600, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	b.endless(t, 2, nil)
	b.start(t, b.config(t))
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM outhook.operations WHERE pass_began_at IS NOT NULL`) == 2
	}, func() any { return nil })

	op := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	op = b.awaitOperation(t, op.ID, func(op db.Operation) bool { return op.PassBeganAt != nil })
	require.Less(t, op.PassBeganAt.Sub(op.CreatedAt), 3*time.Second)
}

// However many operations a tenant has, another's goes on with every second turn.
func TestTenantsTakeTurnsWithOperations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.ended(t, 600, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	greedy := "greedy"
	b.endless(t, 300, &greedy)
	b.start(t, b.config(t))
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM outhook.operations WHERE pass_began_at IS NOT NULL`) >= 4
	}, func() any { return nil })

	op := b.recover(t, endpointID, lastHour())
	op = b.awaitOperation(t, op.ID, completed)
	require.EqualValues(t, 600, op.ReplayedCount)
	require.Less(t, op.CompletedAt.Sub(op.CreatedAt), 5*time.Second)
	turns := b.count(t, `SELECT count(*) FROM outhook.operations WHERE tenant_id = $1 AND served_at > $2`, greedy, op.CreatedAt)
	require.Positive(t, turns, "the other tenant's go on, too")
	require.Less(t, turns, 60)
}

// A tenant's operations that are short have their turns one after the other, between which others have theirs.
func TestOperationsThatHaveEndedHadTheirTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.ended(t, 5, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	greedy := "greedy"
	b.endless(t, 60, &greedy)
	b.exec(t, `DROP TRIGGER endless ON outhook.operations`)
	op := b.recover(t, endpointID, lastHour())
	b.start(t, b.config(t))

	op = b.awaitOperation(t, op.ID, completed)
	require.EqualValues(t, 5, op.ReplayedCount)
	before := b.count(t, `SELECT count(*) FROM outhook.operations WHERE completed_at < $1`, *op.CompletedAt)
	require.Less(t, before, 20, "operations of the other tenant that were completed before")
	eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM outhook.operations WHERE state = 'completed'`) == 61
	}, func() any { return nil })
}

func TestOperationsOfATenantAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	greedy, acme := "greedy", tenant
	b.endless(t, operation.MaxRunning-1, &greedy)
	f := lastHour()
	order := func(tenantID string) (op db.Operation, err error) {
		f.TenantID = &tenantID
		err = b.inTx(t, func(tx pgx.Tx) error { op, err = operation.Replay(b.ctx, tx, f); return err })
		return op, err
	}
	paused, err := order(greedy)
	require.NoError(t, err)
	b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Pause(b.ctx, tx, paused.ID) })
	_, err = order(greedy)
	require.NoError(t, err)
	_, err = order(greedy)
	require.ErrorIs(t, err, operation.ErrTooMany)
	err = b.inTx(t, func(tx pgx.Tx) error { _, err := operation.Resume(b.ctx, tx, paused.ID); return err })
	require.ErrorIs(t, err, operation.ErrTooMany)
	_, err = order(acme)
	require.NoError(t, err)
}

func TestOperationWithoutAJobGetsOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoint(t)
	b.ended(t, 5, "a", db.DeliveryStateFailed, ledger.ReasonExhausted, 10*time.Minute)
	op := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	cancelled := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Cancel(b.ctx, tx, cancelled.ID) })
	old := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	b.exec(t, `UPDATE outhook.operations SET state = 'completed', completed_at = now() - interval '31 days' WHERE id = $1`, old.ID)
	forgotten := b.operate(t, func(tx pgx.Tx) (db.Operation, error) { return operation.Replay(b.ctx, tx, lastHour()) })
	b.exec(t, `UPDATE outhook.operations SET state = 'paused', updated_at = now() - interval '31 days' WHERE id = $1`, forgotten.ID)
	b.exec(t, `DELETE FROM outhook.river_job WHERE kind = 'operate'`)
	b.start(t, b.config(t)) // its first tend finds it
	require.EqualValues(t, 5, b.awaitOperation(t, op.ID, completed).ReplayedCount)
	require.Zero(t, b.awaitOperation(t, cancelled.ID, func(db.Operation) bool { return true }).ReplayedCount)
	eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM outhook.operations`) == 2 }, func() any { return nil })
}
