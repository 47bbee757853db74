package jobs_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// River counts a run when it fetches it. A number without a row is a worker that died.
func TestDeadWorkers(t *testing.T) {
	t.Parallel()

	t.Run("LeaveUnknownAttempts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.pretendRuns(t, 3)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.Equal(t, int32(4), d.AttemptCount)
		require.Zero(t, d.TryCount)
		outcomes := map[int32]db.AttemptOutcome{}
		for _, a := range b.attempts(t, eventID) {
			outcomes[a.Number] = a.Outcome
		}
		require.Equal(t, map[int32]db.AttemptOutcome{1: "unknown", 2: "unknown", 3: "unknown", 4: "succeeded"}, outcomes)
	})

	t.Run("TenInARowEndTheDelivery", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.pretendRuns(t, 10)
		b.exec(t, `UPDATE outhook.river_job SET metadata = '{"rescues": 10, "begun": 10}' WHERE kind = 'deliver'`)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, ledger.ReasonWorkerDied, *d.Reason)
		require.Equal(t, int32(10), d.AttemptCount)
		require.Len(t, b.attempts(t, eventID), 10)
		require.Empty(t, b.receiver.received())
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "discarded", state)
	})
}

// A process that crashes has many runs under way, of which one is to blame. Those that had not begun to send are innocent.
func TestCrashesAreNotChargedToTheInnocent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.pretendRuns(t, 20)
	b.exec(t, `UPDATE outhook.river_job SET metadata = '{"rescues": 20, "begun": 3}' WHERE kind = 'deliver'`)
	begun := make(chan string, 1)
	b.receiver.answers(func(http.ResponseWriter, *http.Request) {
		var metadata string
		err := b.pool.QueryRow(b.ctx, `SELECT metadata::text FROM outhook.river_job WHERE kind = 'deliver'`).Scan(&metadata) //nolint:contextcheck // the test is the context
		if err != nil {
			metadata = err.Error()
		}
		begun <- metadata
	})
	b.start(t, b.config(t))
	require.JSONEq(t, `{"rescues": 20, "begun": 4}`, <-begun, "noted before the request leaves")
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(21), d.AttemptCount)
	var metadata string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT metadata::text FROM outhook.river_job WHERE kind = 'deliver'`).Scan(&metadata))
	require.JSONEq(t, `{}`, metadata, "the next one begins anew")
}

// pretendRuns counts the job as fetched n times, as dead workers leave it once it is rescued.
func (b *testBundle) pretendRuns(t *testing.T, n int) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `UPDATE outhook.river_job SET attempt = $1 WHERE kind = 'deliver'`, n)
	require.NoError(t, err)
}
