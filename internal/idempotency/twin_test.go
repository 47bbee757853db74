package idempotency_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
)

// A twin in another process waits for two seconds, and keeps neither a connection nor a place meanwhile.
func TestATwinWaitsInBounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	claimed, finish, ended := make(chan struct{}), make(chan struct{}), make(chan *idempotency.Answer, 1)
	first := b.newRequest("k", "{}")
	go func() {
		a, _, err := b.store.Once(t.Context(), first, b.place, func() *idempotency.Answer {
			close(claimed)
			<-finish
			return insert(t.Context(), first, "a")
		})
		if err != nil {
			t.Error(err)
		}
		ended <- a
	}()
	<-claimed

	st, pool := b.another(1)
	var held, most, tries atomic.Int32
	place := func(context.Context) (func(), error) { //nolint:unparam // as Once takes it
		tries.Add(1)
		most.Store(max(most.Load(), held.Add(1)))
		return func() { held.Add(-1) }, nil
	}
	wait := func() error {
		_, _, err := st.Once(t.Context(), b.newRequest("k", "{}"), place, func() *idempotency.Answer {
			t.Error("carried out twice")
			return &idempotency.Answer{Status: 200}
		})
		return err
	}

	began, refused := time.Now(), make(chan error, 1)
	go func() { refused <- wait() }()
	for tries.Load() < 3 && len(refused) == 0 { // the only connection of the twin's process is free for others
		_, err := pool.Exec(t.Context(), `SELECT`)
		require.NoError(t, err)
	}
	require.Empty(t, refused)
	p := b.requireProblem(<-refused, problem.IdempotencyKeyInUse)
	require.Equal(t, 409, p.Status)
	require.Equal(t, "1", p.GetHeaders().Get("Retry-After"))
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	require.EqualValues(t, 1, most.Load())
	require.Zero(t, held.Load())

	close(finish)
	b.requireRepeated(st, <-ended, b.newRequest("k", "{}"))
	b.requireCounts(1, 1)
}

// A twin whose client has gone waits for nothing.
func TestATwinThatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.newRequest("k", "{}")
	a, _, err := b.store.Once(t.Context(), first, b.place, func() *idempotency.Answer {
		ctx, stop := context.WithCancel(t.Context())
		tries := 0
		_, _, err := b.store.Once(ctx, b.newRequest("k", "{}"), func(context.Context) (func(), error) {
			if tries++; tries == 2 {
				stop()
			}
			return func() {}, nil
		}, nil)
		stop()
		require.Error(t, err)
		require.Equal(t, 2, tries)
		return insert(t.Context(), first, "a")
	})
	require.NoError(t, err)
	b.requireRepeated(b.store, a, b.newRequest("k", "{}"))
}
