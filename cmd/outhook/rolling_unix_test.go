//go:build unix

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// fleet is the processes of one role.
type fleet struct {
	mu        sync.Mutex
	processes []*worker
}

func (f *fleet) list() []*worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.processes)
}

// replace stops one process in order, puts a new one in its place, and returns how long the stop took.
func (f *fleet) replace(t *testing.T, i int, spawn func() *worker) time.Duration {
	t.Helper()
	old, began := f.list()[i], time.Now()
	require.NoError(t, old.Process.Signal(syscall.SIGTERM))
	require.NoError(t, old.Wait(), "%s", old.log)
	took := time.Since(began)
	fresh := spawn()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[i] = fresh
	return took
}

// balancer is a load balancer before a fleet: it asks each process for /readyz once in a while, and sends requests to those
// that were ready when it asked last. It never sends one twice.
type balancer struct {
	*httptest.Server

	fleet  *fleet
	mu     sync.Mutex
	ready  []string
	turn   int
	broken []string // requests that it got no answer for
}

func newBalancer(t *testing.T, f *fleet, every time.Duration) *balancer {
	t.Helper()
	b := &balancer{fleet: f}
	b.ask(t.Context(), every)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if target, err := url.Parse(b.next()); err == nil {
				r.SetURL(target)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			b.mu.Lock()
			b.broken = append(b.broken, err.Error())
			b.mu.Unlock()
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	b.Server = httptest.NewServer(proxy)
	t.Cleanup(b.Close)

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				b.ask(ctx, every)
			}
		}
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	return b
}

// ask asks each process whether it is ready.
func (b *balancer) ask(ctx context.Context, patience time.Duration) {
	var ready []string
	for _, p := range b.fleet.list() {
		if isReady(ctx, p.url(), max(patience, time.Second)) {
			ready = append(ready, p.url())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = ready
}

func isReady(ctx context.Context, base string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	res, err := testClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// next returns the process whose turn it is, "" for none.
func (b *balancer) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return ""
	}
	b.turn++
	return b.ready[b.turn%len(b.ready)]
}

// intact says that every request got an answer.
func (b *balancer) intact(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(t, b.broken, "requests that were refused or cut")
}

// rolling is two APIs behind a load balancer, and two workers, in processes of their own.
type rolling struct {
	direct        *pgxpool.Pool
	apis, workers *fleet
	balancer      *balancer
	posts         *posts
	spawn         func(role string) func() *worker
}

func newRolling(t *testing.T, receiver string, check, delay time.Duration) *rolling {
	t.Helper()
	database := dbtest.NewURL(t)
	direct, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	key := subscribe(t, direct, receiver)
	r := &rolling{direct: direct, posts: newPosts(), spawn: func(role string) func() *worker {
		return func() *worker {
			return spawnServe(t, database, key, "--roles", role, "--no-river-ui", "--shutdown-delay", delay.String())
		}
	}}
	r.apis = &fleet{processes: []*worker{r.spawn("api")(), r.spawn("api")()}}
	r.workers = &fleet{processes: []*worker{r.spawn("worker")(), r.spawn("worker")()}}
	r.balancer = newBalancer(t, r.apis, check)
	return r
}

// replaceAll replaces one process after the other, each only once the balancer knows all of them, and returns how long each
// stop took.
func (r *rolling) replaceAll(t *testing.T) (took []time.Duration) {
	t.Helper()
	for i := range 2 {
		require.Eventually(t, func() bool {
			r.balancer.mu.Lock()
			defer r.balancer.mu.Unlock()
			return len(r.balancer.ready) == 2
		}, 60*time.Second, 10*time.Millisecond)
		took = append(took, r.apis.replace(t, i, r.spawn("api")), r.workers.replace(t, i, r.spawn("worker")))
	}
	return took
}

// Two APIs and two workers are replaced one after the other behind a load balancer, while clients that never try again post.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	receiver := newArrivals(t)
	r := newRolling(t, receiver.URL, 100*time.Millisecond, 2*time.Second)
	stop := r.posts.keepPosting(t, func(int) string { return r.balancer.URL })
	awaitAccepted(t, r.posts, 100)
	r.replaceAll(t)
	awaitAccepted(t, r.posts, len(r.posts.ids())+100)
	stop()
	r.balancer.intact(t)
	require.Empty(t, r.posts.wrong)

	total := len(r.posts.ids())
	require.Equal(t, map[int]int{http.StatusAccepted: total}, r.posts.statuses, "requests that were refused or cut")
	require.Equal(t, total, count(t, r.direct, `SELECT count(*) FROM outhook.events`), "each event once")
	require.Eventually(t, func() bool { return receiver.missing(r.posts.ids()) == 0 }, 90*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		return count(t, r.direct, `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`) == 0
	}, 90*time.Second, 50*time.Millisecond)
	require.Zero(t, receiver.duplicates(), "%v", outcomes(t, r.direct))
	require.Equal(t, total, count(t, r.direct, `SELECT count(*) FROM outhook.delivery_attempts`), "attempts that were cut")
}

// The same where it hurts: a receiver that takes 29 s of the 30 that it has, and a balancer that asks each 2 s.
func TestRollingRestartWithASlowReceiver(t *testing.T) {
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it takes two minutes: set OUTHOOK_TEST_LOAD=all, as .ci/full does")
	}
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-time.After(29 * time.Second):
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(receiver.Close)
	r := newRolling(t, receiver.URL, 2*time.Second, 5*time.Second)
	_, err := r.direct.Exec(t.Context(), `UPDATE outhook.endpoints SET timeout_ms = 30000`)
	require.NoError(t, err)

	// 100 requests a second, however long each takes.
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				group.Go(func() { r.posts.post(context.WithoutCancel(ctx), r.balancer.URL, uuid.NewString()) })
			}
		}
	})
	awaitAccepted(t, r.posts, 500)
	for _, took := range r.replaceAll(t) {
		t.Logf("stopped in %s", took)
		require.LessOrEqual(t, took, 35*time.Second)
	}
	cancel()
	group.Wait()

	r.balancer.intact(t)
	total := len(r.posts.ids())
	t.Logf("%d events, attempts: %v", total, outcomes(t, r.direct))
	require.Equal(t, map[int]int{http.StatusAccepted: total}, r.posts.statuses, "requests that were refused or cut")
	require.Equal(t, total, count(t, r.direct, `SELECT count(*) FROM outhook.events`))
	require.Positive(t, count(t, r.direct, `SELECT count(*) FROM outhook.delivery_attempts WHERE outcome = 'succeeded'`))
	require.Zero(t, count(t, r.direct, `SELECT count(*) FROM outhook.delivery_attempts WHERE outcome <> 'succeeded'`), "attempts that were cut")
}

// SIGHUP reloads and ends nothing. A request that the API took gets its answer; one that it did not take stored nothing.
func TestSIGTERMToAnAPIUnderLoad(t *testing.T) {
	t.Parallel()
	database := dbtest.NewURL(t)
	direct, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	key := subscribe(t, direct, "http://127.0.0.1:9/nobody")
	level := filepath.Join(t.TempDir(), "level")
	require.NoError(t, os.WriteFile(level, []byte("info\n"), 0o600))
	api, posts := spawnServe(t, database, key, "--roles", "api", "--no-river-ui", "OUTHOOK_LOG_LEVEL_FILE="+level), newPosts()
	stop := posts.keepPosting(t, func(int) string { return api.url() })
	for range 3 {
		stopMore := posts.keepPosting(t, func(int) string { return api.url() })
		defer stopMore()
		stop = func(before func()) func() { return func() { before(); stopMore() } }(stop)
	}
	awaitAccepted(t, posts, 100)
	require.NotContains(t, api.log.String(), `"level":"DEBUG"`)
	require.NoError(t, os.WriteFile(level, []byte("debug\n"), 0o600))
	require.NoError(t, api.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(api.log.String(), `"level":"DEBUG"`) }, 60*time.Second, 10*time.Millisecond)
	require.NoError(t, os.WriteFile(level, []byte("loud\n"), 0o600))
	require.NoError(t, api.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(api.log.String(), `"not reloaded, `) }, 60*time.Second, 10*time.Millisecond)

	awaitAccepted(t, posts, 200)
	require.NoError(t, api.Process.Signal(syscall.SIGTERM))
	require.NoError(t, api.Wait(), "%s", api.log)
	stop()
	require.Empty(t, posts.wrong)
	t.Logf("answers by status: %v", posts.statuses)
	require.Equal(t, len(posts.ids()), count(t, direct, `SELECT count(*) FROM outhook.events`), "stored, and not answered")
	require.Equal(t, len(posts.ids()), count(t, direct, `SELECT count(*) FROM outhook.deliveries`))
	require.Equal(t, len(posts.ids()), count(t, direct, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver'`))
}
