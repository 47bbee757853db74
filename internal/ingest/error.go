package ingest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outhook/outhook/internal/sqlstate"
)

// ErrKeyHeld is the error of a request whose idempotency key, or ordering key, another transaction holds, which has not
// ended yet.
var ErrKeyHeld = errors.New("another transaction holds an idempotency key or an ordering key of the request")

// ConflictError is the index of an event whose idempotency key belongs to an earlier one with another type or payload.
type ConflictError int

// Error names the index.
func (e ConflictError) Error() string { return fmt.Sprintf("event %d is in conflict", int(e)) }

// conflictsError is the requests of a group whose events are in conflict.
type conflictsError struct {
	requests []int
	first    ConflictError // of the first of them
}

func (e *conflictsError) Error() string { return e.first.Error() }

func (e *conflictsError) Unwrap() error { return e.first }

// FanOutError is the error of a request whose events have more deliveries than the number that it is.
type FanOutError int

// Error tells the limit.
func (e FanOutError) Error() string {
	return fmt.Sprintf("the events have more than %d deliveries", int(e))
}

// GroupError is the failure of a group that none of its requests is to blame for. It has been logged.
type GroupError struct{ cause error }

// Error returns the text of the cause.
func (e *GroupError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *GroupError) Unwrap() error { return e.cause }

// isOnesFault tells whether a group failed for a reason that may be that of a single request, with nothing stored: a
// conflict, an event that the database refuses (classes 22 and 54), a deadlock or a serialization failure (40), too
// much to do. After each of these nothing is stored, also if it comes from the commit.
func isOnesFault(err error) bool {
	switch sqlstate.Class(sqlstate.Of(err)) {
	case "22", "40", "54":
		return true
	}

	var conflict ConflictError
	return errors.As(err, &conflict) || isLarge(err)
}

// isLarge tells whether a request, or its group, was too much to do: by its deliveries, or by the time that it took.
func isLarge(err error) bool {
	code := sqlstate.Of(err)
	return code == sqlstate.TooManyDeliveries || code == sqlstate.QueryCanceled
}

func isLockTimeout(err error) bool {
	return sqlstate.Of(err) == sqlstate.LockNotAvailable
}

// isHeldKey tells whether a lock timeout was that of waiting for another transaction's idempotency or ordering key.
// Postgres tells what it waited for in the context of the error: "while inserting index tuple (0,1) in relation
// "event_keys"", "while locking tuple (0,1) in relation "order_slots"".
func isHeldKey(err error) bool {
	var pgErr *pgconn.PgError
	return isLockTimeout(err) && errors.As(err, &pgErr) &&
		(strings.Contains(pgErr.Where, `"event_keys`) || strings.Contains(pgErr.Where, `"order_slots`))
}
