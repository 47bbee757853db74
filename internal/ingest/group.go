package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// MaxDeliveries is how many deliveries the events of one request may have together. A single event may have any
	// number, which the limit on endpoints bounds.
	MaxDeliveries = 10_000

	// promptDeliveries bounds the deliveries of a group, for which others wait: it takes some 0.1 s.
	promptDeliveries = 1000

	// largeFrom is from how many deliveries on a request is not worth others' waiting if its group has too many.
	largeFrom = 200

	// promptTimeout bounds the statement of a group, some forty times what it takes. What it can't do in this time is
	// done request by request.
	promptTimeout = 4 * time.Second
)

// outcome is what a group says of one of its requests.
type outcome struct {
	rows []db.EnqueueManyRow

	// apart: nothing was stored, since the group is better without the request, which is to be stored alone.
	apart bool
}

func outcomes(rows [][]db.EnqueueManyRow, err error) ([]outcome, error) {
	if err != nil {
		return nil, err
	}

	out := make([]outcome, len(rows))
	for i := range rows {
		out[i].rows = rows[i]
	}
	return out, nil
}

// runSorter stores a group, or says by its error that it is to be halved.
func (st *Store) runSorter(ctx context.Context, rs []request) ([]outcome, error) {
	return outcomes(st.store(ctx, rs, limits{sorterLocks, runTimeout, promptDeliveries, st.aside}))
}

// runOne returns what stores a request alone.
func (st *Store) runOne(locks time.Duration) func(context.Context, []request) ([]outcome, error) {
	return func(ctx context.Context, rs []request) ([]outcome, error) {
		most := limits{locks: locks, time: runTimeout, pool: st.aside}
		if len(rs[0].types) > 1 {
			most.deliveries = MaxDeliveries
		}

		rows, err := st.store(ctx, rs, most)
		switch sqlstate.Of(err) {
		case sqlstate.TooManyDeliveries:
			err = FanOutError(MaxDeliveries)
		case sqlstate.QueryCanceled:
			err = st.failed(ctx, err, len(rs))
		}
		return outcomes(rows, err)
	}
}

// runPrompt returns what stores a group. If that fails and some of it are to blame, those are told apart and the others
// stored, once more; and if that fails too, or nobody knows who is to blame, each is told apart. So who is at fault
// costs the others one more run, and the group one more.
func (st *Store) runPrompt(pool *pgxpool.Pool) func(context.Context, []request) ([]outcome, error) {
	most := limits{promptLocks, promptTimeout, promptDeliveries, pool}

	return func(ctx context.Context, rs []request) ([]outcome, error) {
		out, left := make([]outcome, len(rs)), make([]int, len(rs))
		for i := range left {
			left[i] = i
		}

		for range 2 {
			part := make([]request, len(left))
			for i, at := range left {
				part[i] = rs[at]
			}

			rows, err := st.store(ctx, part, most)
			if err == nil {
				for i, at := range left {
					out[at].rows = rows[i]
				}
				return out, nil
			}
			if !isOnesFault(err) || len(rs) == 1 && !isLarge(err) {
				return nil, err
			}

			blamed, err := blame(ctx, pool, part, err)
			if err != nil {
				return nil, st.logged(ctx, err, len(part))
			}
			for _, i := range slices.Backward(blamed) {
				out[left[i]].apart = true
				left = slices.Delete(left, i, i+1)
			}
			if len(left) == 0 {
				return out, nil
			}
		}

		for _, at := range left {
			out[at].apart = true
		}
		return out, nil
	}
}

// blame returns which requests of a group that failed are to blame, in their order: all of them if nobody knows, none
// if it was chance.
func blame(ctx context.Context, pool *pgxpool.Pool, rs []request, failure error) (blamed []int, err error) {
	switch code := sqlstate.Of(failure); {
	case code == sqlstate.TooManyDeliveries && len(rs) > 1:
		return largest(ctx, pool, rs)
	case sqlstate.Class(code) == "40": // a deadlock, or a transaction that could not be serialized
		return nil, nil
	}

	if conflict := (*conflictsError)(nil); errors.As(failure, &conflict) {
		return conflict.requests, nil
	}
	if at, ok := requestOf(rs, failure); ok {
		return []int{at}, nil
	}
	for i := range rs {
		blamed = append(blamed, i)
	}
	return blamed, nil
}

// largest returns the requests with many deliveries, and of the others those with which a group has too many.
func largest(ctx context.Context, pool *pgxpool.Pool, rs []request) (blamed []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, promptTimeout)
	defer cancel()

	p := columns(rs)
	sizes, err := db.New().CountFanOut(ctx, pool, db.CountFanOutParams{
		TenantIds: p.TenantIds, Types: p.Types, Payloads: p.Payloads, Labels: p.Labels,
	})
	if err != nil {
		return nil, fmt.Errorf("counting deliveries: %w", err)
	}

	room := promptDeliveries
	for i, r := range rs {
		size := 0
		for _, n := range sizes[:len(r.types)] {
			size += int(n)
		}
		sizes = sizes[len(r.types):]

		if size > min(largeFrom, room) {
			blamed = append(blamed, i)
			continue
		}
		room -= size
	}
	return blamed, nil
}

// requestOf returns which request holds the event that Postgres names, as in "event 3: payload is not valid JSON".
func requestOf(rs []request, failure error) (at int, ok bool) {
	var pgErr *pgconn.PgError
	var event int
	if !errors.As(failure, &pgErr) {
		return 0, false
	}
	if n, err := fmt.Sscanf(pgErr.Message, "event %d:", &event); n != 1 || err != nil || event < 0 {
		return 0, false
	}

	for i, r := range rs {
		if event < len(r.types) {
			return i, true
		}
		event -= len(r.types)
	}
	return 0, false
}
