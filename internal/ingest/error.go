package ingest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outhook/outhook/internal/sqlstate"
)

// ErrKeyHeld is the error of a request whose idempotency key another transaction holds, which has not ended yet.
var ErrKeyHeld = errors.New("another transaction holds an idempotency key of the request")

// ConflictError is the index of an event whose idempotency key belongs to an earlier one with another type or payload.
type ConflictError int

// Error names the index.
func (e ConflictError) Error() string { return fmt.Sprintf("event %d is in conflict", int(e)) }

// GroupError is the failure of a group that none of its requests is to blame for. It has been logged.
type GroupError struct{ cause error }

// Error returns the text of the cause.
func (e *GroupError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *GroupError) Unwrap() error { return e.cause }

// isOnesFault tells whether a group failed for a reason that may be that of a single request, with nothing stored: a
// conflict, an event that the database refuses (classes 22 and 54), a deadlock or a serialization failure (40). After
// each of these nothing is stored, also if it comes from the commit.
func isOnesFault(err error) bool {
	switch sqlstate.Class(sqlstate.Of(err)) {
	case "22", "40", "54":
		return true
	}

	var conflict ConflictError
	return errors.As(err, &conflict)
}

func isLockTimeout(err error) bool {
	return sqlstate.Of(err) == sqlstate.LockNotAvailable
}

// isHeldKey tells whether a lock timeout was that of waiting for another transaction's idempotency key. Postgres tells
// what it waited for in the context of the error: "while inserting index tuple (0,1) in relation "event_keys"".
func isHeldKey(err error) bool {
	var pgErr *pgconn.PgError
	return isLockTimeout(err) && errors.As(err, &pgErr) && strings.Contains(pgErr.Where, `"event_keys`)
}
