package outhook_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// An event for later has deliveries and jobs that wait for its time, by each way in; one whose time is past is like any other.
func TestEventsForLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	at := time.Now().Add(24 * time.Hour).Truncate(time.Microsecond)
	later := func(at time.Time, key string) outhook.Event {
		e := keyed(`{}`, key)
		e.DeliverAt = at
		return e
	}
	check := func(id string, want *time.Time) {
		t.Helper()
		var deliverAt *time.Time
		var next, scheduled, created time.Time
		var state string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT e.deliver_at, d.next_attempt_at, j.scheduled_at, j.state::text, e.created_at
			FROM outhook.events AS e JOIN outhook.deliveries AS d ON d.event_id = e.id JOIN outhook.river_job AS j ON j.id = d.job_id
			WHERE e.id = $1`, id).Scan(&deliverAt, &next, &scheduled, &state, &created))
		if want == nil {
			require.Nil(t, deliverAt)
			require.Equal(t, created, next)
			require.Equal(t, "available", state)
			require.False(t, scheduled.After(time.Now()))
			return
		}
		require.True(t, want.Equal(*deliverAt), "%s, %s", want, deliverAt)
		require.True(t, want.Equal(next) && want.Equal(scheduled), "%s, %s", next, scheduled)
		require.Equal(t, "scheduled", state)
	}

	for _, key := range []string{"", "a"} {
		check(b.store(t, later(at, key)).ID, &at)
		check(b.store(t, later(time.Now().Add(-time.Hour), key+"past")).ID, nil)
	}
	res, err := outhook.EnqueueSQL(b.ctx, db, later(at, ""))
	require.NoError(t, err)
	check(res.ID, &at)
	results, err := outhook.EnqueueMany(b.ctx, b.begin(t, ""), []outhook.Event{later(at, ""), later(time.Time{}, ""), labelled("eu")})
	require.NoError(t, err)
	require.Len(t, results, 3)

	for _, call := range []string{
		`outhook.enqueue('acme', 'a.b', '{}', deliver_at => $1)`, `outhook.enqueue('acme', 'a.b', '{}', 'key', NULL, NULL, NULL, $1)`,
		`outhook.enqueue_event('acme', 'a.b', '{}', deliver_at => $1)`,
		`event_id FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', deliver_ats => ARRAY[$1::timestamptz])`,
		`max(event_id::text) FROM outhook.enqueue_many('{acme,none}', '{a.b,a.b}', '{1,2}', deliver_ats => ARRAY[$1::timestamptz, NULL]) WHERE index = 0`,
	} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT `+call, at).Scan(&id), call)
		check(id, &at)
	}
	for _, past := range []string{"-infinity", "2020-01-01T00:00:00Z"} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue('acme', 'a.b', '{}', deliver_at => $1::text::timestamptz)`, past).Scan(&id))
		check(id, nil)
	}
}

// A time that is too far ahead is refused by all.
func TestEventsForTooLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := event(`{}`)
	e.DeliverAt = time.Now().Add(outhook.MaxDelay + time.Hour)
	_, err := outhook.Enqueue(b.ctx, b.begin(t, ""), e)
	var invalid *outhook.InvalidEventError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "deliver_at", invalid.Field)

	for _, at := range []string{"now() + interval '30 days 1 hour'", "'infinity'"} {
		for _, call := range []string{`'{}', deliver_at => %s`, `'{}', 'key', deliver_at => %s`} {
			_, err := b.pool.Exec(b.ctx, fmt.Sprintf(`SELECT outhook.enqueue('acme', 'a.b', `+call+`)`, at))
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, call)
			require.Equal(t, "22023", pgErr.Code, pgErr.Message)
		}
	}
	e.DeliverAt = time.Now().Add(outhook.MaxDelay - time.Minute)
	b.store(t, e)
}
