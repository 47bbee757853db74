package outhook

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// cancelSQL has no row if there is no such event.
const cancelSQL = `SELECT withdrawn FROM outhook.cancel_event($1::pg_catalog.text,
	CASE WHEN $2::pg_catalog.text <> '' THEN $2 END, CASE WHEN $3::pg_catalog.text <> '' THEN $3::pg_catalog.uuid END)`

// ErrNoEvent is returned by Cancel for an event that its tenant does not have: it was never committed, or the retention
// has removed it.
var ErrNoEvent = errors.New("outhook: no such event")

// Reference names an event of a tenant, by its idempotency key or else by its id.
type Reference struct {
	TenantID       string
	IdempotencyKey string
	ID             string
}

// Cancel takes back, in tx, an event with a DeliverAt in the future: from the commit on nobody gets it any more. It
// returns whether the event is taken back, by this call or one before. False means that it is too late, or
// that the event was not for later, and nothing is changed: tx goes on, and what is still pending can be cancelled
// through the API, delivery by delivery.
//
// Returns an error that wraps ErrInvalidEvent, before any SQL, if the reference names no event, and ErrNoEvent if there
// is none; tx is still usable then. After any other error roll back.
func Cancel(ctx context.Context, tx pgx.Tx, event Reference) (cancelled bool, err error) {
	if err := event.validate(); err != nil {
		return false, err
	}

	err = tx.QueryRow(ctx, cancelSQL, event.TenantID, event.IdempotencyKey, event.ID).Scan(&cancelled)
	return cancelled, explainCancel(err)
}

// CancelSQL is Cancel for database/sql, with any driver that speaks to Postgres.
func CancelSQL(ctx context.Context, tx SQLTx, event Reference) (cancelled bool, err error) {
	if err := event.validate(); err != nil {
		return false, err
	}

	rows, err := tx.QueryContext(ctx, cancelSQL, event.TenantID, event.IdempotencyKey, event.ID)
	if err != nil {
		return false, explain(err)
	}
	defer rows.Close() //nolint:errcheck // what it has said is read

	if rows.Next() {
		err = rows.Scan(&cancelled)
	} else if err = rows.Err(); err == nil {
		err = sql.ErrNoRows
	}
	return cancelled, explainCancel(err)
}

func (r Reference) validate() error {
	var id pgtype.UUID
	switch {
	case (r.IdempotencyKey == "") == (r.ID == ""):
		return invalid("id", "or an idempotency_key must be given, and not both")
	case r.ID != "" && id.Scan(r.ID) != nil:
		return invalid("id", "must be a UUID")
	}

	for _, check := range []*InvalidEventError{checkTenant(r.TenantID), checkKey("idempotency_key", r.IdempotencyKey)} {
		if check != nil {
			return check
		}
	}
	return nil
}

func explainCancel(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, sql.ErrNoRows):
		return ErrNoEvent
	}
	return explain(err)
}
