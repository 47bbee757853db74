package migrations_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook/internal/dbtest"
)

// logTables are the tables that are partitioned by day.
func logTables() []string { return []string{"events", "deliveries", "delivery_attempts"} }

// partition is a day of a log table.
type partition struct {
	Name, Bound             string
	IndexCount              int
	Attached, DetachPending bool
}

func partitions(t *testing.T, db database, table string) []partition {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT c.relname::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bound,
			(SELECT count(*) FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
				WHERE i.indrelid = c.oid AND i.indisvalid) AS index_count,
			c.relispartition AS attached, h.inhdetachpending AS detach_pending
		FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
		WHERE h.inhparent = ('outhook.' || $1)::regclass ORDER BY c.relname`, table)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[partition])
	require.NoError(t, err)
	return list
}

// bound is what PostgreSQL prints for a partition of a UTC day: from the id with the day's first millisecond, the version 7
// and nothing else, to that of the next day.
func bound(day time.Time) string {
	id := func(at time.Time) string {
		ms := fmt.Sprintf("%012x", at.UnixMilli())
		return ms[:8] + "-" + ms[8:] + "-7000-0000-000000000000"
	}
	return fmt.Sprintf("FOR VALUES FROM ('%s') TO ('%s')", id(day), id(day.AddDate(0, 0, 1)))
}

// The migration may have run a moment before midnight.
func TestPartitionsAreDaysFromYesterdayToThirtyAhead(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for _, table := range logTables() {
		list := partitions(t, pool, table)
		require.Len(t, list, 32)
		first, err := time.Parse("20060102", list[0].Name[len(table)+len("_p"):])
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().UTC().Truncate(24*time.Hour), first.AddDate(0, 0, 1), 24*time.Hour)
		requireDays(t, pool, table, first, list)
	}
	require.Zero(t, value[int](t, pool, `SELECT count(*) FROM pg_partitioned_table WHERE partdefid <> 0`), "a DEFAULT partition")
}

// requireDays wants partitions of consecutive days, attached with each of the parent's indexes.
func requireDays(t *testing.T, db database, table string, first time.Time, list []partition) {
	t.Helper()
	indexes := value[int](t, db, `SELECT count(*) FROM pg_index WHERE indrelid = ('outhook.' || $1)::regclass`, table)
	require.GreaterOrEqual(t, indexes, 2)
	for i, p := range list {
		day := first.AddDate(0, 0, i)
		require.Equal(t, partition{
			Name: table + day.Format("_p20060102"), Bound: bound(day), IndexCount: indexes, Attached: true,
		}, p)
	}
}

func TestMidnightSeparatesPartitions(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	for at, want := range map[time.Time]string{
		midnight.Add(-time.Microsecond): midnight.AddDate(0, 0, -1).Format("events_p20060102"),
		midnight:                        midnight.Format("events_p20060102"),
	} {
		for range 20 { // half of an id is random
			require.Equal(t, want, value[string](t, pool, `WITH e AS (INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
				VALUES (outhook.uuid_v7($1), $1, 'acme', 'a', '1') RETURNING tableoid AS child)
				SELECT c.relname::text FROM pg_class AS c JOIN e ON c.oid = e.child`, at))
		}
	}
}

// Each session's time zone gives the same days. The first is one like Chile's, as a POSIX rule, so that no time zone database
// is needed: on the 1st of September 2030 its clock goes from 23:59:59 to 01:00:00, so that day has no midnight there.
func TestPartitionsDoNotDependOnTheTimeZone(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for _, zone := range []string{"CLT4CLST,M9.1.0/0,M4.1.0/0", "XYZ-14", "XYZ12", "UTC"} {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		exec(t, tx, `SET LOCAL timezone = '`+zone+`'`)
		require.Equal(t, 36, value[int](t, tx, `SELECT outhook.create_partitions('2030-08-28', '2030-09-08')`), zone)
		for _, table := range logTables() {
			requireDays(t, tx, table, time.Date(2030, 8, 28, 0, 0, 0, 0, time.UTC), partitions(t, tx, table)[32:])
		}
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

func TestPartitionsAreCreatedOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	const sql = `SELECT outhook.create_partitions('2030-01-01', '2030-01-05')`
	made := make([]int, 4)
	var g errgroup.Group
	for i := range made {
		g.Go(func() error { return pool.QueryRow(t.Context(), sql).Scan(&made[i]) })
	}
	require.NoError(t, g.Wait())
	require.ElementsMatch(t, []int{15, 0, 0, 0}, made)
	require.Equal(t, 0, value[int](t, pool, sql))
	require.Equal(t, 0, value[int](t, pool, `SELECT outhook.create_partitions('2030-01-05', '2030-01-01')`), "no day")
}

// Business transactions hold their locks for as long as they like; neither side may wait for the other.
func TestPartitionsAreCreatedBesideOpenTransactions(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	const enqueue = `SELECT FROM outhook.enqueue('acme', 'a.b', '{}')`
	begin := func() pgx.Tx {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { tx.Rollback(context.WithoutCancel(t.Context())) })
		exec(t, tx, `SET LOCAL lock_timeout = '10s'`)
		return tx
	}
	before, creator, after := begin(), begin(), begin()
	exec(t, before, enqueue)
	exec(t, creator, `SELECT outhook.create_partitions('2030-01-01', '2030-01-03')`)
	exec(t, after, enqueue)
	exec(t, before, enqueue)
	for _, tx := range []pgx.Tx{after, creator, before} {
		require.NoError(t, tx.Commit(t.Context()))
	}
	require.Equal(t, 3, value[int](t, pool, `SELECT count(*) FROM outhook.events`))
}

func TestIDPrunesToItsPartition(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	id := value[uuid.UUID](t, pool, `SELECT outhook.uuid_v7()`)
	day := time.Unix(id.Time().UnixTime()).UTC().Format("_p20060102")
	for table, key := range map[string]string{"events": "id", "deliveries": "event_id", "delivery_attempts": "event_id"} {
		require.Equal(t, []string{table + day}, scanned(t, pool, fmt.Sprintf(`SELECT * FROM outhook.%s WHERE %s = '%s'`, table, key, id)))
		require.Len(t, scanned(t, pool, fmt.Sprintf(`SELECT * FROM outhook.%s`, table)), 32, "the plan names partitions")
	}
	require.Equal(t, []string{"events" + day}, scanned(t, pool, fmt.Sprintf(`SELECT * FROM outhook.events
		WHERE id = ANY ('{%[1]s,%[1]s}') AND id BETWEEN '%[1]s' AND '%[1]s'`, id)))
}

// scanned returns the partitions that a query's plan reads.
func scanned(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	plan := strings.Join(column[string](t, pool, `EXPLAIN `+sql), "\n")
	var names []string
	for _, m := range regexp.MustCompile(` on (\w+_p\d{8}) `).FindAllStringSubmatch(plan, -1) {
		names = append(names, m[1])
	}
	return names
}
