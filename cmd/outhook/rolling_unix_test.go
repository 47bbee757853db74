//go:build unix

package main

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// fleet is the processes of one role, of which the clients know the addresses as of a load balancer.
type fleet struct {
	mu        sync.Mutex
	processes []*worker
}

func (f *fleet) url(i int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[i%len(f.processes)].url()
}

// replace stops one process in order and puts a new one in its place.
func (f *fleet) replace(t *testing.T, i int, spawn func() *worker) {
	t.Helper()
	old := f.processes[i]
	require.NoError(t, old.Process.Signal(syscall.SIGTERM))
	require.NoError(t, old.Wait(), "%s", old.log)
	fresh := spawn()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[i] = fresh
}

// postUntilAccepted posts one event with one idempotency key to one API after the other, and returns how many tries it took.
func (p *posts) postUntilAccepted(t *testing.T, f *fleet, first int) (tries int, err error) {
	t.Helper()
	key := uuid.NewString()
	for tries = 1; tries <= 600; tries++ {
		status := p.post(t.Context(), f.url(first+tries), key)
		if status == http.StatusAccepted || status == http.StatusOK {
			return tries, nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return tries, fmt.Errorf("event %s was not accepted in %d tries", key, tries)
}

// Two APIs and two workers are replaced one after the other, while clients that try again post with idempotency keys.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	database := dbtest.NewURL(t)
	direct, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	receiver, posts := newArrivals(t), newPosts()
	key := subscribe(t, direct, receiver.URL)
	spawnRole := func(role string) func() *worker {
		return func() *worker { return spawnServe(t, database, key, "--roles", role, "--no-river-ui") }
	}
	apis := &fleet{processes: []*worker{spawnRole("api")(), spawnRole("api")()}}
	workers := &fleet{processes: []*worker{spawnRole("worker")(), spawnRole("worker")()}}

	stopping, failures, sent := make(chan struct{}), make(chan error, 8), make([]int, 8)
	var group sync.WaitGroup
	for client := range 8 {
		group.Go(func() {
			for {
				select {
				case <-stopping:
					return
				default:
				}
				if _, err := posts.postUntilAccepted(t, apis, client); err != nil {
					failures <- err
					return
				}
				sent[client]++
			}
		})
	}
	awaitAccepted(t, posts, 100)
	for i := range 2 {
		apis.replace(t, i, spawnRole("api"))
		workers.replace(t, i, spawnRole("worker"))
	}
	awaitAccepted(t, posts, len(posts.ids())+100)
	close(stopping)
	group.Wait()
	close(failures)
	require.Empty(t, failures, "failed requests")
	require.Empty(t, posts.wrong)

	total := 0
	for _, n := range sent {
		total += n
	}
	require.Equal(t, total, count(t, direct, `SELECT count(*) FROM outhook.events`), "each event once")
	require.Eventually(t, func() bool { return receiver.missing(posts.ids()) == 0 }, 90*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		return count(t, direct, `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`) == 0
	}, 90*time.Second, 50*time.Millisecond)
	t.Logf("%d events, answers by status: %v, duplicates: %d, attempts: %v", total, posts.statuses, receiver.duplicates(), outcomes(t, direct))
	require.LessOrEqual(t, receiver.duplicates(), count(t, direct, `SELECT count(*) FROM outhook.delivery_attempts WHERE outcome <> 'succeeded'`),
		"a delivery that is recorded as succeeded was sent again")
	require.LessOrEqual(t, receiver.requests(), count(t, direct, `SELECT count(*) FROM outhook.delivery_attempts`), "a request without a row")
}

// A request that the API took gets its answer; one that it did not take stored nothing.
func TestSIGTERMToAnAPIUnderLoad(t *testing.T) {
	t.Parallel()
	database := dbtest.NewURL(t)
	direct, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(direct.Close)
	key := subscribe(t, direct, "http://127.0.0.1:9/nobody")
	api, posts := spawnServe(t, database, key, "--roles", "api", "--no-river-ui"), newPosts()
	stop := posts.keepPosting(t, func(int) string { return api.url() })
	for range 3 {
		stopMore := posts.keepPosting(t, func(int) string { return api.url() })
		defer stopMore()
		stop = func(before func()) func() { return func() { before(); stopMore() } }(stop)
	}
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
