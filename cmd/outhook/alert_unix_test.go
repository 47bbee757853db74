//go:build unix

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
)

// What alerts on an outage read is there in the outage.
func TestReadyMetricWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	server := startServer(t, nil)
	pool, err := pgxpool.New(t.Context(), server.URL("outhook"))
	require.NoError(t, err)
	defer pool.Close()
	key := subscribe(t, pool, "http://127.0.0.1:9/nobody")
	scraped := map[string]*process{}
	for _, role := range []string{"api", "worker"} {
		w := spawnServe(t, server.URL("outhook"), key, "--roles", role, "--metrics-listen", "127.0.0.1:0")
		scraped[role] = &process{stderr: w.log, done: make(chan struct{})}
		require.Contains(t, scrape(t, scraped[role]), "outhook_ready", "from the first scrape on")
	}

	require.NoError(t, server.Kill())
	for role, p := range scraped {
		require.Eventually(t, func() bool {
			f := scrape(t, p)
			return f.value("outhook_ready", "check", "database") == 0 && f.value("outhook_ready", "check", "worker") == 0
		}, 60*time.Second, 100*time.Millisecond)
		f := scrape(t, p)
		require.Len(t, f["outhook_ready"].GetMetric(), map[string]int{"api": 4, "worker": 6}[role])
		require.InDelta(t, 1, f.value("outhook_ready", "check", "process"), 0)
	}
	require.NoError(t, server.Restart(t.Context()))
	for role, p := range scraped {
		require.Eventually(t, func() bool {
			return scrape(t, p).value("outhook_ready") == map[string]float64{"api": 4, "worker": 6}[role]
		}, 60*time.Second, 100*time.Millisecond)
	}
}

// With the delivered intervals an alert fires within its `for` and 30 s of the cause, and is over within 60 s of the cure. A
// scrape and an evaluation are at most 10 s each of that, and at most 1 s each in a drill, which leaves 18 s less.
const (
	firesWithin  = 30*time.Second - 2*9*time.Second
	clearsWithin = 60*time.Second - 2*9*time.Second

	// settlesFor is how long is listened for pages that come after all is well: 7 minutes of the delivered rules.
	settlesFor = 42 * time.Second
)

// watched is two APIs and two workers on a server of their own, with a monitor, and a publisher that never stops.
type watched struct {
	server        *localpg.Server
	direct        *pgxpool.Pool
	key           string
	apis, workers *fleet
	monitor       *monitor
	posts         *posts
	broken        atomic.Bool // it answers 500
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{monitor: newMonitor(t), posts: newPosts(), server: startServer(t, map[string]string{"max_connections": "200"})}
	receiver := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if w.broken.Load() {
			res.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(receiver.Close)
	var err error
	w.direct, err = pgxpool.New(t.Context(), w.server.URL("outhook"))
	require.NoError(t, err)
	t.Cleanup(w.direct.Close)
	w.key = subscribe(t, w.direct, receiver.URL)
	w.apis = &fleet{processes: []*worker{w.spawn(t, "api"), w.spawn(t, "api")}}
	w.workers = &fleet{processes: []*worker{w.spawn(t, "worker"), w.spawn(t, "worker")}}
	w.watch(t)
	w.publish(t)
	return w
}

func (w *watched) spawn(t *testing.T, role string) *worker {
	t.Helper()
	return spawnServe(t, w.server.URL("outhook"), w.key, "--roles", role, "--metrics-listen", "127.0.0.1:0")
}

// watch has Prometheus scrape the processes that there are now.
func (w *watched) watch(t *testing.T) {
	t.Helper()
	w.monitor.watch(t, append(w.apis.list(), w.workers.list()...)...)
}

// publish posts five events a second, to either API in turn, until the end of the test.
func (w *watched) publish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.posts.post(ctx, w.apis.list()[i%2].url(), uuid.NewString())
			}
		}
	})
	t.Cleanup(func() { cancel(); group.Wait() })
}

// killAll kills all processes of a fleet, and returns what starts others in their place.
func (w *watched) killAll(t *testing.T, f *fleet, role string) (cure func()) {
	t.Helper()
	for _, p := range f.list() {
		p.kill()
	}
	return func() {
		for i := range f.list() {
			fresh := w.spawn(t, role)
			f.mu.Lock()
			f.processes[i] = fresh
			f.mu.Unlock()
		}
		w.watch(t)
	}
}

func (w *watched) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := w.direct.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
}

// ui orders something in River UI.
func (w *watched) ui(t *testing.T, path string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.apis.list()[0].url()+"/riverui/api/"+path, http.NoBody)
	require.NoError(t, err)
	req.SetBasicAuth("anybody", testAPIKey)
	res, err := testClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", text)
}

// drill is a situation that an alert is there for. cause brings it about and returns what ends it.
type drill struct {
	name, alert string
	after       time.Duration // what is normal until it has gone on for so long
	cause       func(*testing.T, *watched) (cure func())
}

func drills() []drill {
	return []drill{
		{name: "PostgresAway", alert: "OuthookPostgresAway", cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			require.NoError(t, w.server.Kill())
			return func() { require.NoError(t, w.server.Restart(t.Context())) }
		}},
		{name: "AllWorkersAway", alert: "OuthookNoWorker", cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			return w.killAll(t, w.workers, "worker")
		}},
		{name: "AllAPIsAway", alert: "OuthookNoAPI", cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			return w.killAll(t, w.apis, "api")
		}},
		{name: "MissingKey", alert: "OuthookRunsGivenBack", cause: loseKey},
		{name: "FailingEndpoint", alert: "OuthookAttemptsFailing", cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			w.broken.Store(true)
			return func() { w.broken.Store(false) }
		}},
		{name: "NoPartitionsAhead", alert: "OuthookPartitionsRunOut", cause: freezePartitions},
		{name: "LongTransaction", alert: "OuthookVacuumHeldBack", after: time.Minute, cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			tx, err := w.direct.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SELECT count(*) FROM outhook.endpoints`)
			require.NoError(t, err)
			return func() { require.NoError(t, tx.Rollback(t.Context())) }
		}},
		{name: "PausedQueue", alert: "OuthookQueuePaused", cause: func(t *testing.T, w *watched) func() {
			t.Helper()
			w.ui(t, "queues/deliver/pause")
			return func() { w.ui(t, "queues/deliver/resume") }
		}},
	}
}

// loseKey encrypts the secrets anew with a key that the workers do not have, as somebody does who rotates keys in the wrong
// order.
func loseKey(t *testing.T, w *watched) (cure func()) {
	t.Helper()
	w.key = signature.NewKey() + "," + w.key
	_, err := output(t, "secrets", "reencrypt", "--database-url", w.server.URL("outhook"), "--encryption-key", w.key)
	require.NoError(t, err)
	return func() {
		for i := range w.workers.list() {
			w.workers.replace(t, i, func() *worker { return w.spawn(t, "worker") })
			w.watch(t)
		}
	}
}

// freezePartitions removes the partitions from the fourth day on, and lets nobody make a table.
func freezePartitions(t *testing.T, w *watched) (cure func()) {
	t.Helper()
	w.exec(t, `CREATE FUNCTION public.no_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'frozen'; END $$`)
	w.exec(t, `CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.no_tables()`)
	w.exec(t, `DO $$ DECLARE p record; BEGIN
		FOR p IN SELECT h.inhparent::regclass AS parent, h.inhrelid::regclass AS child
			FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
			WHERE h.inhparent IN ('outhook.events'::regclass, 'outhook.deliveries'::regclass, 'outhook.delivery_attempts'::regclass)
				AND right(c.relname, 8) > to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')
		LOOP
			EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', p.parent, p.child);
			EXECUTE format('DROP TABLE %s', p.child);
		END LOOP; END $$`)
	return func() {
		w.exec(t, `DROP EVENT TRIGGER no_tables`)
		text, err := output(t, "doctor", "--repair", "--database-url", w.server.URL("outhook"))
		t.Logf("doctor --repair: %v\n%s", err, text)
	}
}

// Each alert that tells of an outage fires in it, ends with it, and is the only one that wakes somebody.
func TestAlertDrills(t *testing.T) { //nolint:paralleltest // it measures times
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it takes ten minutes: set OUTHOOK_TEST_LOAD=all, as .ci/full does")
	}
	w := newWatched(t)
	require.Eventually(t, func() bool { return w.monitor.scrapes(t) == 4 }, 60*time.Second, 100*time.Millisecond, "%s", w.monitor.log)
	rules := map[string]alertRule{}
	for _, rule := range alertRules(t) {
		rules[rule.Alert] = rule
	}

	for _, d := range drills() {
		w.try(t, d, rules[d.alert]) // no tests of their own, at whose end the processes would end that they start
	}
	calm := time.Now()
	require.Never(t, func() bool {
		return strings.Contains(strings.Join(w.monitor.notices(calm), "\n"), "page ")
	}, settlesFor, time.Second, "a page after the end")
	t.Logf("all that was told: %v", w.monitor.notices(time.Time{}))
}

// try brings a drill's situation about, and ends it.
func (w *watched) try(t *testing.T, d drill, rule alertRule) {
	t.Helper()
	t.Log(d.name)
	m, start := w.monitor, time.Now()
	require.Eventually(t, func() bool { return !m.has(t, d.alert, "pending") && !m.has(t, d.alert, "firing") },
		60*time.Second, 100*time.Millisecond, "it is calm before")
	pause := d.after + time.Duration(scaled(t, rule.For))
	cure := d.cause(t, w)
	caused := time.Now()
	require.Eventually(t, func() bool { return m.has(t, d.alert, "firing") }, pause+10*firesWithin, 100*time.Millisecond, "%s", m.log)
	fired := time.Since(caused)
	told := rule.Labels["severity"] + " " + d.alert
	require.Eventually(t, func() bool { return strings.Contains(strings.Join(m.notices(caused), "\n"), told) },
		30*time.Second, 100*time.Millisecond, "nobody was told: %s", m.log)
	during := m.alerts(t)

	cure()
	cured := time.Now()
	require.Eventually(t, func() bool { return !m.has(t, d.alert, "firing") }, 10*clearsWithin, 100*time.Millisecond, "%s", m.log)
	cleared := time.Since(cured)
	t.Logf("fired %.1f s after the cause (for and what is normal: %.0f s), cleared %.1f s after the cure; alerts: %v; told: %v",
		fired.Seconds(), pause.Seconds(), cleared.Seconds(), during, m.notices(start))

	require.LessOrEqual(t, fired, pause+firesWithin)
	require.GreaterOrEqual(t, fired, pause-time.Second, "it did not wait for its `for`")
	require.LessOrEqual(t, cleared, clearsWithin)
	for _, n := range m.notices(start) {
		if strings.HasPrefix(n, "page ") {
			require.Equal(t, told, n, "somebody else's page")
		}
	}
}
