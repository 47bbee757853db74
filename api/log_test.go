package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A list goes back through as many days as its page needs, and through some at a time: who changes an old one does
// not keep it from showing the new.
func TestListsGoBackSomeDaysAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "").String()
	b.exec(`SELECT outhook.create_partitions(current_date - 40, current_date)`)
	for _, days := range []int{0, 1, 6, 7, 13, 14, 15, 39} {
		b.exec(`WITH made AS (
				INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
				SELECT v.id, outhook.uuid_v7_time(v.id), 'acme', 'a.b', '{}'
				FROM (SELECT outhook.uuid_v7(now() - make_interval(days => $1)) AS id) AS v RETURNING id
			) INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
			SELECT m.id, $2::uuid, nextval('outhook.river_job_id_seq'), now() FROM made AS m`, days, endpoint)
	}
	var want []string
	rows, err := b.pool.Query(b.t.Context(), `SELECT id::text FROM outhook.events ORDER BY id DESC`)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		want = append(want, id)
	}
	require.NoError(t, rows.Err())

	for path, field := range map[string]string{"/api/events": "id", "/api/deliveries": "event_id"} {
		list := func(query string) (got []string, next string) {
			t.Helper()
			r := b.requireObject(b.do("GET", path+query, ""), 200)
			for _, item := range r["items"].([]any) {
				got = append(got, item.(object)[field].(string))
			}
			next, _ = r["next_cursor"].(string)
			return got, next
		}
		all, next := list("?tenant_id=acme")
		require.Equal(t, want, all)
		require.Empty(t, next)
		for _, limit := range []string{"1", "3", "7"} {
			var paged []string
			for query := "?limit=" + limit; query != ""; {
				got, next := list(query)
				paged, query = append(paged, got...), ""
				if next != "" {
					query = "?limit=" + limit + "&cursor=" + next
				}
			}
			require.Equal(t, want, paged, limit)
		}
		for i, id := range want {
			at := b.requireObject(b.do("GET", "/api/events/"+id, ""), 200)["created_at"].(string)
			got, _ := list("?since=" + at)
			require.Equal(t, want[:i+1], got)
			got, _ = list("?until=" + at)
			require.Equal(t, want[i+1:], append([]string{}, got...))
		}

		tx, err := b.pool.Begin(b.t.Context())
		require.NoError(t, err)
		var old string
		require.NoError(t, tx.QueryRow(b.t.Context(), `SELECT to_char(current_date - 20, '"_p"YYYYMMDD')`).Scan(&old))
		_, err = tx.Exec(b.t.Context(), `LOCK TABLE outhook.events`+old+`, outhook.deliveries`+old+` IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		got, _ := list("?limit=4")
		require.Equal(t, want[:4], got)
		require.NoError(t, tx.Rollback(context.WithoutCancel(b.t.Context())))
	}
}

// Attempts of this moment may be of events of any day: what counts and follows them looks at some days a transaction,
// and shows them as if it had looked at all at once.
func TestAttemptsOfAnyDayAreCountedAndFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "").String()
	b.exec(`SELECT outhook.create_partitions(current_date - 40, current_date)`)
	var n int
	for _, days := range []int{39, 0, 14, 1, 6, 15, 7, 13} {
		for range 3 {
			n++
			b.exec(`WITH made AS (
				INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
				SELECT v.id, outhook.uuid_v7_time(v.id), 'acme', 'a.b', '{}'
				FROM (SELECT outhook.uuid_v7(now() - make_interval(days => $1)) AS id) AS v RETURNING id
			), d AS (
				INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
				SELECT m.id, $2::uuid, nextval('outhook.river_job_id_seq'), now() - make_interval(secs => $3 * 7) FROM made AS m
			)
			INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome)
			SELECT m.id, $2::uuid, 1, now() - make_interval(secs => 100 - $3), $3 * $3,
				(enum_range(NULL::outhook.attempt_outcome))[1 + $3 % 6] FROM made AS m`, days, endpoint, n)
		}
	}

	s := b.requireObject(b.do("GET", "/api/stats", ""), 200)
	backlog := s["backlog"].(object)
	require.InDelta(t, n, backlog["pending"], 0)
	require.InDelta(t, n, backlog["due"], 0)
	require.InDelta(t, n*7, backlog["oldest_due_s"], 60)

	rows, err := b.pool.Query(b.t.Context(), `SELECT event_id FROM outhook.delivery_attempts
		ORDER BY started_at + duration_ms * interval '1 millisecond', event_id, endpoint_id, number`)
	require.NoError(t, err)
	inOrder, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	var got []uuid.UUID
	query := "since=" + time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339)
	for more := true; more; {
		page := b.follow(t, query+"&limit=5")
		for _, item := range page.Items {
			got = append(got, item.EventID)
		}
		query, more = "cursor="+page.NextCursor, page.More
	}
	require.Equal(t, inOrder, got)
}
