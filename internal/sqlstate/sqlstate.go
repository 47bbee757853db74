// Package sqlstate tells what kind of error Postgres has answered with. A SQLSTATE is five characters, the first two of
// which are its class: https://www.postgresql.org/docs/current/errcodes-appendix.html.
//
// Begin with [Of]. [Text] is what may be logged of an error.
package sqlstate

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that we act on.
const (
	InvalidParameterValue = "22023"
	UniqueViolation       = "23505"
	ReadOnly              = "25006"
	SerializationFailure  = "40001"
	LockNotAvailable      = "55P03" // after lock_timeout, or at once with NOWAIT
	QueryCanceled         = "57014" // after statement_timeout, or by an administrator
	TooManyDeliveries     = "OH001" // our own: enqueue_many's, by the setting outhook.max_deliveries
)

// Of returns the SQLSTATE of an error that Postgres has answered with, "" for any other.
func Of(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return ""
	}
	return pgErr.Code
}

// Class returns the class of a SQLSTATE, "" for "".
func Class(code string) string { return code[:min(len(code), 2)] }

// Text returns the text of an error for the log. Postgres' messages of class 22, data exception, can hold a value: of
// such an error only the SQLSTATE is told.
func Text(err error) string {
	if code := Of(err); Class(code) == "22" {
		return "data exception (SQLSTATE " + code + ")"
	}
	return err.Error()
}
