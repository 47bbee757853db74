package jobs_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/health"
)

// A COMMIT of which nobody hears may have been carried out. What is then recorded once more must count once.
func TestAnOutcomeIsCountedOnceIfItsCommitIsInDoubt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		status   int
		schedule retry.Schedule
		state    db.DeliveryState
		late     bool // it is carried out only when it is recorded once more
	}{
		{"AFailure", http.StatusInternalServerError, retry.Schedule{time.Hour, time.Hour}, db.DeliveryStatePending, false},
		{"AFailureLate", http.StatusInternalServerError, retry.Schedule{time.Hour, time.Hour}, db.DeliveryStatePending, true},
		{"TheLastFailure", http.StatusInternalServerError, retry.Schedule{}, db.DeliveryStateFailed, false},
		{"TheLastFailureLate", http.StatusInternalServerError, retry.Schedule{}, db.DeliveryStateFailed, true},
		{"ASuccess", http.StatusNoContent, retry.Schedule{time.Hour}, db.DeliveryStateSucceeded, false},
		{"ASuccessLate", http.StatusNoContent, retry.Schedule{time.Hour}, db.DeliveryStateSucceeded, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.operator(t, "outhook.delivery.failed")
			endpointID, _ := b.endpoint(t, withSchedule(tc.schedule))
			b.receiver.answers(status(tc.status))
			eater := b.eatCommit(t, recorderSays, tc.late)
			eater.explicit = tc.state == db.DeliveryStateFailed // which is told in the same transaction
			cfg := b.config(t)
			cfg.Pool = eater.pool
			b.start(t, cfg)
			eventID := b.enqueue(t, `{}`)

			d := b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.AttemptCount == 1 && eater.commits.Load() >= 2 })
			require.Equal(t, tc.state, d.State)
			want := int32(0)
			if tc.status != http.StatusNoContent {
				want = 1
			}
			require.Equal(t, want, d.TryCount)
			require.Len(t, b.attempts(t, eventID), 1)
			told := b.number(t, `SELECT count(*) FROM outhook.events WHERE type = 'outhook.delivery.failed'`)
			require.Equal(t, tc.state == db.DeliveryStateFailed, told == 1, "told of %d failed deliveries", told)
		})
	}
}

// A health that is written once more after a COMMIT of which nobody heard counts each failure once.
func TestAnEndpointsFailuresAreCountedOnceIfTheCommitIsInDoubt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.operator(t, "outhook.endpoint.failing")
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
	b.receiver.answers(status(http.StatusInternalServerError))
	eater := b.eatCommit(t, "LockEndpointHealth", false)
	cfg := b.healthConfig(t)
	cfg.Pool, cfg.Health.FailingFailures = eater.pool, 7
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	require.NoError(t, client.Start(b.ctx))
	for range 4 {
		b.enqueue(t, `{}`)
	}
	b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures >= 4 && eater.commits.Load() >= 2 })
	require.NoError(t, client.Stop(b.ctx))
	require.EqualValues(t, 4, b.health(t, endpointID).ConsecutiveFailures)
	require.Equal(t, 4, b.number(t, `SELECT count(*) FROM outhook.delivery_attempts`))
	require.Empty(t, b.told(t, health.EventEndpointFailing))
}

// What a lost COMMIT had of failures may be forgotten, which disables an endpoint later; a success is told again, or the
// failures before it would disable one that works.
func TestAnEndpointsSuccessIsKeptIfTheCommitNeverArrived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	b.ail(t, endpointID, 30, 6*24*time.Hour)
	eater := b.eatCommit(t, "LockEndpointHealth", false)
	eater.lost = true
	cfg := b.healthConfig(t)
	cfg.Pool = eater.pool
	b.enqueue(t, `{}`)
	b.start(t, cfg)
	h := b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.LastSuccessAt != nil })
	require.Zero(t, h.ConsecutiveFailures)
	require.True(t, eater.held.Load(), "a COMMIT was lost")
	require.Equal(t, db.EndpointStatusEnabled, b.endpointRow(t, endpointID).Status)
}

// recorderSays is what only the recorder's connections ask for, in their first message.
const recorderSays = "force_generic_plan"

// commitEater is a way to the database on which the answer to the first commit of whoever says marker is lost, with the
// connection: that of a COMMIT, or of a SettleRuns outside of a transaction. If late is true, it arrives only after
// somebody has repeated it; if lost is, never.
type commitEater struct {
	marker   []byte
	pool     *pgxpool.Pool
	upstream string
	late     bool
	lost     bool
	explicit bool // the commit is a COMMIT
	held     atomic.Bool
	commits  atomic.Int32 // that were answered, after marker
	settles  atomic.Int32 // executions of SettleRuns that were sent
}

func (b *testBundle) eatCommit(t *testing.T, marker string, late bool) *commitEater {
	t.Helper()
	cfg := b.pool.Config()
	e := &commitEater{marker: []byte(marker), late: late, upstream: net.JoinHostPort(cfg.ConnConfig.Host, strconv.Itoa(int(cfg.ConnConfig.Port)))}
	listener, err := (&net.ListenConfig{}).Listen(b.ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go e.relay(context.WithoutCancel(b.ctx), client)
		}
	}()
	addr, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	cfg.ConnConfig.Host, cfg.ConnConfig.Port = addr.IP.String(), uint16(addr.Port)
	e.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(b.ctx), cfg)
	require.NoError(t, err)
	t.Cleanup(e.pool.Close)
	return e
}

// relay passes on what both sides say.
func (e *commitEater) relay(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	var key, settles, holds atomic.Bool
	answered := make(chan struct{}, 1000) // more commits than a test has
	go func() {
		defer server.Close()
		defer func() {
			if holds.Load() {
				select {
				case <-answered:
				case <-time.After(time.Minute):
				}
			}
		}()
		pass(client, server, func(said []byte) bool {
			if bytes.Contains(said, e.marker) {
				key.Store(true)
			}
			settle := settles.Load() && executesSettle(said)
			if key.Load() && bytes.Contains(said, []byte("-- name: SettleRuns")) {
				settles.Store(true)
			}
			if settle {
				e.settles.Add(1)
			}
			commit := settle && !e.explicit || bytes.Contains(said, []byte("commit\x00"))
			if (e.late || e.lost) && key.Load() && commit && e.held.CompareAndSwap(false, true) {
				_ = client.Close()
				if e.lost {
					return false
				}
				e.awaitRepetition()
				holds.Store(true)
			}
			return true
		})
	}()
	pass(server, client, func(said []byte) bool {
		committed := bytes.Contains(said, []byte("COMMIT\x00")) ||
			settles.Load() && bytes.Contains(said, []byte("SELECT 1\x00Z\x00\x00\x00\x05I"))
		if !key.Load() || !committed {
			return true
		}
		answered <- struct{}{}
		return e.commits.Add(1) > 1 || e.lost || e.late
	})
}

// executesSettle tells whether a message executes a prepared SettleRuns: each run's ending is in it, as Postgres has a text
// in an array.
func executesSettle(said []byte) bool {
	return bytes.Contains(said, []byte("\x00\x00\x00\x04done")) || bytes.Contains(said, []byte("\x00\x00\x00\x04wait"))
}

// awaitRepetition returns when what is held has been repeated, for a minute at most.
func (e *commitEater) awaitRepetition() {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && e.settles.Load() < 3 && e.commits.Load() < 1; {
		<-time.After(5 * time.Millisecond)
	}
}

// pass copies until one side ends, or hear returns false of what was said.
func pass(from, to net.Conn, hear func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !hear(buffer[:n]) {
			return
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
