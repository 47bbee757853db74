package pg_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/pg"
)

// A day's bounds are those of its partition, and a statement that is narrowed to it sees that day's rows.
func TestADayIsAPartition(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	const bounded = `SELECT count(*) FROM outhook.events AS s
		WHERE s.id >= '00000000-0000-0000-0000-000000000000' AND s.id < 'ffffffff-ffff-ffff-ffff-ffffffffffff'`

	var today time.Time
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_date`).Scan(&today))
	ids := []uuid.UUID{
		pg.FloorID(today), pg.FloorID(today.Add(12 * time.Hour)), pg.FloorID(today.Add(24*time.Hour - time.Millisecond)),
		pg.FloorID(today.Add(24 * time.Hour)),
	}
	for _, id := range ids {
		_, err := pool.Exec(t.Context(), `INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			VALUES ($1, now(), 'acme', 'a.b', '{}')`, id)
		require.NoError(t, err)
	}

	before := pg.DayAt(today).Before()
	require.Less(t, before.String(), ids[0].String())
	require.Greater(t, before.String(), pg.FloorID(today.Add(-time.Millisecond)).String())
	require.Equal(t, pg.DayAt(today), pg.DayOf(before))

	for i, want := range []int{3, 3, 3, 1} {
		conn := pg.DayOf(ids[i]).Of(pool)
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), bounded).Scan(&n))
		require.Equal(t, want, n)

		rows, err := conn.Query(t.Context(), "EXPLAIN "+bounded)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		partitions := map[string]bool{}
		for _, name := range regexp.MustCompile(`events_p\d{8}`).FindAllString(strings.Join(lines, "\n"), -1) {
			partitions[name] = true
		}
		require.Len(t, partitions, 1)
	}
}
