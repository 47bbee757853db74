package jobs_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/ledger"
)

func (b *testBundle) inTx(t *testing.T, f func(pgx.Tx) error) error {
	t.Helper()
	return pgx.BeginFunc(b.ctx, b.pool, f)
}

func (b *testBundle) replay(t *testing.T, eventID, endpointID uuid.UUID, now bool) error {
	t.Helper()
	return b.inTx(t, func(tx pgx.Tx) error { return ledger.Replay(b.ctx, tx, eventID, endpointID, ledger.How{Now: now}) })
}

func TestReplay(t *testing.T) {
	t.Parallel()

	t.Run("FailedIsAttemptedAgainWithTheWholeSchedule", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second}))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)

		require.NoError(t, b.replay(t, eventID, endpointID, false))
		d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 4 })
		require.Equal(t, db.DeliveryStateFailed, d.State)
		var numbers []int32
		var triggers []db.AttemptTrigger
		for _, a := range b.attempts(t, eventID) {
			numbers, triggers = append(numbers, a.Number), append(triggers, a.Trigger)
		}
		require.Equal(t, []int32{1, 2, 3, 4}, numbers)
		require.Equal(t, []db.AttemptTrigger{"scheduled", "scheduled", "manual", "scheduled"}, triggers)
		for _, r := range b.receiver.received() {
			require.Equal(t, eventID.String(), r.header.Get("webhook-id"))
		}
	})

	t.Run("SucceededIsSentAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.NoError(t, b.replay(t, eventID, endpointID, false))
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return settled(d) && d.AttemptCount == 2 })
		require.Len(t, b.receiver.received(), 2)
	})

	t.Run("PendingIsRefusedUnlessNow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour, time.Hour}))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.TryCount == 1 })
		eventually(t, func() bool { s, _ := b.jobState(t, eventID, endpointID); return s == "retryable" }, func() any { return nil })

		require.ErrorIs(t, b.replay(t, eventID, endpointID, false), ledger.ErrPending)
		require.NoError(t, b.replay(t, eventID, endpointID, true))
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.TryCount == 2 })
	})

	t.Run("UnknownDeliveryAndDisabledEndpointAreRefused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		require.ErrorIs(t, b.replay(t, uuid.New(), endpointID, false), ledger.ErrNotFound)
		_, err := db.New().DisableEndpoint(b.ctx, b.pool, "test", endpointID)
		require.NoError(t, err)
		require.ErrorIs(t, b.replay(t, eventID, endpointID, true), ledger.ErrEndpointGone)
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	cancel := func() error {
		return b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) })
	}
	require.NoError(t, cancel())
	require.ErrorIs(t, cancel(), ledger.ErrSettled)
	d := b.delivery(t, eventID, endpointID)
	require.Equal(t, db.DeliveryStateCancelled, d.State)
	require.Equal(t, ledger.ReasonOperator, *d.Reason)
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "cancelled", state)

	// Cancelled deliveries can be replayed, and then they go out.
	require.NoError(t, b.replay(t, eventID, endpointID, false))
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, db.AttemptTriggerManual, b.attempts(t, eventID)[0].Trigger)
	require.Len(t, b.receiver.received(), 1)
}

func TestRiverUIRetryOfASettledDeliveryDeliversAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	client := b.start(t, b.config(t))
	eventID := b.enqueue(t, `{}`)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	var jobID int64
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT id FROM outhook.river_job WHERE kind = 'deliver'`).Scan(&jobID))
	_, err := client.River().JobRetry(b.ctx, jobID)
	require.NoError(t, err)
	b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 })
	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 2)
	require.Equal(t, db.AttemptTriggerManual, attempts[1].Trigger)
	require.Equal(t, db.DeliveryStateSucceeded, b.delivery(t, eventID, endpointID).State)
}

func TestJobThatNoLongerOwnsItsDeliverySendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	var stray int64
	require.NoError(t, b.pool.QueryRow(b.ctx, `INSERT INTO outhook.river_job (kind, args, queue, max_attempts)
		SELECT kind, args, queue, max_attempts FROM outhook.river_job WHERE kind = 'deliver' RETURNING id`).Scan(&stray))
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	var state string
	eventually(t, func() bool {
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state::text FROM outhook.river_job WHERE id = $1`, stray).Scan(&state))
		return state == "completed"
	}, func() any { return state })
	require.Len(t, b.receiver.received(), 1)
	require.Len(t, b.attempts(t, eventID), 1)
}

func TestEndpointStatus(t *testing.T) {
	t.Parallel()

	t.Run("PausedIsSetAsideAndComesBack", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.setStatus(t, endpointID, db.EndpointStatusPaused)
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		var state, queue string
		eventually(t, func() bool {
			state, queue = b.jobState(t, eventID, endpointID)
			return queue == "endpoint-"+endpointID.String() && state == "available"
		}, func() any { return []string{state, queue} })
		require.Empty(t, b.attempts(t, eventID))

		b.setStatus(t, endpointID, db.EndpointStatusEnabled)
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.Equal(t, int32(1), d.AttemptCount)
	})

	t.Run("DisabledAfterTheEnqueueIsCancelledWithoutAnAttempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.setStatus(t, endpointID, db.EndpointStatusDisabled)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonEndpointDisabled, *d.Reason)
		require.Zero(t, d.AttemptCount)
		require.Empty(t, b.receiver.received())
	})
}

func (b *testBundle) setStatus(t *testing.T, endpointID uuid.UUID, s db.EndpointStatus) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `UPDATE outhook.endpoints SET status = $2 WHERE id = $1`, endpointID, s)
	require.NoError(t, err)
}
