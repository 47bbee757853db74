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
	"github.com/outhook/outhook/jobs"
)

// A COMMIT of which nobody hears may have been carried out. What is then recorded once more must count once.
func TestAnOutcomeIsCountedOnceIfItsCommitIsInDoubt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		status   int
		schedule jobs.Schedule
		state    db.DeliveryState
		late     bool // it is carried out only when it is recorded once more
	}{
		{"AFailure", http.StatusInternalServerError, jobs.Schedule{time.Hour, time.Hour}, db.DeliveryStatePending, false},
		{"AFailureLate", http.StatusInternalServerError, jobs.Schedule{time.Hour, time.Hour}, db.DeliveryStatePending, true},
		{"TheLastFailure", http.StatusInternalServerError, jobs.Schedule{}, db.DeliveryStateFailed, false},
		{"TheLastFailureLate", http.StatusInternalServerError, jobs.Schedule{}, db.DeliveryStateFailed, true},
		{"ASuccess", http.StatusNoContent, jobs.Schedule{time.Hour}, db.DeliveryStateSucceeded, false},
		{"ASuccessLate", http.StatusNoContent, jobs.Schedule{time.Hour}, db.DeliveryStateSucceeded, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.operator(t, "outhook.delivery.failed")
			endpointID, _ := b.endpoint(t, withSchedule(tc.schedule))
			b.receiver.answers(status(tc.status))
			eater := b.eatCommit(t, tc.late)
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

// commitEater is a way to the database on which the answer to the recorder's first COMMIT is lost, with the connection. If
// late is true, that COMMIT arrives only when another transaction waits for it.
type commitEater struct {
	pool     *pgxpool.Pool
	direct   *pgxpool.Pool
	upstream string
	late     bool
	held     atomic.Bool
	commits  atomic.Int32 // of the recorder
}

func (b *testBundle) eatCommit(t *testing.T, late bool) *commitEater {
	t.Helper()
	cfg := b.pool.Config()
	e := &commitEater{direct: b.pool, late: late, upstream: net.JoinHostPort(cfg.ConnConfig.Host, strconv.Itoa(int(cfg.ConnConfig.Port)))}
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

// relay passes on what both sides say. The recorder's connections ask for generic plans in their first message, and the
// recorder alone commits on them.
func (e *commitEater) relay(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	var key atomic.Bool
	go func() {
		defer server.Close()
		pass(client, server, func(said []byte) bool {
			if bytes.Contains(said, []byte("force_generic_plan")) {
				key.Store(true)
			}
			if e.late && key.Load() && bytes.Contains(said, []byte("commit\x00")) && e.held.CompareAndSwap(false, true) {
				_ = client.Close()
				e.awaitWaiter(ctx)
			}
			return true
		})
	}()
	pass(server, client, func(said []byte) bool {
		return !key.Load() || !bytes.Contains(said, []byte("COMMIT\x00")) || e.commits.Add(1) > 1
	})
}

// awaitWaiter returns when a transaction waits for another's lock, for a minute at most.
func (e *commitEater) awaitWaiter(ctx context.Context) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var waits bool
		err := e.direct.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
			WHERE NOT l.granted AND l.locktype = 'transactionid' AND a.datname = current_database())`).Scan(&waits)
		if err != nil || waits {
			return
		}
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
