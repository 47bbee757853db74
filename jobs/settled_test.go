package jobs_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
)

func TestKeptJobs(t *testing.T) {
	t.Parallel()

	t.Run("OfSuccessesNoMoreThanTheRate", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.endpoint(t)
		b.endpoint(t, withURL(b.receiver.URL+"/gone"))
		b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/gone" {
				w.WriteHeader(http.StatusGone)
			}
		})
		for _, test := range []struct{ rate, least, most int }{{0, 0, 0}, {5, 5, 25}, {1_000_000, 50, 50}} {
			b.exec(t, `DELETE FROM outhook.river_job WHERE kind = 'deliver'`)
			cfg := b.config(t)
			cfg.Deliver.KeptJobRate = test.rate
			client, err := jobs.New(cfg)
			require.NoError(t, err)
			b.exec(t, `UPDATE outhook.endpoints SET status = 'enabled'`)
			b.enqueueFor(t, tenant, 50)
			began := time.Now()
			require.NoError(t, client.Start(b.ctx))
			eventually(t, func() bool {
				return b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`) == 0
			},
				func() any { return test })
			require.NoError(t, client.Stop(b.ctx))
			kept := b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state = 'completed'`)
			require.GreaterOrEqual(t, kept, test.least)
			require.LessOrEqual(t, kept, test.most+max(test.rate, 0)*int(time.Since(began).Seconds()), "rate %d", test.rate)
			require.Zero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state NOT IN ('completed', 'discarded', 'cancelled')`))
			require.NotZero(t, b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state IN ('discarded', 'cancelled')`),
				"what did not succeed is kept")
			require.Empty(t, b.inspect(t))
		}
	})

	// A run that was taken for dead succeeds while the next one is in the middle of its request, whose number only the job
	// knows. A replay at that moment must not use it.
	t.Run("AlwaysWhileALaterRunIsUnderWay", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
		eventID := b.enqueue(t, `{}`)
		arrived := []chan struct{}{make(chan struct{}), make(chan struct{})}
		held := []chan struct{}{make(chan struct{}), make(chan struct{})}
		release := []func(){sync.OnceFunc(func() { close(held[0]) }), sync.OnceFunc(func() { close(held[1]) })}
		defer release[0]()
		defer release[1]()
		var requests atomic.Int32
		b.receiver.answers(func(http.ResponseWriter, *http.Request) {
			if n := requests.Add(1); n <= 2 {
				close(arrived[n-1])
				<-held[n-1]
			}
		})
		cfg := b.config(t)
		cfg.Deliver.KeptJobRate = 0
		b.start(t, cfg)
		await(t, arrived[0])
		b.exec(t, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver' AND attempt = 1`)
		await(t, arrived[1])
		release[0]()
		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "running", state, "neither dropped nor ended")
		require.NoError(t, b.replay(t, eventID, endpointID, false))
		b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return settled(d) && d.AttemptCount == 3 })
		release[1]()
		eventually(t, func() bool {
			list := b.attempts(t, eventID)
			return len(list) == 3 && list[1].Outcome == db.AttemptOutcomeSucceeded
		}, func() any { return b.attempts(t, eventID) })
		for i, r := range b.receiver.received() {
			require.Equal(t, strconv.Itoa(i+1), r.header.Get("outhook-attempt"))
		}
		require.Len(t, b.receiver.received(), 3)
	})
}

// The outcome of a run that was taken for dead comes after the next one has given its number an unknown row.
func TestLateOutcomeTakesThePlaceOfAnUnknownOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}), func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	eventID := b.enqueue(t, `{}`)
	arrived, held := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	var requests atomic.Int32
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			close(arrived)
			<-held
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	b.start(t, b.config(t))
	await(t, arrived)
	b.exec(t, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver' AND attempt = 1`)
	b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 2 })
	require.Equal(t, db.AttemptOutcomeUnknown, b.attempts(t, eventID)[0].Outcome)
	release()
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	list := b.attempts(t, eventID)
	require.Len(t, list, 2)
	require.Equal(t, db.AttemptOutcomeSucceeded, list[0].Outcome)
	require.Equal(t, db.AttemptOutcomeRejected, list[1].Outcome)
	require.Empty(t, b.inspect(t))
}

func TestKeptJobRateHasABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := b.config(t)
	cfg.Deliver.KeptJobRate = 1_000_001
	_, err := jobs.New(cfg)
	require.ErrorContains(t, err, "KeptJobRate")
}
