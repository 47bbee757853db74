package jobs_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
)

// River hears of a run's end up to 50 ms after the database. By then a person may have ordered the job again, and that
// run must not be taken for the one that has ended.
func TestRetryRightAfterTheEndIsNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	failing, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}), func(p *db.InsertEndpointParams) { p.TenantID = "other" })
	client := b.start(t, b.config(t))

	for range 10 {
		release := make(chan struct{})
		goOn := sync.OnceFunc(func() { close(release) })
		t.Cleanup(goOn)
		b.receiver.answers(status(http.StatusNoContent))
		eventID := b.enqueue(t, `{}`)
		var jobID int64
		// No wait between the looks: the retry must come before River hears of the end.
		for deadline := time.Now().Add(time.Minute); ; require.Less(t, time.Now(), deadline) {
			var state string
			require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT j.id, j.state::text FROM outhook.river_job AS j
				JOIN outhook.deliveries AS d ON d.job_id = j.id WHERE d.event_id = $1`, eventID).Scan(&jobID, &state))
			if state == "completed" {
				break
			}
		}
		b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("webhook-id") != eventID.String() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			<-release
			w.WriteHeader(http.StatusNoContent)
		})
		_, err := client.River().JobRetry(b.ctx, jobID)
		require.NoError(t, err)
		eventually(t, func() bool { return requests(b, eventID) == 2 }, func() any { return requests(b, eventID) })

		// Another delivery fails, which River stores with all that it has heard of until then.
		var other uuid.UUID
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue('other', 'invoice.paid', '{}'::text)`).Scan(&other))
		eventually(t, func() bool { s, _ := b.jobState(t, other, failing); return s == "retryable" }, func() any { return nil })
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "running", state, "the second run is in the middle of its request")
		goOn()
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return settled(d) && d.AttemptCount == 2 })
		require.Equal(t, 2, requests(b, eventID))
	}
}

func requests(b *testBundle, eventID uuid.UUID) (n int) {
	for _, r := range b.receiver.received() {
		if r.header.Get("webhook-id") == eventID.String() {
			n++
		}
	}
	return n
}
