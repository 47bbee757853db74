//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// inFlight is how many deliveries a worker has in hand when it is killed or frozen.
const inFlight = 40

// worker is a worker, or an API, in a process of its own.
type worker struct {
	*exec.Cmd

	log *syncBuffer
}

// url returns where it serves.
func (w *worker) url() string {
	_, rest, _ := strings.Cut(w.log.String(), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	return "http://" + address
}

// spawn starts a worker process and waits until it has taken its lease.
func spawn(t *testing.T, pool *pgxpool.Pool, key string) *worker {
	t.Helper()
	return spawnServe(t, pool.Config().ConnString(), key, "--roles", "worker")
}

// spawnServe starts a process and waits until it serves. What is more is arguments, or variables.
func spawnServe(t *testing.T, url, key string, more ...string) *worker {
	t.Helper()
	args := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--database-url", url, "--encryption-key", key, "--egress-allow", "127.0.0.0/8",
		"--egress-ports", "any", "--egress-allow-http", "true", "--api-key", testAPIKey,
	}, more...)
	env := append(os.Environ(), runMain+"=1")
	args = slices.DeleteFunc(args, func(arg string) bool {
		if strings.HasPrefix(arg, variablePrefix) {
			env = append(env, arg)
		}
		return strings.HasPrefix(arg, variablePrefix)
	})
	cmd := exec.Command(os.Args[0], args...) //nolint:noctx // it is killed below
	w := &worker{Cmd: cmd, log: &syncBuffer{}}
	cmd.Env, cmd.Stdout, cmd.Stderr = env, w.log, w.log
	require.NoError(t, cmd.Start())
	t.Cleanup(w.kill)
	require.Eventually(t, func() bool { return strings.Contains(w.log.String(), `"msg":"serving"`) }, 90*time.Second, 5*time.Millisecond)
	return w
}

// kill ends the process without giving it a chance, and returns when it is gone.
func (w *worker) kill() {
	_ = w.Process.Kill()
	_ = w.Wait()
}

// hanging is a receiver whose answers to first attempts wait until the end; it tells when each attempt came.
type hanging struct {
	*httptest.Server

	mu      sync.Mutex
	arrived map[string]map[string]time.Time // by attempt number, then event id
	free    chan struct{}
}

func newHanging(t *testing.T) *hanging {
	t.Helper()
	h := &hanging{arrived: make(map[string]map[string]time.Time), free: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		attempt := r.Header.Get("outhook-attempt")
		h.mu.Lock()
		if h.arrived[attempt] == nil {
			h.arrived[attempt] = make(map[string]time.Time)
		}
		h.arrived[attempt][r.Header.Get("webhook-id")] = time.Now()
		h.mu.Unlock()
		if attempt == "1" {
			select {
			case <-h.free:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(h.Close)
	t.Cleanup(h.release)
	return h
}

// release answers all that wait.
func (h *hanging) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.free:
	default:
		close(h.free)
	}
}

func (h *hanging) count(attempt string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.arrived[attempt])
}

// since returns how long after a moment the first and the last of the attempts came.
func (h *hanging) since(attempt string, began time.Time) (first, last time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first = time.Hour
	for _, at := range h.arrived[attempt] {
		first, last = min(first, at.Sub(began)), max(last, at.Sub(began))
	}
	return first, last
}

// stage makes a database with one endpoint, and its receiver.
func stage(t *testing.T) (pool *pgxpool.Pool, h *hanging, key string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), migrated(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	h, key = newHanging(t), signature.NewKey()
	var endpointID [16]byte
	require.NoError(t, pool.QueryRow(t.Context(), `INSERT INTO outhook.endpoints (id, tenant_id, url, timeout_ms) VALUES (outhook.uuid_v7(), 'acme', $1, 30000)
		RETURNING id`, h.URL).Scan(&endpointID))
	keyring, err := signature.ParseKeyring(key)
	require.NoError(t, err)
	keyID, sealed := keyring.Seal(signature.NewSecret().Bytes(), endpointID[:])
	_, err = pool.Exec(t.Context(), `INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) VALUES ($1, $2, $3)`, endpointID, keyID, sealed)
	require.NoError(t, err)
	return pool, h, key
}

// inHand makes a database and a worker that has all its deliveries in hand, each waiting for its answer. Of more than
// 8 some are in a lane.
func inHand(t *testing.T, n int) (pool *pgxpool.Pool, h *hanging, key string, w *worker) {
	t.Helper()
	pool, h, key = stage(t)
	_, err := pool.Exec(t.Context(), fmt.Sprintf(`SELECT count(*) FROM outhook.enqueue_many(array_fill('acme'::text, ARRAY[%[1]d]),
		array_fill('a.b'::text, ARRAY[%[1]d]), array_fill('{}'::text, ARRAY[%[1]d]))`, n))
	require.NoError(t, err)
	w = spawn(t, pool, key)
	require.Eventually(t, func() bool { return h.count("1") == n }, 30*time.Second, 5*time.Millisecond)
	return pool, h, key, w
}

// outcomes counts the attempts by number and outcome.
func outcomes(t *testing.T, pool *pgxpool.Pool) map[string]int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT number || ' ' || outcome, count(*)::integer FROM outhook.delivery_attempts GROUP BY 1`)
	require.NoError(t, err)
	type group struct {
		Name  string
		Count int
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[group])
	require.NoError(t, err)
	found := make(map[string]int)
	for _, g := range groups {
		found[g.Name] = g.Count
	}
	return found
}

func count(t *testing.T, pool *pgxpool.Pool, sql string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func TestKilledWorkersDeliveriesRunAgainSoon(t *testing.T) {
	t.Parallel()

	// The worker that is killed is also River's leader: the worst case.
	t.Run("ElsewhereIfAnotherRuns", func(t *testing.T) {
		t.Parallel()
		pool, h, key, leader := inHand(t, inFlight)
		require.Equal(t, 1, count(t, pool, `SELECT count(*) FROM outhook.river_leader`))
		spawn(t, pool, key)
		began := time.Now()
		leader.kill()
		runAgain(t, pool, h, began)
	})

	t.Run("AfterARestartOfTheOnlyOne", func(t *testing.T) {
		t.Parallel()
		pool, h, key, only := inHand(t, inFlight)
		only.kill()
		began := time.Now()
		spawn(t, pool, key)
		runAgain(t, pool, h, began)
	})
}

// runAgain waits for the second attempts, and checks their time and the ledger.
func runAgain(t *testing.T, pool *pgxpool.Pool, h *hanging, began time.Time) {
	t.Helper()
	require.Eventually(t, func() bool { return h.count("2") == inFlight }, 60*time.Second, 5*time.Millisecond)
	first, last := h.since("2", began)
	t.Logf("the first of %d again after %v, the last after %v", inFlight, first, last)
	require.Less(t, last, 30*time.Second) // 10 to 13 s on a machine that does nothing else
	require.Eventually(t, func() bool {
		return count(t, pool, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded' AND try_count = 0`) == inFlight
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, map[string]int{"1 unknown": inFlight, "2 succeeded": inFlight}, outcomes(t, pool))
	// Of the jobs of what succeeded some are kept, for River UI.
	kept := count(t, pool, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'`)
	require.Positive(t, kept)
	require.Equal(t, kept, count(t, pool, `SELECT count(*) FROM outhook.river_job
		WHERE kind = 'deliver' AND errors[1] ->> 'error' = 'the worker died'`))
}

// A frozen worker is dead for the others once its lease has lapsed. What it had sent by then counts when it thaws: each
// delivery has two requests and two rows, and no third.
func TestFrozenWorkersDeliveriesRunElsewhere(t *testing.T) {
	t.Parallel()
	const n = 8 // as many as may be in flight to an endpoint without a lane: the frozen process may pace
	pool, h, key, frozen := inHand(t, n)
	spawn(t, pool, key)
	began := time.Now()
	require.NoError(t, frozen.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool { return h.count("2") == n }, 60*time.Second, 5*time.Millisecond)
	_, last := h.since("2", began)
	t.Logf("the last of %d again after %v", n, last)
	require.Less(t, last, 30*time.Second) // 10 to 13 s on a machine that does nothing else
	require.Eventually(t, func() bool {
		return count(t, pool, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == n
	}, 30*time.Second, 10*time.Millisecond)

	h.release()
	require.NoError(t, frozen.Process.Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool { return outcomes(t, pool)["1 succeeded"] == n }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, map[string]int{"1 succeeded": n, "2 succeeded": n}, outcomes(t, pool))
	require.Eventually(t, func() bool { return strings.Contains(frozen.log.String(), "took this worker's lease again") }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 2, count(t, pool, `SELECT count(*) FROM outhook.leases WHERE name LIKE 'worker/%' AND until > now()`))
	require.Zero(t, h.count("3"))
}

// A process that paces the lanes and is frozen loses its lease, and when it goes on it paces no more.
func TestFrozenPacer(t *testing.T) {
	t.Parallel()
	const rate = 20
	pool, h, key := stage(t)
	h.release()
	exec := func(sql string) {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(fmt.Sprintf(`UPDATE outhook.endpoints SET rate_limit = %d, lane = 'limited'`, rate))
	exec(`INSERT INTO outhook.lanes (endpoint_id) SELECT id FROM outhook.endpoints`)
	exec(`SELECT count(*) FROM outhook.enqueue_many(array_fill('acme'::text, ARRAY[5000]), array_fill('a.b'::text, ARRAY[5000]),
		array_fill('{}'::text, ARRAY[5000]))`)
	sent := func() int { return count(t, pool, `SELECT count(*) FROM outhook.delivery_attempts`) }
	await := func(what string, within time.Duration, n int) {
		before, began := sent(), time.Now()
		require.Eventually(t, func() bool { return sent() >= before+n }, within, 20*time.Millisecond, what)
		t.Logf("%s: after %v", what, time.Since(began))
	}

	frozen := spawn(t, pool, key)
	await("the first paces", 60*time.Second, rate)
	spawn(t, pool, key)
	const pacer = `SELECT abs(hashtext(holder)) FROM outhook.leases WHERE name = 'pacer'`
	first := count(t, pool, pacer)
	require.NoError(t, frozen.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool { return count(t, pool, pacer) != first }, 20*time.Second, 20*time.Millisecond)
	await("the other paces", 30*time.Second, rate)

	second := count(t, pool, pacer)
	require.NoError(t, frozen.Process.Signal(syscall.SIGCONT))
	await("the first goes on", 60*time.Second, 5*rate)
	require.Equal(t, second, count(t, pool, pacer))
	// What it had fetched before leaves late, and beside what left since.
	require.Less(t, count(t, pool, fmt.Sprintf(`SELECT (count(*) - %d * extract(epoch FROM max(started_at) - min(started_at)))::integer
		FROM outhook.delivery_attempts`, rate)), rate, "more left than the limit allows")
}

// An operation survives the death of the process that carries it out: nothing is lost and nothing replayed twice.
func TestKilledOperationGoesOn(t *testing.T) {
	t.Parallel()
	const n = 4000
	pool, h, key := stage(t)
	h.release()
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`SELECT count(outhook.enqueue('acme', 'a.b', '{}'::text)) FROM generate_series(1, $1)`, n)
	exec(`UPDATE outhook.river_job SET state = 'discarded', finalized_at = now(), attempt = 1`)
	exec(`UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted', next_attempt_at = NULL, attempt_count = 1, try_count = 1,
		completed_at = now() - interval '10 minutes'`)
	var id string
	require.NoError(t, pool.QueryRow(t.Context(), `INSERT INTO outhook.operations (id, kind, states, since, until)
		VALUES (outhook.uuid_v7(), 'replay', '{failed}', now() - interval '1 hour', now() - interval '1 minute') RETURNING id::text`).Scan(&id))
	exec(`INSERT INTO outhook.river_job (kind, args, queue, max_attempts) VALUES ('operate', jsonb_build_object('operation_id', $1::text), 'operations', 1000)`, id)
	progress := func() (state string, replayed int) {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT state, replayed_count FROM outhook.operations WHERE id::text = $1`, id).Scan(&state, &replayed))
		return state, replayed
	}

	// Workers delete most jobs of what succeeds, so the orders are noted as they come.
	exec(`CREATE TABLE orders (event_id text)`)
	exec(`CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
		'BEGIN INSERT INTO public.orders VALUES (NEW.args ->> ''event_id''); RETURN NULL; END'`)
	exec(`CREATE TRIGGER note_order AFTER INSERT ON outhook.river_job FOR EACH ROW
		WHEN (NEW.kind = 'deliver' AND NEW.args ? 'base') EXECUTE FUNCTION note_order()`)

	first := spawn(t, pool, key)
	require.Eventually(t, func() bool { _, replayed := progress(); return replayed >= 500 }, 60*time.Second, time.Millisecond)
	first.kill()
	_, replayed := progress()
	require.Less(t, replayed, n, "it was to be killed in the middle")
	spawn(t, pool, key)
	require.Eventually(t, func() bool { state, _ := progress(); return state == "completed" }, 3*time.Minute, 20*time.Millisecond)
	_, replayed = progress()
	require.Equal(t, n, replayed)
	var once, more int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE n = 1), count(*) FILTER (WHERE n > 1) FROM (
		SELECT count(*) AS n FROM orders GROUP BY event_id) AS w`).Scan(&once, &more))
	require.Equal(t, n, once)
	require.Zero(t, more)
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`).Scan(&left))
		return left == 0
	}, 3*time.Minute, 50*time.Millisecond)
}
