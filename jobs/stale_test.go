package jobs_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// A worker loses its database while it loads a delivery. The job is rescued and another worker is in the middle of the
// next attempt when the first one comes back: what it does with its own run must not touch the number of the other's.
func TestRunThatWasRescuedGivesBackNoNumberOfAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second, time.Second, time.Second}),
		func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	eventID := b.enqueue(t, `{}`)
	arrived, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
		switch requests.Add(1) {
		case 1:
			close(arrived)
			<-release
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})

	// The first worker hangs in its load, behind a lock, when it loses the database.
	lock, err := b.pool.Begin(b.ctx)
	require.NoError(t, err)
	_, err = lock.Exec(b.ctx, `LOCK TABLE outhook.endpoints IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	wire := b.newWire(t)
	loadFailed := make(chan struct{})
	cfg := b.config(t)
	cfg.Pool = wire.pool
	cfg.Logger = slog.New(slog.NewTextHandler(&watcher{text: "loading deliveries", seen: loadFailed}, nil))
	first := b.start(t, cfg)
	eventually(t, func() bool {
		var waiting bool
		// The pacer may wait for the lock too, before there is a load.
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE '-- name: LoadDeliveries%')`).Scan(&waiting))
		return waiting
	}, func() any { return "nobody loads" })
	wire.deafen(t)
	require.NoError(t, lock.Rollback(b.ctx))

	// As River's rescuer does after 75 s.
	_, err = b.pool.Exec(b.ctx, `UPDATE outhook.river_job SET state = 'available' WHERE kind = 'deliver' AND attempt = 1`)
	require.NoError(t, err)
	await(t, loadFailed)
	b.start(t, b.config(t))
	await(t, arrived)
	wire.heal(t)
	eventually(t, func() bool { return jobs.InFlight(first) == 0 }, func() any { return "the first worker can't give its run back" })
	state, _ := b.jobState(t, eventID, endpointID)
	require.Equal(t, "running", state, "the second worker's run")
	close(release)

	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	rows := map[string]int32{}
	for _, a := range b.attempts(t, eventID) {
		if a.StatusCode != nil {
			rows[strconv.Itoa(int(a.Number))] = *a.StatusCode
		}
	}
	numbers := map[string]int{}
	for _, r := range b.receiver.received() {
		numbers[r.header.Get("outhook-attempt")]++
	}
	for number, n := range numbers {
		require.Equal(t, 1, n, "requests with number %s", number)
		require.Contains(t, rows, number, "each request has its row")
	}
	require.Len(t, rows, len(numbers), "each row with a status has its request")
}

// A person cancels a delivery during an attempt, and orders it again before that attempt is in the log.
func TestReplayDuringAnAttemptTakesANumberOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	arrived, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	b.receiver.answers(func(http.ResponseWriter, *http.Request) {
		if requests.Add(1) == 1 {
			close(arrived)
			<-release
		}
	})
	b.start(t, b.config(t))
	await(t, arrived)
	require.NoError(t, b.inTx(t, func(tx pgx.Tx) error { return ledger.Cancel(b.ctx, tx, eventID, endpointID) }))
	require.NoError(t, b.replay(t, eventID, endpointID, false))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	close(release)

	var attempts []db.DeliveryAttempt
	eventually(t, func() bool {
		attempts = b.attempts(t, eventID)
		return len(attempts) == 2 && attempts[0].Outcome == db.AttemptOutcomeSucceeded
	}, func() any { return attempts })
	received := b.receiver.received()
	require.Len(t, received, 2)
	require.Equal(t, "1", received[0].header.Get("outhook-attempt"))
	require.Equal(t, "2", received[1].header.Get("outhook-attempt"))
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(60 * time.Second):
		require.FailNow(t, "not in time")
	}
}

// watcher closes seen when text is written.
type watcher struct {
	text string
	seen chan struct{}
	once atomic.Bool
}

func (w *watcher) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) && w.once.CompareAndSwap(false, true) {
		close(w.seen)
	}
	return len(p), nil
}

// wire is a network to the database that can fail.
type wire struct {
	proxy *toxiproxy.Proxy
	pool  *pgxpool.Pool
}

func (b *testBundle) newWire(t *testing.T) *wire {
	t.Helper()
	cfg := b.pool.Config()
	upstream := cfg.ConnConfig.Host + ":" + strconv.Itoa(int(cfg.ConnConfig.Port))
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{proxy: toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)}
	require.NoError(t, w.proxy.Start())
	t.Cleanup(w.proxy.Stop)
	host, port, _ := strings.Cut(w.proxy.Listen, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	require.NoError(t, err)
	cfg.ConnConfig.Host, cfg.ConnConfig.Port = host, uint16(number)
	w.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(b.ctx), cfg)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	return w
}

// deafen lets nothing pass and closes nothing.
func (w *wire) deafen(t *testing.T) {
	t.Helper()
	for _, direction := range []string{"upstream", "downstream"} {
		_, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(
			`{"name": "` + direction + `", "type": "timeout", "stream": "` + direction + `", "attributes": {"timeout": 0}}`))
		require.NoError(t, err)
	}
}

// heal closes the connections that were deaf, and lets new ones pass.
func (w *wire) heal(t *testing.T) {
	t.Helper()
	for _, direction := range []string{"upstream", "downstream"} {
		require.NoError(t, w.proxy.Toxics.RemoveToxic(t.Context(), direction))
	}
}
