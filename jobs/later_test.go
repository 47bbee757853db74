package jobs_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/jobs/operation"
)

// enqueueLater enqueues an event that is to be delivered in that time from now, on the database's clock.
func (b *testBundle) enqueueLater(t *testing.T, in time.Duration) (id uuid.UUID, at time.Time) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `WITH e AS MATERIALIZED (
			SELECT outhook.enqueue($1, 'invoice.paid', '{}', deliver_at => clock_timestamp() + $2::interval) AS id)
		SELECT id FROM e`, tenant, in).Scan(&id))
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT deliver_at FROM outhook.events WHERE id = $1`, id).Scan(&at))
	return id, at
}

// An event for later leaves when it is due, and not before, and counts as late by nothing that measures.
func TestAnEventForLaterLeavesWhenItIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID, at := b.enqueueLater(t, 2*time.Second)
	far, _ := b.enqueueLater(t, time.Hour)
	b.start(t, b.config(t))

	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 1)
	require.WithinRange(t, attempts[0].StartedAt, at, at.Add(10*time.Second))
	require.Less(t, b.count(t, `SELECT latency_ms FROM outhook.report_deliveries WHERE event_id = $1`, eventID), 2000)
	d := b.delivery(t, far, endpointID)
	require.Equal(t, db.DeliveryStatePending, d.State)
	require.Zero(t, d.AttemptCount)

	// A person may have it at once.
	require.NoError(t, b.replay(t, far, endpointID, true))
	b.awaitState(t, far, endpointID, db.DeliveryStateSucceeded)
}

// takeBack takes an event back, and returns what came of it.
func (b *testBundle) takeBack(t *testing.T, id uuid.UUID) (row db.CancelEventRow) {
	t.Helper()
	row, err := db.New().CancelEvent(b.ctx, b.pool, tenant, nil, &id)
	require.NoError(t, err)
	return row
}

// requireWaits checks that a delivery waits for its time.
func (b *testBundle) requireWaits(t *testing.T, eventID, endpointID uuid.UUID, at time.Time) {
	t.Helper()
	d := b.delivery(t, eventID, endpointID)
	require.Equal(t, db.DeliveryStatePending, d.State)
	require.WithinDuration(t, at, *d.NextAttemptAt, 0)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE id = $1 AND state = 'scheduled' AND scheduled_at = $2`,
		b.jobID(t, eventID, endpointID), at))
}

// It can be taken back until it is due, and nothing brings it back from then on.
func TestAnEventForLaterIsTakenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID, _ := b.enqueueLater(t, time.Hour)
	for _, want := range []db.CancelEventRow{{ID: eventID, Withdrawn: true, Cancelled: 1}, {ID: eventID, Withdrawn: true, Repeated: true}} {
		require.Equal(t, want, b.takeBack(t, eventID))
	}
	d := b.delivery(t, eventID, endpointID)
	require.Equal(t, db.DeliveryStateCancelled, d.State)
	require.Equal(t, ledger.ReasonWithdrawn, *d.Reason)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, ledger.JobCancelled, state)
	require.ErrorIs(t, b.replay(t, eventID, endpointID, true), ledger.ErrWithdrawn)

	now := b.enqueue(t, `{}`)
	require.Equal(t, db.CancelEventRow{ID: now}, b.takeBack(t, now))
	require.Equal(t, db.DeliveryStatePending, b.delivery(t, now, endpointID).State)
	_, err := db.New().CancelEvent(b.ctx, b.pool, "other", nil, &eventID)
	require.ErrorIs(t, err, pgx.ErrNoRows)

	// A delivery that somebody holds at that moment is cancelled by the worker that loads it.
	held, _ := b.enqueueLater(t, 3*time.Second)
	release := b.hold(t, `SELECT FROM outhook.deliveries WHERE event_id = $1 FOR UPDATE`, held)
	require.Equal(t, db.CancelEventRow{ID: held, Withdrawn: true}, b.takeBack(t, held))
	release()
	b.start(t, b.config(t))
	d = b.awaitState(t, held, endpointID, db.DeliveryStateCancelled)
	require.Equal(t, ledger.ReasonWithdrawn, *d.Reason)
	require.Zero(t, d.AttemptCount)
}

// Whoever takes an event back while its time comes is either in time, and nothing of it leaves, or too late, and all of it does.
func TestAnEventIsTakenBackAsItIsDue(t *testing.T) {
	t.Parallel()
	passed := func(t *testing.T, b *testBundle, at time.Time) {
		t.Helper()
		eventually(t, func() bool { return b.count(t, `SELECT (clock_timestamp() > $1)::integer`, at) == 1 }, func() any { return at })
	}

	t.Run("InTime", func(t *testing.T) {
		t.Parallel()
		for _, commit := range []bool{true, false} {
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			b.start(t, b.config(t))
			eventID, at := b.enqueueLater(t, 3*time.Second)
			tx, err := b.pool.Begin(b.ctx)
			require.NoError(t, err)
			row, err := db.New().CancelEvent(b.ctx, tx, tenant, nil, &eventID)
			require.NoError(t, err)
			require.Equal(t, db.CancelEventRow{ID: eventID, Withdrawn: true, Cancelled: 1}, row)

			// Its time passes, and others are delivered.
			passed(t, b, at)
			b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
			require.Empty(t, b.attempts(t, eventID))
			if !commit {
				require.NoError(t, tx.Rollback(b.ctx))
				b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
				continue
			}
			require.NoError(t, tx.Commit(b.ctx))
			d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
			require.Zero(t, d.AttemptCount)
			b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
			require.Empty(t, b.attempts(t, eventID))
		}
	})

	t.Run("TooLate", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID, at := b.enqueueLater(t, 2*time.Second)
		release := b.hold(t, `SELECT FROM outhook.river_job WHERE id = $1 FOR UPDATE`, b.jobID(t, eventID, endpointID)) // who wakes it
		answer := make(chan db.CancelEventRow, 1)
		go func() {
			row, _ := db.New().CancelEvent(b.ctx, b.pool, tenant, nil, &eventID)
			answer <- row
		}()

		passed(t, b, at)
		release()
		require.Equal(t, db.CancelEventRow{ID: eventID}, <-answer)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	})

	t.Run("Twice", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID, _ := b.enqueueLater(t, time.Hour)
		const at = 8
		answers := make(chan db.CancelEventRow, at)
		for range at {
			go func() {
				row, _ := db.New().CancelEvent(b.ctx, b.pool, tenant, nil, &eventID)
				answers <- row
			}()
		}

		first, cancelled := 0, 0
		for range at {
			row := <-answers
			require.True(t, row.Withdrawn)
			cancelled += int(row.Cancelled)
			if !row.Repeated {
				first++
			}
		}
		require.Equal(t, []int{1, 1}, []int{first, cancelled})
		require.Equal(t, db.DeliveryStateCancelled, b.delivery(t, eventID, endpointID).State)
	})
}

// What becomes of an endpoint between the enqueue and the time of an event.
func TestEndpointsThatChangeBeforeAnEventIsDue(t *testing.T) {
	t.Parallel()
	inLane := func(t *testing.T, b *testBundle, eventID, endpointID uuid.UUID) {
		t.Helper()
		const query = `SELECT count(*) FROM outhook.river_job WHERE id = $1 AND state = 'available' AND queue = 'endpoint-' || $2::uuid`
		eventually(t, func() bool { return b.count(t, query, b.jobID(t, eventID, endpointID), endpointID) == 1 }, func() any {
			return b.delivery(t, eventID, endpointID)
		})
	}

	for name, before := range map[string]bool{"PausedBefore": true, "PausedMeanwhile": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			endpointID, _ := b.endpoint(t)
			if before {
				b.setStatus(t, endpointID, db.EndpointStatusPaused)
			}
			eventID, _ := b.enqueueLater(t, time.Second)
			b.setStatus(t, endpointID, db.EndpointStatusPaused)
			b.start(t, b.config(t))
			inLane(t, b, eventID, endpointID)
			require.Zero(t, b.requests(t, endpointID))
			b.setStatus(t, endpointID, db.EndpointStatusEnabled)
			b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		})
	}

	t.Run("EnabledMeanwhile", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.setStatus(t, endpointID, db.EndpointStatusPaused)
		eventID, at := b.enqueueLater(t, time.Hour)
		b.setStatus(t, endpointID, db.EndpointStatusEnabled)
		b.start(t, b.config(t))
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.river_job WHERE id = $1 AND queue = 'deliver'`, b.jobID(t, eventID, endpointID)) == 1
		}, func() any { return eventID })
		b.requireWaits(t, eventID, endpointID, at)
		require.Empty(t, b.inspect(t))
	})

	t.Run("DisabledMeanwhile", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID, at := b.enqueueLater(t, time.Hour)
		b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled', cancel_since = now() WHERE id = $1`, endpointID)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonEndpointDisabled, *d.Reason)

		// Whatever brings it back waits for its time, unless told otherwise.
		b.exec(t, `UPDATE outhook.endpoints SET status = 'enabled', cancel_since = NULL WHERE id = $1`, endpointID)
		op := b.recover(t, endpointID, operation.Filter{Since: time.Now().Add(-time.Hour)})
		require.EqualValues(t, 1, b.awaitOperation(t, op.ID, completed).ReplayedCount)
		b.requireWaits(t, eventID, endpointID, at)
		b.exec(t, `UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', completed_at = now(), next_attempt_at = NULL`)
		require.NoError(t, b.replay(t, eventID, endpointID, false))
		b.requireWaits(t, eventID, endpointID, at)
		require.NoError(t, b.replay(t, eventID, endpointID, true))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.NoError(t, b.replay(t, eventID, endpointID, true))
		eventually(t, func() bool { return b.requests(t, endpointID) == 2 }, func() any { return b.delivery(t, eventID, endpointID) })
	})

	t.Run("DisabledBefore", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.setStatus(t, endpointID, db.EndpointStatusDisabled)
		eventID, at := b.enqueueLater(t, time.Hour)
		back, _ := b.enqueueLater(t, time.Hour)
		require.Equal(t, db.CancelEventRow{ID: back, Withdrawn: true}, b.takeBack(t, back))
		b.setStatus(t, endpointID, db.EndpointStatusEnabled)
		b.start(t, b.config(t))
		op := b.recover(t, endpointID, operation.Filter{Since: time.Now().Add(-time.Hour), Missed: true})
		require.EqualValues(t, 1, b.awaitOperation(t, op.ID, completed).ReplayedCount)
		b.requireWaits(t, eventID, endpointID, at)
	})

	t.Run("MadeMeanwhile", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		eventID, _ := b.enqueueLater(t, time.Second)
		endpointID, _ := b.endpoint(t)
		b.start(t, b.config(t))
		b.awaitState(t, b.enqueue(t, `{}`), endpointID, db.DeliveryStateSucceeded)
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE event_id = $1`, eventID))
	})
}

// Where many of a tenant's meet in one moment, they are a burst, and others' stay in the queue that all share.
func TestEventsForOneMomentAreABurst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _ = b.endpoint(t)
	_, _ = b.endpoint(t, withTenant("other"))
	for tenantID, n := range map[string]int{tenant: 150, "other": 99} {
		b.exec(t, `SELECT outhook.enqueue($1, 'invoice.paid', '{}', deliver_at => now() + interval '1 hour') FROM generate_series(1, $2::integer)`,
			tenantID, n)
	}
	b.exec(t, `UPDATE outhook.river_job SET queue = 'deliver', scheduled_at = now()`) // one after the other, from as many transactions
	n, err := db.New().WakeJobs(b.ctx, b.pool, 1000)
	require.NoError(t, err)
	require.EqualValues(t, 249, n)
	require.Equal(t, 150, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'available' AND queue = outhook.bulk_queue($1)`, tenant))
	require.Equal(t, 99, b.count(t, `SELECT count(*) FROM outhook.river_job WHERE state = 'available' AND queue = 'deliver'`))
}

// A day that is kept for what is to be delivered later is not overdue; one beside it is.
func TestADayThatIsHeldIsNotOverdue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	later := b.oldEvents(t, b.daysAgo(t, 33), 1, endpointID, "pending", "scheduled")[0]
	b.exec(t, `UPDATE outhook.events SET deliver_at = now() - interval '1 hour' WHERE id = $1`, later)
	require.Zero(t, b.gauges(t, 30*ledger.Day)["outhook_retention_overdue_days"])
	b.daysAgo(t, 31)
	require.InDelta(t, 1, b.gauges(t, 30*ledger.Day)["outhook_retention_overdue_days"], 0)
}
