package share_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/share"
)

// A holder has half of the requests, and what others have does not count.
func TestEnter(t *testing.T) {
	t.Parallel()
	s := share.New(4)
	tenant, key := share.Holder{TenantID: "acme"}, share.Holder{Key: uuid.New()}
	_, leave, err := s.Enter(tenant)
	require.NoError(t, err)
	_, _, err = s.Enter(tenant)
	require.NoError(t, err)

	_, _, err = s.Enter(tenant)
	requireProblem(t, err, problem.TooManyRequests)
	_, _, err = s.Enter(key)
	require.NoError(t, err)
	leave()
	_, _, err = s.Enter(tenant)
	require.NoError(t, err)
}

// A holder's own slots are fewer than there are, and those that cost much fewer still.
func TestTake(t *testing.T) {
	t.Parallel()
	s := share.New(100)
	enter := func(tenant string) *share.Share {
		own, _, err := s.Enter(share.Holder{TenantID: tenant})
		require.NoError(t, err)
		return own
	}
	refused := func(own *share.Share, costly bool, code problem.Code) {
		t.Helper()
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := own.Take(soon, costly)
		requireProblem(t, err, code)
	}
	own, other, third := enter("acme"), enter("globex"), enter("initech")

	free, err := own.Take(t.Context(), true)
	require.NoError(t, err)
	refused(own, true, problem.TooManyRequests)
	for range 2 {
		_, err = own.Take(t.Context(), false)
		require.NoError(t, err)
	}
	refused(own, false, problem.TooManyRequests)

	_, err = other.Take(t.Context(), true)
	require.NoError(t, err)
	refused(third, true, problem.ServerBusy)
	free()
	_, err = third.Take(t.Context(), true)
	require.NoError(t, err)
}

// What was taken comes back, and an error takes nothing.
func TestQuota(t *testing.T) {
	t.Parallel()
	q := share.NewQuota(10, 6)
	acme, globex := share.Holder{TenantID: "acme"}, share.Holder{TenantID: "globex"}
	require.NoError(t, q.Take(acme, 6))
	require.ErrorIs(t, q.Take(acme, 1), share.ErrOwnTaken)
	require.ErrorIs(t, q.Take(globex, 5), share.ErrTaken)
	require.NoError(t, q.Take(globex, 4))
	require.EqualValues(t, 10, q.Held())
	q.Give(acme, 6)
	require.NoError(t, q.Take(globex, 2))
	require.EqualValues(t, 6, q.Held())
}

func requireProblem(t *testing.T, err error, code problem.Code) {
	t.Helper()
	var p *problem.Error
	require.ErrorAs(t, err, &p)
	require.Equal(t, code, p.Code)
}
