package jobs_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/health"
)

// hold holds what a statement locks, as somebody does who has forgotten a session, until the test ends or release is called.
func (b *testBundle) hold(t *testing.T, sql string, args ...any) (release func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(b.ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(b.ctx) })
	_, err = conn.Exec(b.ctx, "BEGIN")
	require.NoError(t, err)
	_, err = conn.Exec(b.ctx, sql, args...)
	require.NoError(t, err)
	return func() { _ = conn.Close(b.ctx) }
}

func (b *testBundle) revisit(cfg jobs.Config) error {
	return health.NewKeeper(cfg.Health, cfg.Pool, cfg.Logger, &health.Tracker{}, &dbclock.Clock{}).Revisit(b.ctx)
}

// A row that a stranger holds must not keep what was seen of other endpoints from being told.
func TestALockedRowHoldsUpNobodyElsesHealth(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"OfItsHealth":  `SELECT * FROM outhook.endpoint_health WHERE endpoint_id = $1 FOR UPDATE`,
		"OfTheFirst":   `INSERT INTO outhook.endpoint_health (endpoint_id) VALUES ($1)`,
		"OfTheUpdated": `UPDATE outhook.endpoint_health SET probe_count = 0 WHERE endpoint_id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receiver.answers(status(http.StatusInternalServerError))
			noRetry := func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} }
			held, _ := b.endpoint(t, noRetry)
			free, _ := b.endpoint(t, noRetry)
			if name != "OfTheFirst" {
				b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id) VALUES ($1)`, held)
			}
			release := b.hold(t, sql, held)

			b.start(t, b.healthConfig(t))
			for range 6 {
				b.enqueue(t, `{}`)
			}
			b.awaitHealth(t, free, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 6 })
			require.Zero(t, b.health(t, held).ConsecutiveFailures)
			release()
			h := b.awaitHealth(t, held, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 6 })
			require.Equal(t, health.Failing, h.State)
		})
	}
}

// One that is to be disabled while somebody holds it is disabled later, also if it is attempted no more.
func TestALockedEndpointIsDisabledLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, _ := b.endpoint(t)
	free, _ := b.endpoint(t)
	for _, id := range []uuid.UUID{held, free} {
		b.ail(t, id, 30, 6*24*time.Hour)
	}
	release := b.hold(t, `SELECT * FROM outhook.endpoints WHERE id = $1 FOR UPDATE`, held)

	cfg := b.healthConfig(t)
	require.NoError(t, b.revisit(cfg))
	require.Equal(t, db.EndpointStatusDisabled, b.endpointRow(t, free).Status)
	require.Equal(t, db.EndpointStatusEnabled, b.endpointRow(t, held).Status)
	release()
	eventually(t, func() bool {
		require.NoError(t, b.revisit(cfg))
		return b.endpointRow(t, held).Status == db.EndpointStatusDisabled
	}, func() any { return nil })
}

// A 410, and a probe's success, don't wait for whoever holds the endpoint or its health.
func TestDisablingAndEnablingDoNotWaitForLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	disable := func(tx pgx.Tx, id uuid.UUID) error {
		return health.Disable(b.ctx, tx, id, "gone: it answered 410", time.Now())
	}
	enable := func(tx pgx.Tx, id uuid.UUID) error { return health.EnableProbed(b.ctx, tx, id, time.Now()) }
	for _, tc := range []struct {
		table, id, status string
		change            func(pgx.Tx, uuid.UUID) error
	}{
		{"endpoints", "id", "enabled", disable},
		{"endpoints", "id", "disabled", enable},
		{"endpoint_health", "endpoint_id", "disabled", disable},
		{"endpoint_health", "endpoint_id", "disabled", enable},
	} {
		endpointID, _ := b.endpoint(t)
		b.ail(t, endpointID, 30, 6*24*time.Hour)
		b.exec(t, `UPDATE outhook.endpoints SET status = $2, status_reason = 'failing: by hand' WHERE id = $1`, endpointID, tc.status)
		release := b.hold(t, `SELECT FROM outhook.`+tc.table+` WHERE `+tc.id+` = $1 FOR UPDATE`, endpointID)
		change := func(tx pgx.Tx) error {
			if _, err := tx.Exec(b.ctx, "SET LOCAL statement_timeout = 20000"); err != nil {
				return err
			}
			return tc.change(tx, endpointID)
		}
		require.Equal(t, sqlstate.LockNotAvailable, sqlstate.Of(b.inTx(t, change)), tc.table)
		release()
		eventually(t, func() bool { return b.inTx(t, change) == nil }, func() any { return tc })
	}
}

// However many endpoints are held back in their state, those behind them have their turn.
func TestAHeldStateHidesNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 501 {
		id, _ := b.endpoint(t)
		b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at) VALUES ($1, 'failing', now())`, id)
	}
	b.exec(t, `UPDATE outhook.endpoint_health SET state_changed_at = now() - interval '10 min'
		WHERE endpoint_id = (SELECT endpoint_id FROM outhook.endpoint_health ORDER BY endpoint_id DESC LIMIT 1)`)
	require.NoError(t, b.revisit(b.config(t)))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.endpoint_health WHERE state = 'healthy'`))
}
