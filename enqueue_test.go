package outhook_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook"
)

func TestEnqueue(t *testing.T) {
	t.Parallel()

	t.Run("CommitStoresEventDeliveryAndJob", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		res, err := outhook.Enqueue(b.ctx, tx, event(`{"a": 1}`))
		require.NoError(t, err)
		require.Equal(t, 1, res.DeliveryCount)
		require.False(t, res.Duplicate)
		require.WithinDuration(t, time.Now(), res.CreatedAt, time.Minute)
		require.Equal(t, [3]int{0, 0, 0}, b.counts(t))
		require.NoError(t, tx.Commit(b.ctx))
		require.Equal(t, [3]int{1, 1, 1}, b.counts(t))
		var payload string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT payload::text FROM outhook.events WHERE id = $1`, res.ID).Scan(&payload))
		require.Equal(t, `{"a": 1}`, payload)
	})

	t.Run("RollbackStoresNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		_, err := outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
		require.NoError(t, err)
		require.NoError(t, tx.Rollback(b.ctx))
		require.Equal(t, [3]int{0, 0, 0}, b.counts(t))
		// The key is free again.
		tx = b.begin(t, "")
		res, err := outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
		require.NoError(t, err)
		require.False(t, res.Duplicate)
	})

	t.Run("SavepointTakesItsEventsAlong", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		_, err := outhook.Enqueue(b.ctx, tx, event(`1`))
		require.NoError(t, err)
		savepoint, err := tx.Begin(b.ctx)
		require.NoError(t, err)
		_, err = outhook.Enqueue(b.ctx, savepoint, event(`2`))
		require.NoError(t, err)
		require.NoError(t, savepoint.Rollback(b.ctx))
		_, err = outhook.Enqueue(b.ctx, tx, event(`3`))
		require.NoError(t, err)
		require.NoError(t, tx.Commit(b.ctx))
		require.Equal(t, [3]int{2, 2, 2}, b.counts(t))
	})

	t.Run("InvalidEventLeavesTheTransactionUsable", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		for _, payload := range []string{"", "{", "\xff", strings.Repeat("[", 513) + strings.Repeat("]", 513), `"` + strings.Repeat("x", 262_143) + `"`} {
			_, err := outhook.Enqueue(b.ctx, tx, event(payload))
			require.ErrorIs(t, err, outhook.ErrInvalidEvent)
		}
		_, err := outhook.EnqueueMany(b.ctx, tx, []outhook.Event{event(`1`), {}})
		var invalid *outhook.InvalidEventError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, 1, invalid.Index)
		_, err = outhook.Enqueue(b.ctx, tx, event(`{}`))
		require.NoError(t, err)
		require.NoError(t, tx.Commit(b.ctx))
		require.Equal(t, [3]int{1, 1, 1}, b.counts(t))
	})

	t.Run("NobodySubscribedIsNoError", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		e := event(`{}`)
		e.TenantID = "unheard-of"
		res, err := outhook.Enqueue(b.ctx, tx, e)
		require.NoError(t, err)
		require.Zero(t, res.DeliveryCount)
		none, err := outhook.EnqueueMany(b.ctx, tx, nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})

	t.Run("MissingSchemaSaysWhatToRun", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `ALTER SCHEMA outhook RENAME TO elsewhere`)
		_, err := outhook.Enqueue(b.ctx, b.begin(t, ""), event(`{}`))
		require.ErrorContains(t, err, "outhook migrate up")
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
	})
}

func TestEnqueueSQL(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"pgx", "postgres"} { // pgx's stdlib and lib/pq
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			url := b.pool.Config().ConnString()
			if !strings.Contains(url, "sslmode") { // lib/pq's own default is require
				url += map[bool]string{true: "&", false: "?"}[strings.Contains(url, "?")] + "sslmode=prefer"
			}
			db, err := sql.Open(driver, url)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			tx, err := db.BeginTx(b.ctx, nil)
			require.NoError(t, err)
			payloads := []string{`{"a": "\"\\ {},\n"}`, "[1e400,\t\"é\U0001F600\u2028\"]", `"NULL"`, `null`}
			var events []outhook.Event
			for i, p := range payloads {
				e := keyed(p, fmt.Sprintf(`k\"{},%d`, i))
				events = append(events, e)
			}
			results, err := outhook.EnqueueManySQL(b.ctx, tx, events)
			require.NoError(t, err)
			again, err := outhook.EnqueueSQL(b.ctx, tx, events[1])
			require.NoError(t, err)
			require.True(t, again.Duplicate)
			require.Equal(t, results[1].ID, again.ID)
			require.NoError(t, tx.Commit())
			for i, res := range results {
				var payload string
				require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT payload::text FROM outhook.events WHERE id = $1`, res.ID).Scan(&payload))
				require.Equal(t, payloads[i], payload)
			}
			tx, err = db.BeginTx(b.ctx, nil)
			require.NoError(t, err)
			_, err = outhook.EnqueueSQL(b.ctx, tx, event(`{`))
			require.ErrorIs(t, err, outhook.ErrInvalidEvent)
			_, err = outhook.EnqueueSQL(b.ctx, tx, event(`{}`))
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
			require.Equal(t, [3]int{4, 4, 4}, b.counts(t))
		})
	}
}

// A transaction need not be a *sql.Tx: libraries wrap theirs, and some begin it by a statement of their own.
func TestEnqueueSQLTakesWhatQueries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	conn, err := db.Conn(b.ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	for _, end := range []string{"ROLLBACK", "COMMIT"} {
		_, err = conn.ExecContext(b.ctx, "BEGIN")
		require.NoError(t, err)
		_, err = outhook.EnqueueSQL(b.ctx, conn, event(`{}`))
		require.NoError(t, err)
		require.Equal(t, [3]int{0, 0, 0}, b.counts(t))
		_, err = conn.ExecContext(b.ctx, end)
		require.NoError(t, err)
	}
	require.Equal(t, [3]int{1, 1, 1}, b.counts(t))
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()

	t.Run("DuplicateReturnsTheFirstEvent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tx := b.begin(t, "")
		first, err := outhook.Enqueue(b.ctx, tx, keyed(`{"a":1}`, "k"))
		require.NoError(t, err)
		require.NoError(t, tx.Commit(b.ctx))
		tx = b.begin(t, "")
		results, err := outhook.EnqueueMany(b.ctx, tx, []outhook.Event{
			keyed(`{"a":1}`, "k"), keyed(`{"a":2}`, "k"), keyed(`1`, "l"), keyed(`1`, "l"), keyed(`2`, "l"), event(`{}`), event(`{}`),
		})
		require.Equal(t, &outhook.ConflictError{Index: 1, FirstID: first.ID}, err)
		require.NoError(t, tx.Commit(b.ctx))
		var duplicates, conflicts []bool
		for _, r := range results {
			duplicates, conflicts = append(duplicates, r.Duplicate), append(conflicts, r.Conflict)
			require.Equal(t, 1, r.DeliveryCount)
		}
		require.Equal(t, []bool{true, true, false, true, true, false, false}, duplicates)
		require.Equal(t, []bool{false, true, false, false, true, false, false}, conflicts)
		require.Equal(t, first.ID, results[0].ID)
		require.Equal(t, first.CreatedAt, results[0].CreatedAt)
		require.Equal(t, results[2].ID, results[4].ID)
		require.NotEqual(t, results[5].ID, results[6].ID)
		require.Equal(t, [3]int{4, 4, 4}, b.counts(t))
		// Another tenant's key is another key.
		e := keyed(`{"a":1}`, "k")
		e.TenantID = "other"
		res, err := outhook.Enqueue(b.ctx, b.begin(t, ""), e)
		require.NoError(t, err)
		require.False(t, res.Duplicate)
	})

	for _, commits := range []bool{true, false} {
		t.Run(fmt.Sprintf("RaceWaitsForTheFirst/commits=%v", commits), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tx := b.begin(t, "")
			first, err := outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
			require.NoError(t, err)
			second := make(chan outhook.Result, 1)
			go func() {
				var res outhook.Result
				err := pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
					res, err = outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
					return err
				})
				if err != nil {
					res.ID = err.Error()
				}
				second <- res
			}()
			b.awaitWaiting(t)
			if commits {
				require.NoError(t, tx.Commit(b.ctx))
			} else {
				require.NoError(t, tx.Rollback(b.ctx))
			}
			res := <-second
			require.Equal(t, commits, res.Duplicate, res.ID)
			require.Equal(t, commits, first.ID == res.ID)
			require.Equal(t, [3]int{1, 1, 1}, b.counts(t))
		})
	}

	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		t.Run("ConcurrentDuplicateFailsToSerialize/"+string(level), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			late := b.begin(t, level)
			_, err := late.Exec(b.ctx, `SELECT count(*) FROM outhook.endpoints`) // takes the snapshot
			require.NoError(t, err)
			tx := b.begin(t, "")
			_, err = outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
			require.NoError(t, err)
			require.NoError(t, tx.Commit(b.ctx))
			_, err = outhook.Enqueue(b.ctx, late, keyed(`{}`, "k"))
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr)
			require.Equal(t, "40001", pgErr.Code)
		})
	}

	t.Run("BatchesInOppositeOrderDoNotDeadlock", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for round := range 30 {
			var events []outhook.Event
			for i := range 20 {
				events = append(events, keyed(`{}`, fmt.Sprint(round, "-", i)))
			}
			var g errgroup.Group
			for range 3 {
				mine := append([]outhook.Event(nil), events...)
				rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				g.Go(func() error {
					return pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
						_, err := outhook.EnqueueMany(b.ctx, tx, mine)
						return err
					})
				})
			}
			require.NoError(t, g.Wait())
		}
		require.Equal(t, [3]int{600, 600, 600}, b.counts(t))
	})
}

// awaitWaiting returns once a session of the database waits for a lock.
func (b *testBundle) awaitWaiting(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		return n == 1
	}, 30*time.Second, 10*time.Millisecond)
}

func TestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var last string
	for range 20 {
		tx := b.begin(t, "")
		results, err := outhook.EnqueueMany(b.ctx, tx, []outhook.Event{event(`1`), event(`2`), event(`3`)})
		require.NoError(t, err)
		require.NoError(t, tx.Commit(b.ctx))
		for _, r := range results {
			require.Greater(t, r.ID, last)
			last = r.ID
			id := uuid.MustParse(r.ID)
			require.Equal(t, uuid.Version(7), id.Version())
			require.Equal(t, uuid.RFC4122, id.Variant())
			sec, nsec := id.Time().UnixTime()
			require.WithinDuration(t, time.Unix(sec, nsec), r.CreatedAt, time.Millisecond)
		}
	}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `DELETE FROM outhook.endpoints`)
	b.exec(t, `INSERT INTO outhook.endpoints (id, tenant_id, url, event_types, status, deleted_at) VALUES
		(outhook.uuid_v7(), 'acme', 'all', '{}', 'enabled', NULL), (outhook.uuid_v7(), 'acme', 'exact', '{invoice.paid}', 'enabled', NULL),
		(outhook.uuid_v7(), 'acme', 'prefix', '{invoice.*}', 'enabled', NULL), (outhook.uuid_v7(), 'acme', 'deep', '{invoice.line.*,x}', 'enabled', NULL),
		(outhook.uuid_v7(), 'acme', 'paused', '{}', 'paused', NULL), (outhook.uuid_v7(), 'acme', 'disabled', '{}', 'disabled', NULL),
		(outhook.uuid_v7(), 'acme', 'deleted', '{}', 'enabled', now()), (outhook.uuid_v7(), 'other', 'foreign', '{}', 'enabled', NULL)`)
	for eventType, want := range map[string][]string{
		"invoice.paid":       {"all", "exact", "paused", "prefix"},
		"invoice":            {"all", "paused"},
		"invoice.line.added": {"all", "deep", "paused", "prefix"},
		"invoice.line":       {"all", "paused", "prefix"},
		"invoices.paid":      {"all", "paused"},
		"x":                  {"all", "deep", "paused"},
		"Invoice.paid":       {"all", "paused"},
	} {
		e := event(`{}`)
		e.Type = eventType
		var res outhook.Result
		require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) (err error) {
			res, err = outhook.Enqueue(b.ctx, tx, e)
			return err
		}))
		rows, err := b.pool.Query(b.ctx, `SELECT n.url FROM outhook.deliveries d JOIN outhook.endpoints n ON n.id = d.endpoint_id
			WHERE d.event_id = $1 ORDER BY n.url`, res.ID)
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, want, got, eventType)
		require.Equal(t, len(want), res.DeliveryCount)
	}
}

// Of the transactions that are open at the same time only one notifies, since NOTIFY makes commits queue.
func TestNotify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listener, err := pgx.ConnectConfig(b.ctx, b.pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	defer listener.Close(context.WithoutCancel(b.ctx))
	_, err = listener.Exec(b.ctx, `LISTEN "outhook.river_insert"`)
	require.NoError(t, err)
	heard := func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 200*time.Millisecond)
		defer cancel()
		n, err := listener.WaitForNotification(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return false
		}
		require.NoError(t, err)
		require.JSONEq(t, `{"queue": "deliver"}`, n.Payload)
		return true
	}
	holder, other, forced := b.begin(t, ""), b.begin(t, ""), b.begin(t, "")
	for _, tx := range []pgx.Tx{holder, other} {
		_, err := outhook.Enqueue(b.ctx, tx, event(`{}`))
		require.NoError(t, err)
	}
	_, err = forced.Exec(b.ctx, `SELECT FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', NULL, true)`)
	require.NoError(t, err)
	require.NoError(t, other.Commit(b.ctx))
	require.False(t, heard())
	require.NoError(t, forced.Commit(b.ctx))
	require.True(t, heard())
	require.NoError(t, holder.Commit(b.ctx))
	require.True(t, heard())
}

func TestHostileSearchPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE SCHEMA evil;
		CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
		CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
		CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
		CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
		CREATE TABLE evil.events (id uuid); CREATE TABLE evil.river_job (id bigint)`)
	tx := b.begin(t, "")
	_, err := tx.Exec(b.ctx, `SET LOCAL search_path = evil, pg_catalog`)
	require.NoError(t, err)
	res, err := outhook.Enqueue(b.ctx, tx, keyed(`{}`, "k"))
	require.NoError(t, err)
	require.Equal(t, 1, res.DeliveryCount)
	require.WithinDuration(t, time.Now(), res.CreatedAt, time.Minute)
}

const (
	traceOfContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceOfEvent   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// traceOf returns the stored trace of an event, "" if there is none.
func (b *testBundle) traceOf(t *testing.T, id string) string {
	t.Helper()
	var trace string
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT coalesce(traceparent, '') FROM outhook.events WHERE id = $1`, id).Scan(&trace))
	return trace
}

func TestTraceIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	traced := event(`1`)
	traced.Traceparent = traceOfEvent
	inTrace := outhook.ContextWithTraceparent(b.ctx, traceOfContext)
	db := stdlib.OpenDBFromPool(b.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })

	for name, enqueue := range map[string]func(context.Context, []outhook.Event) ([]outhook.Result, error){
		"Pgx": func(ctx context.Context, events []outhook.Event) (results []outhook.Result, err error) {
			err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
				results, err = outhook.EnqueueMany(ctx, tx, events)
				return err
			})
			return results, err
		},
		"DatabaseSQL": func(ctx context.Context, events []outhook.Event) ([]outhook.Result, error) {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return nil, err
			}
			results, err := outhook.EnqueueManySQL(ctx, tx, events)
			return results, errors.Join(err, tx.Commit())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				name   string
				ctx    context.Context //nolint:containedctx // a case of the table
				events []outhook.Event
				want   []string
			}{
				{"OfOneEvent", b.ctx, []outhook.Event{traced}, []string{traceOfEvent}},
				{"None", b.ctx, []outhook.Event{event(`1`)}, []string{""}},
				{"NoneOfMany", b.ctx, []outhook.Event{event(`1`), event(`2`)}, []string{"", ""}},
				{"OfTheContext", inTrace, []outhook.Event{event(`1`)}, []string{traceOfContext}},
				{"EventBeforeContext", inTrace, []outhook.Event{traced, event(`2`)}, []string{traceOfEvent, traceOfContext}},
				{"WithDepth", outhook.ContextWithDepth(inTrace, "2"), []outhook.Event{event(`1`)}, []string{traceOfContext + ";depth=2"}},
				{"DepthAlone", outhook.ContextWithDepth(b.ctx, "999"), []outhook.Event{event(`1`), event(`2`)}, []string{";depth=999", ";depth=999"}},
				{"DepthThatIsNone", outhook.ContextWithDepth(b.ctx, "0"), []outhook.Event{event(`1`)}, []string{""}},
				{"DepthThatIsTooLong", outhook.ContextWithDepth(b.ctx, "1000"), []outhook.Event{event(`1`)}, []string{""}},
				{"OneOfMany", b.ctx, []outhook.Event{event(`1`), traced}, []string{"", traceOfEvent}},
			} {
				results, err := enqueue(c.ctx, c.events) //nolint:contextcheck // derived from the test's own
				require.NoError(t, err, c.name)
				for i, r := range results {
					require.Equal(t, c.want[i], b.traceOf(t, r.ID), "%s %d", c.name, i)
				}
			}
		})
	}
}

func TestTraceOfAnotherFormIsIgnored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, trace := range []string{
		"", "\x00", "nonsense", ";depth=", ";depth=0", ";depth=1000", traceOfEvent + ";depth=x", traceOfEvent + " ;depth=1", traceOfEvent[1:], traceOfEvent + "-x", " " + traceOfEvent, traceOfEvent + "\n",
		"01" + traceOfEvent[2:], "ff" + traceOfEvent[2:], strings.ToUpper(traceOfEvent), strings.ReplaceAll(traceOfEvent, "-", "_"),
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-" + strings.Repeat("0", 16) + "-01",
	} {
		e := event(`1`)
		e.Traceparent = trace
		tx := b.begin(t, pgx.ReadCommitted)
		r, err := outhook.Enqueue(b.ctx, tx, e)
		require.NoError(t, err, "%q", trace)
		require.NoError(t, tx.Commit(b.ctx))
		require.Empty(t, b.traceOf(t, r.ID), "%q", trace)

		// The SQL function has the same rule, for one event and for several. No text of Postgres holds a NUL.
		if strings.Contains(trace, "\x00") {
			continue
		}
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue('acme', 'a.b', '{}', traceparent => $1)`, trace).Scan(&id))
		require.Empty(t, b.traceOf(t, id), "%q", trace)
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT max(event_id::text) FROM outhook.enqueue_many('{acme,acme}', '{a.b,a.b}',
			'{1,2}', traceparents => ARRAY[NULL, $1::text])`, trace).Scan(&id))
		require.Empty(t, b.traceOf(t, id), "%q", trace)
	}
	for _, payload := range []string{"'{}'", "json '{}'", "jsonb '{}'"} {
		var id string
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue('acme', 'a.b', `+payload+`, NULL, $1)`, traceOfEvent).Scan(&id))
		require.Equal(t, traceOfEvent, b.traceOf(t, id), payload)
	}
	_, err := b.pool.Exec(b.ctx, `SELECT FROM outhook.enqueue_many('{acme}', '{a.b}', '{1}', traceparents => ARRAY[NULL, NULL])`)
	require.ErrorContains(t, err, "must have the same length")
}

// A connection keeps the plans that it made while there was one endpoint. They must do for many, too.
func TestEnqueueAfterManyEndpointsCame(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"NeverAnalyzed": `SELECT`, "Analyzed": `ANALYZE outhook.endpoints`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enqueueAfterManyEndpointsCame(t, before)
		})
	}
}

func enqueueAfterManyEndpointsCame(t *testing.T, before string) {
	t.Helper()
	const endpoints, calls, n = 20_000, 10, 500
	b := setup(t)
	conn, err := b.pool.Acquire(b.ctx)
	require.NoError(t, err)
	defer conn.Release()
	enqueue := func(tenantOf func(int) string) (read int) {
		require.NoError(t, pgx.BeginFunc(b.ctx, conn, func(tx pgx.Tx) error {
			events := make([]outhook.Event, n)
			for i := range events {
				events[i] = event(`{}`)
				events[i].TenantID = tenantOf(i)
			}
			results, err := outhook.EnqueueMany(b.ctx, tx, events)
			if err != nil {
				return err
			}
			for _, r := range results {
				require.Equal(t, 1, r.DeliveryCount)
			}
			return tx.QueryRow(b.ctx, `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_all_tables
				WHERE relid = 'outhook.endpoints'::regclass`).Scan(&read)
		}))
		return read
	}
	const add = `INSERT INTO outhook.endpoints (id, tenant_id, url) SELECT outhook.uuid_v7(), 'many' || i, 'https://example.com/' FROM generate_series(0, $1 - 1) AS i`
	_, err = conn.Exec(b.ctx, add, 1)
	require.NoError(t, err)
	_, err = conn.Exec(b.ctx, before)
	require.NoError(t, err)
	for range calls {
		enqueue(func(int) string { return "many0" })
	}
	_, err = conn.Exec(b.ctx, `DELETE FROM outhook.endpoints`)
	require.NoError(t, err)
	_, err = conn.Exec(b.ctx, add, endpoints)
	require.NoError(t, err)
	read := enqueue(func(i int) string { return "many" + strconv.Itoa(i) })
	require.Less(t, read, 2*(calls+1)*n, "rows of endpoints read for %d events, and perhaps for the calls before", n)
}
