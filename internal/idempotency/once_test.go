package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
)

func TestAnswersAreStoredWithTheirChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.newRequest("k", "{}")
	first, repeated, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
		a := insert(t.Context(), r, "a")
		b.requireCounts(0, 0) // nobody sees one without the other
		return a
	})
	require.NoError(t, err)
	require.False(t, repeated)
	b.requireCounts(1, 1)

	again, _ := b.another(2)
	for _, st := range []*idempotency.Store{b.store, again} {
		b.requireRepeated(st, first, b.newRequest("k", "{}"))
	}
	b.requireCounts(1, 1)
}

func TestAKeyBelongsToOneRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := callerOf("one")
	request := func(method, target, body string) *idempotency.Request {
		return b.newRequestOf(one, "k", method, target, body)
	}
	first := b.requireMade(request("POST", "/api/things?a=b", "{}"), "a")

	for _, r := range []*idempotency.Request{
		request("POST", "/api/things?a=b", "{} "),
		request("POST", "/api/things?a=b", ""),
		request("POST", "/api/things", "{}"),
		request("POST", "/api/things/?a=b", "{}"),
		request("POST", "/api/thing%73?a=b", "{}"),
		request("PUT", "/api/things?a=b", "{}"),
	} {
		_, repeated, err := b.once(b.store, r, "b")
		require.Equal(t, 409, b.requireProblem(err, problem.IdempotencyConflict).Status)
		require.False(t, repeated)
	}
	b.requireRepeated(b.store, first, request("POST", "/api/things?a=b", "{}"))
	b.requireCounts(1, 1)
}

// Another API key's requests are others, also with the same text; and so are those of similar keys.
func TestAPIKeysAreIndependent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	names := 0
	for _, caller := range []string{"one", "two", ""} {
		for _, key := range []string{"k", "K", "k ", "k,k", "é", "e\u0301", "%6b", `"k"`} {
			names++
			name, c := fmt.Sprint(names), callerOf(caller)
			request := func() *idempotency.Request { return b.newRequestOf(c, key, "POST", "/api/things", "{}") }
			b.requireRepeated(b.store, b.requireMade(request(), name), request())
		}
	}
	b.requireCounts(names, names)
}

func TestWhichAnswersAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		status        int
		began, stored bool
	}{
		{201, true, true},
		{204, true, true},
		{404, true, true},
		{409, true, true},
		{422, true, true},
		{429, true, false},
		{500, true, false},
		{503, true, false},
		{504, true, false},
		{409, false, false},
		{422, false, false},
		{503, false, false},
	} {
		name, calls := fmt.Sprint(c), 0
		for n := range 2 {
			r := b.newRequest(name, "{}")
			a, repeated, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
				calls++
				if c.began {
					failed := c.status >= 300
					err := r.Change(t.Context(), func(tx pgx.Tx) error {
						_, err := tx.Exec(t.Context(), `INSERT INTO public.made VALUES ($1)`, name)
						if err == nil && failed {
							err = errors.New("refused")
						}
						return err
					})
					require.Equal(t, failed, err != nil)
				}
				return &idempotency.Answer{Status: c.status}
			})
			require.NoError(t, err)
			require.Equal(t, c.status, a.Status)
			require.Equal(t, c.stored && n == 1, repeated)
		}
		want := 2
		if c.stored {
			want = 1
		}
		require.Equal(t, want, calls, name)
	}
	b.requireCounts(2, 5)
}

// What ends between the change and its answer has done nothing, and is done when it is repeated.
func TestAnEndBetweenChangeAndAnswer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *testBundle, stop func(), r *idempotency.Request){
		"AProcessDies": func(b *testBundle, _ func(), _ *idempotency.Request) {
			b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND state = 'idle in transaction'`)
		},
		"TheClientIsGone": func(_ *testBundle, stop func(), _ *idempotency.Request) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := b.newRequest("k", "{}")
			under, stop := context.WithCancel(t.Context())
			defer stop()
			_, _, err := b.store.Once(under, r, b.place, func() *idempotency.Answer {
				a := insert(t.Context(), r, "a")
				end(b, stop, r)
				return a
			})
			require.Error(t, err)
			b.requireCounts(0, 0)
			require.Zero(t, b.places.Load())

			b.requireRepeated(b.store, b.requireMade(b.newRequest("k", "{}"), "a"), b.newRequest("k", "{}"))
			b.requireCounts(1, 1)
		})
	}

	t.Run("TheHandlerPanics", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		r := b.newRequest("k", "{}")
		require.PanicsWithValue(t, "trouble", func() {
			_, _, _ = b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
				insert(t.Context(), r, "a")
				panic("trouble")
			})
		})
		require.Zero(t, b.pool.Stat().AcquiredConns())
		b.requireMade(b.newRequest("k", "{}"), "a")
		b.requireCounts(1, 1)
	})
}

func TestTheSizeOfAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := func(key string, size int) (*idempotency.Answer, error) {
		r := b.newRequest(key, "{}")
		a, _, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
			a := insert(t.Context(), r, key)
			a.Body = bytes.Repeat([]byte("x"), size)
			return a
		})
		return a, err
	}

	_, err := answer("more", idempotency.MaxAnswerBytes+1)
	require.Equal(t, 422, b.requireProblem(err, problem.AnswerTooLarge).Status)
	b.requireCounts(0, 0)

	largest, err := answer("most", idempotency.MaxAnswerBytes)
	require.NoError(t, err)
	b.requireRepeated(b.store, largest, b.newRequest("most", "{}"))
}

// A request whose change another one was faster with is tried again, in a transaction that sees what that one did.
func TestASlowerChangeIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, r, calls := []string{"a", "b"}, b.newRequest("k", "{}"), 0
	a, _, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
		name := "c"
		if calls < len(other) {
			name = other[calls]
			b.exec(`INSERT INTO public.made VALUES ($1)`, name)
		}
		calls++
		return insert(t.Context(), r, name)
	})
	require.NoError(t, err)
	require.Equal(t, 201, a.Status)
	require.Equal(t, 3, calls)
	b.requireCounts(3, 1)

	// But not for ever, and what is still in the way then is not what the request is answered with next time.
	r, calls = b.newRequest("l", "{}"), 0
	a, _, err = b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
		calls++
		insert(t.Context(), r, "a")
		return &idempotency.Answer{Status: http.StatusConflict}
	})
	require.NoError(t, err)
	require.Equal(t, 409, a.Status)
	require.Equal(t, 5, calls)
	b.requireCounts(3, 1)
}

// What a request goes on with after its change is stored in the place of an answer.
func TestARepeatedRequestGoesOnWithTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	type note struct{ Name string }
	send := func(name string) (got note, repeated bool) {
		r := b.newRequest("k", "{}")
		_, repeated, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer {
			require.NoError(t, b.store.ChangeFirst(t.Context(), r, &got, func(tx pgx.Tx) error {
				got = note{name}
				_, err := tx.Exec(t.Context(), `INSERT INTO public.made VALUES ($1)`, name)
				return err
			}))
			require.False(t, r.Open())
			require.Zero(t, b.places.Load(), "a place is kept while the handler waits")
			return &idempotency.Answer{Status: 200}
		})
		require.NoError(t, err)
		return got, repeated
	}

	got, repeated := send("a")
	require.Equal(t, note{"a"}, got)
	require.False(t, repeated)
	got, repeated = send("b")
	require.Equal(t, note{"a"}, got)
	require.True(t, repeated)
	b.requireCounts(1, 1)
}

func TestAChangeElsewhereIsAMistake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.newRequest("k", "{}")
	_, _, err := b.store.Once(t.Context(), r, b.place, func() *idempotency.Answer { return &idempotency.Answer{Status: 200} })
	require.ErrorContains(t, err, "has made its change elsewhere")
	b.requireCounts(0, 0)
}

// Processes that are given the same request at once make one change, and all answer the same.
func TestProcessesRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stores := []*idempotency.Store{b.store}
	for range 2 {
		st, _ := b.another(3)
		stores = append(stores, st)
	}

	const rounds, each = 5, 2
	for round := range rounds {
		var all sync.WaitGroup
		var mu sync.Mutex
		var bodies []string
		made := 0
		for n := range each * len(stores) {
			r := b.newRequest(fmt.Sprint("k", round), "{}")
			all.Go(func() {
				a, repeated, err := b.once(stores[n%len(stores)], r, fmt.Sprint(round, "-", n))
				mu.Lock()
				defer mu.Unlock()
				if err != nil { // on a machine that is very busy
					bodies = append(bodies, err.Error())
					return
				}
				if !repeated {
					made++
				}
				bodies = append(bodies, string(a.Body))
			})
		}
		all.Wait()
		require.Equal(t, 1, made, "%q", bodies)
		b.requireCounts(round+1, round+1)
		answers := map[string]bool{}
		for _, body := range bodies {
			if body[:5] == "made " {
				answers[body] = true
			} else {
				require.Contains(t, body, "is under way")
			}
		}
		require.Len(t, answers, 1)
	}
}
