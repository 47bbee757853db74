package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/ingest"
	"github.com/outhook/outhook/internal/sqlstate"
)

// testBundle is a store on a database of its own.
type testBundle struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *ingest.Store
	reg   *prometheus.Registry
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	pool := dbtest.New(t)
	reg := prometheus.NewRegistry()
	store := ingest.New(pool, pool, slog.New(slog.DiscardHandler), reg)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(t.Context()))) })
	return &testBundle{t, pool, store, reg}
}

// put stores events of the tenant acme.
func (b *testBundle) put(events ...outhook.Event) ([]db.EnqueueManyRow, error) {
	for i := range events {
		events[i].TenantID = "acme"
	}
	return b.store.Put(b.t.Context(), events, "")
}

func (b *testBundle) exec(query string) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query)
	require.NoError(b.t, err)
}

// count returns the number that a query returns.
func (b *testBundle) count(query string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query).Scan(&n))
	return n
}

func TestConcurrentEventsAreStoredOnceEach(t *testing.T) {
	t.Parallel()
	const clients, each = 64, 50
	b := setup(t)
	var mu sync.Mutex
	seen := map[uuid.UUID]string{} // payload by id
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for j := range each {
				payload := fmt.Sprintf(`{"i":%d, "j":%d}`, i, j)
				rows, err := b.put(outhook.Event{Type: "a.b", Payload: json.RawMessage(payload)})
				if err != nil || len(rows) != 1 {
					continue
				}
				mu.Lock()
				seen[rows[0].EventID] = payload
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, clients*each)

	rows, err := b.pool.Query(t.Context(), "SELECT id, payload::text FROM outhook.events") //nolint:rowserrcheck // ForEachRow checks it
	require.NoError(t, err)
	var id uuid.UUID
	var payload string
	_, err = pgx.ForEachRow(rows, []any{&id, &payload}, func() error {
		if seen[id] != payload {
			return fmt.Errorf("event %s has the payload %s", id, payload)
		}
		delete(seen, id)
		return nil
	})
	require.NoError(t, err)
	require.Empty(t, seen, "answered but not stored")
}

func TestConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := outhook.Event{Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: "k"}
	rows, err := b.put(first)
	require.NoError(t, err)
	require.False(t, rows[0].Duplicate)
	id := rows[0].EventID

	rows, err = b.put(first)
	require.NoError(t, err)
	require.True(t, rows[0].Duplicate)
	require.Equal(t, id, rows[0].EventID)

	other := outhook.Event{Type: "b", Payload: json.RawMessage("1"), IdempotencyKey: "k"}
	rows, err = b.put(other)
	require.NoError(t, err)
	require.True(t, rows[0].Conflict)

	var conflict ingest.ConflictError
	_, err = b.put(outhook.Event{Type: "a", Payload: json.RawMessage("1")}, other)
	require.ErrorAs(t, err, &conflict)
	require.EqualValues(t, 1, conflict)
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.events"), "all or none")
}

// A lock on a table concerns every request: all wait for it together and none fails.
func TestLockedTableDelaysAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "LOCK TABLE outhook.event_keys IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)

	results := make(chan error, 20)
	for i := range 20 {
		go func() {
			e := outhook.Event{Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: fmt.Sprintf("k%d", i)}
			_, err := b.put(e)
			results <- err
		}()
	}
	select {
	case err := <-results:
		require.Fail(t, "answered before the lock was released", "error %v", err)
	case <-time.After(400 * time.Millisecond):
	}
	require.NoError(t, tx.Commit(t.Context()))
	for range 20 {
		require.NoError(t, <-results)
	}
}

// hold begins a transaction that has taken keys, as an application that keeps it open does.
func (b *testBundle) hold(keys ...string) pgx.Tx {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.t.Context())) })
	_, err = tx.Exec(b.t.Context(), "SELECT outhook.enqueue('acme', 'a', '1'::text, k) FROM unnest($1::text[]) AS k", keys)
	require.NoError(b.t, err)
	return tx
}

// Keys that an open transaction holds delay the requests with these keys, and not even each other's.
func TestHeldKeysDelayTheirOwnRequestsOnly(t *testing.T) {
	t.Parallel()
	const held = 50
	b := setup(t)
	event := func(key string) outhook.Event {
		return outhook.Event{Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: key}
	}
	keys := make([]string, held)
	for i := range keys {
		keys[i] = fmt.Sprintf("held%d", i)
	}
	holder, brief := b.hold(keys...), b.hold("brief")

	waiting := make(chan error, held)
	for _, key := range keys {
		go func() {
			_, err := b.put(event(key))
			waiting <- err
		}()
	}
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	require.Eventually(t, func() bool { return b.count(waits) > 0 }, 10*time.Second, time.Millisecond)

	const clients, each = 4, 25
	var mu sync.Mutex
	var slowest time.Duration
	var failed error
	var others sync.WaitGroup
	for i := range clients {
		others.Go(func() {
			for j := range each {
				began := time.Now()
				_, err := b.put(event([]string{"", fmt.Sprintf("free%d.%d", i, j)}[j%2]))
				mu.Lock()
				failed, slowest = errors.Join(failed, err), max(slowest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	others.Wait()
	require.NoError(t, failed)
	require.Less(t, slowest, 2*time.Second)

	// Another transaction's key is free before theirs.
	answered := make(chan error, 1)
	go func() {
		_, err := b.put(event("brief"))
		answered <- err
	}()
	require.Empty(t, answered)
	require.NoError(t, brief.Commit(t.Context()))
	require.NoError(t, <-answered)
	require.Empty(t, waiting)

	require.NoError(t, holder.Commit(t.Context()))
	for range held {
		require.NoError(t, <-waiting)
	}
	require.Equal(t, held+1+clients*each, b.count("SELECT count(*) FROM outhook.events"))
}

// What is stored survives a crash of the database, also where that is not the default.
func TestCommitsAreDurable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE TABLE seen (setting text)`)
	b.exec(`CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
	b.exec(`CREATE TRIGGER look AFTER INSERT ON outhook.events FOR EACH ROW EXECUTE FUNCTION look()`)
	for set, want := range map[string]string{"off": "on", "local": "on", "remote_apply": "remote_apply"} {
		b.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = ` + set + `', current_database()); END $$`)
		b.pool.Reset()
		_, err := b.put(outhook.Event{Type: "a.b", Payload: json.RawMessage("1")})
		require.NoError(t, err)
		var setting string
		require.NoError(t, b.pool.QueryRow(t.Context(), "DELETE FROM seen RETURNING setting").Scan(&setting))
		require.Equal(t, want, setting, set)
	}
}

// A request is answered by the end of its transaction, not by that of its last statement.
func TestAnswerIsThatOfTheCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'refused at the commit' USING ERRCODE = '23000'; END $$`)
	b.exec(`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON outhook.event_keys DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION refuse()`)
	keyed := outhook.Event{Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: "k"}
	free := outhook.Event{Type: "a", Payload: json.RawMessage("1")}
	for name, events := range map[string][]outhook.Event{"One": {keyed}, "Several": {keyed, free}} {
		_, err := b.put(events...)
		require.ErrorContains(t, err, "refused at the commit", name)
		require.Zero(t, b.count("SELECT count(*) FROM outhook.events"), name)

		_, err = b.put(free)
		require.NoError(t, err, name)
		b.exec("DELETE FROM outhook.events")
		for _, conn := range b.pool.AcquireAllIdle(t.Context()) {
			var locks, statement string
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting('lock_timeout'),
				current_setting('statement_timeout')`).Scan(&locks, &statement))
			conn.Release()
			require.Equal(t, []string{"0", "0"}, []string{locks, statement}, "the settings are the transaction's own")
		}
	}
}

// The failure of a group is nobody's fault: each of its requests gets it, and it has been logged.
func TestGroupErrorIsTheDatabases(t *testing.T) {
	t.Parallel()
	// Nothing listens on port 1.
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=2")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store := ingest.New(pool, pool, slog.New(slog.DiscardHandler), nil)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(t.Context()))) })

	var group *ingest.GroupError
	_, err = store.Put(t.Context(), []outhook.Event{{TenantID: "acme", Type: "a", Payload: json.RawMessage("1")}}, "")
	require.ErrorAs(t, err, &group)
}

// endpoints makes so many for a tenant.
func (b *testBundle) endpoints(tenantID string, n int) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), `INSERT INTO outhook.endpoints (id, tenant_id, url)
		SELECT outhook.uuid_v7(), $1, 'https://example.com/' FROM generate_series(1, $2)`, tenantID, n)
	require.NoError(b.t, err)
}

// of makes n events of a tenant.
func of(tenantID string, n int) []outhook.Event {
	events := make([]outhook.Event, n)
	for i := range events {
		events[i] = outhook.Event{TenantID: tenantID, Type: "a.b", Payload: json.RawMessage("1")}
	}
	return events
}

// The deliveries of a request are counted before the work: too many leave no trace, not even of dead rows.
func TestDeliveriesOfARequestAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoints("many", ingest.MaxDeliveries/10)
	b.endpoints("more", ingest.MaxDeliveries+1)
	const size = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'outhook'::regnamespace AND relkind = 'r'" +
		" AND relname ~ '^(events|deliveries|river_job)'"
	before := b.count(size)
	var large ingest.FanOutError
	_, err := b.store.Put(t.Context(), of("many", 11), "")
	require.ErrorAs(t, err, &large)
	require.EqualValues(t, ingest.MaxDeliveries, large)
	require.Equal(t, before, b.count(size))

	rows, err := b.store.Put(t.Context(), of("many", 10), "")
	require.NoError(t, err)
	require.Len(t, rows, 10)
	require.EqualValues(t, ingest.MaxDeliveries/10, rows[9].DeliveryCount)
	rows, err = b.store.Put(t.Context(), of("more", 1), "")
	require.NoError(t, err, "an event alone is bounded by the endpoints")
	require.EqualValues(t, ingest.MaxDeliveries+1, rows[0].DeliveryCount)
}

// What labels and filters leave out counts as nothing of what a request or a group may have, but for an eighth of each filter that is
// evaluated.
func TestDeliveriesThatAreLeftOutDoNotCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoints("few", 1)
	b.endpoints("labels", ingest.MaxDeliveries/10)
	b.endpoints("filters", ingest.MaxDeliveries/10)
	b.exec(`UPDATE outhook.endpoints SET labels = '{eu}' WHERE tenant_id = 'labels'`)
	b.exec(`UPDATE outhook.endpoints SET filter = '{}', filter_path = '$.data ? (@ == 2)' WHERE tenant_id = 'filters'`)
	labelled := func(n int, label string) []outhook.Event {
		events := of("labels", n)
		for i := range events {
			events[i].Labels = []string{label}
		}
		return events
	}
	counts := func(want int, events []outhook.Event) {
		t.Helper()
		rows, err := b.store.Put(t.Context(), events, "")
		require.NoError(t, err)
		for _, row := range rows {
			require.EqualValues(t, want, row.DeliveryCount)
		}
	}

	counts(0, of("labels", 100))
	counts(0, labelled(100, "us"))
	counts(ingest.MaxDeliveries/10, labelled(2, "eu"))
	var large ingest.FanOutError
	_, err := b.store.Put(t.Context(), labelled(11, "eu"), "")
	require.ErrorAs(t, err, &large)
	counts(0, append(of("filters", 70), of("few", 1)[1:]...))
	_, err = b.store.Put(t.Context(), of("filters", 81), "")
	require.ErrorAs(t, err, &large, "80 x 1000 evaluations are 10,000 deliveries")

	_, err = b.store.Put(t.Context(), append(of("filters", 70), outhook.Event{TenantID: "few", Type: "a.b", Payload: json.RawMessage("{")}), "")
	require.Equal(t, sqlstate.InvalidParameterValue, sqlstate.Of(err), "a payload that is no JSON, in a request that is counted")
}

// Who has many deliveries to make is stored beside the others, and nobody waits for it.
func TestLargeFanOutsAreInNobodysWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.endpoints("many", 500)
	b.endpoints("few", 1)
	stop := make(chan struct{})
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	var large []time.Duration
	for range 6 {
		running.Go(func() {
			for {
				began := time.Now()
				rows, err := b.store.Put(b.t.Context(), of("many", 10), "")
				mu.Lock()
				failed, large = errors.Join(failed, err), append(large, time.Since(began))
				if err == nil && rows[9].DeliveryCount != 500 {
					failed = errors.Join(failed, fmt.Errorf("%d deliveries", rows[9].DeliveryCount))
				}
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var small []time.Duration
	for range 60 {
		began := time.Now()
		_, err := b.store.Put(t.Context(), of("few", 1), "")
		require.NoError(t, err)
		small = append(small, time.Since(began))
	}
	close(stop)
	running.Wait()
	require.NoError(t, failed)
	slices.Sort(small)
	slices.Sort(large)
	t.Log("small", small[30], small[57], "large", large[len(large)/2])
	require.Less(t, small[57], large[len(large)/2]/2)
}

// A payload that is long to look through is not looked through while others wait.
func TestNestedPayloadsAreInNobodysWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	chain := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	nested := json.RawMessage("[" + strings.Repeat(chain+",", 240) + chain + "]")
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	var large []time.Duration
	for range 20 {
		running.Go(func() {
			began := time.Now()
			_, err := b.store.Put(t.Context(), []outhook.Event{{TenantID: "deep", Type: "a.b", Payload: nested}}, "")
			mu.Lock()
			defer mu.Unlock()
			failed, large = errors.Join(failed, err), append(large, time.Since(began))
		})
	}
	var small []time.Duration
	for range 20 {
		began := time.Now()
		_, err := b.store.Put(t.Context(), of("few", 1), "")
		require.NoError(t, err)
		small = append(small, time.Since(began))
	}
	running.Wait()
	require.NoError(t, failed)
	slices.Sort(small)
	slices.Sort(large)
	t.Log("small", small[10], small[19], "nested", large[0], large[10])
	require.Less(t, small[18], large[10]/4)
}

// What a group can't do in its time is done request by request.
func TestASlowRequestIsToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.tenant_id = 'slow' THEN PERFORM pg_sleep(6); END IF; RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER slow BEFORE INSERT ON outhook.events FOR EACH ROW EXECUTE FUNCTION slow()`)
	results := make(chan error, 21)
	release := b.block(of("first", 1)...)
	for i := range 21 {
		go func() {
			_, err := b.store.Put(t.Context(), of([]string{"slow", "quick"}[min(i, 1)], 1), "")
			results <- err
		}()
	}
	release(21)
	for range 21 {
		require.NoError(t, <-results)
	}
	require.Equal(t, 22, b.count("SELECT count(*) FROM outhook.events"))
}

// block keeps the store from storing anything until so many requests wait behind the one that it stands still with.
func (b *testBundle) block(events ...outhook.Event) (release func(waiting int)) {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.t.Context())) })
	_, err = tx.Exec(b.t.Context(), "LOCK TABLE outhook.events IN ACCESS EXCLUSIVE MODE")
	require.NoError(b.t, err)
	first := make(chan error, 1)
	go func() {
		_, err := b.store.Put(b.t.Context(), events, "")
		first <- err
	}()
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	require.Eventually(b.t, func() bool { return b.count(waits) > 0 }, 10*time.Second, time.Millisecond)
	return func(waiting int) {
		b.t.Helper()
		require.Eventually(b.t, func() bool { return b.waiting() == waiting }, 10*time.Second, time.Millisecond)
		require.NoError(b.t, tx.Rollback(b.t.Context()))
		require.NoError(b.t, <-first)
	}
}

// waiting and runs are what the metrics say.
func (b *testBundle) waiting() int {
	return int(b.family("outhook_group_waiting").GetGauge().GetValue())
}

func (b *testBundle) runs() int {
	return int(b.family("outhook_group_size").GetHistogram().GetSampleCount())
}

func (b *testBundle) family(name string) *dto.Metric {
	b.t.Helper()
	families, err := b.reg.Gather()
	require.NoError(b.t, err)
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	require.GreaterOrEqual(b.t, i, 0)
	return families[i].GetMetric()[0]
}

// Requests at fault cost their neighbours one more run, however many they are and wherever they stand in the group.
func TestFaultsCostOneMoreRun(t *testing.T) {
	t.Parallel()
	keyed := func() []outhook.Event { // one of two has a key
		events := of("acme", 2)
		events[1].IdempotencyKey = uuid.NewString()
		return events
	}
	for name, c := range map[string]struct {
		good   func() []outhook.Event
		faulty []outhook.Event
		check  func(*testing.T, error)
	}{
		"Conflict": {
			keyed,
			[]outhook.Event{{TenantID: "acme", Type: "x", Payload: json.RawMessage("1")}, {TenantID: "acme", Type: "b", Payload: json.RawMessage("1"), IdempotencyKey: "k"}},
			func(t *testing.T, err error) {
				t.Helper()
				var conflict ingest.ConflictError
				require.ErrorAs(t, err, &conflict)
				require.EqualValues(t, 1, conflict)
			},
		},
		"Refused": {
			func() []outhook.Event { return of("acme", 1) },
			[]outhook.Event{{TenantID: "acme", Type: "x", Payload: json.RawMessage(`{`)}},
			func(t *testing.T, err error) {
				t.Helper()
				require.Equal(t, "22023", sqlstate.Of(err))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := b.put(outhook.Event{Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: "k"})
			require.NoError(t, err)
			release := b.block(c.good()...)
			before := b.runs()
			good, bad := make(chan error, 40), make(chan error, 1)
			for i := range 41 {
				go func() {
					if i == 20 {
						_, err := b.store.Put(t.Context(), c.faulty, "")
						bad <- err
						return
					}
					_, err := b.store.Put(t.Context(), c.good(), "")
					good <- err
				}()
			}
			release(41)
			for range 40 {
				require.NoError(t, <-good)
			}
			c.check(t, <-bad)
			require.Equal(t, 1+41*len(c.good()), b.count("SELECT count(*) FROM outhook.events"))
			// What stood still, the group, what is left of it, and the one at fault.
			require.LessOrEqual(t, b.runs()-before, 4+lockTries)
		})
	}
}

// lockTries is how often a run that meets a locked table is repeated at most.
const lockTries = 8

// Tenants take turns: one that has sent many requests before does not make another wait for all of them.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := b.block(of("first", 1)...)
	var order sync.Mutex
	var done []string
	var running sync.WaitGroup
	put := func(tenantID string) {
		running.Go(func() {
			rows, err := b.store.Put(t.Context(), of(tenantID, 1), "")
			order.Lock()
			defer order.Unlock()
			if err == nil && len(rows) == 1 {
				done = append(done, tenantID)
			}
		})
	}
	for range 1200 { // more than two groups
		put("acme")
	}
	require.Eventually(t, func() bool { return b.waiting() == 1200 }, 10*time.Second, time.Millisecond)
	put("late")
	release(1201)
	running.Wait()
	require.Len(t, done, 1201)
	require.Less(t, slices.Index(done, "late"), 510, "in the first group")
}
