package main

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// rowLocks are statements that lock a row at random, one of what is busy just now, and return whose it is.
func rowLocks() []string {
	return []string{
		`SELECT event_id, endpoint_id FROM outhook.deliveries
			WHERE state = 'pending' AND event_id > outhook.uuid_v7_floor(now() - interval '20 s')
			ORDER BY random() LIMIT 1 FOR UPDATE`,
		`SELECT (args ->> 'event_id')::uuid, (args ->> 'endpoint_id')::uuid FROM outhook.river_job
			WHERE state IN ('running', 'retryable', 'available') AND kind = 'deliver' AND created_at > now() - interval '20 s'
			ORDER BY random() LIMIT 1 FOR UPDATE`,
		`SELECT NULL::uuid, id FROM outhook.endpoints WHERE deleted_at IS NULL ORDER BY random() LIMIT 1 FOR UPDATE`,
		`SELECT NULL::uuid, endpoint_id FROM outhook.endpoint_health ORDER BY random() LIMIT 1 FOR UPDATE`,
		`SELECT NULL::uuid, endpoint_id FROM outhook.lanes ORDER BY random() LIMIT 1 FOR UPDATE`,
	}
}

// lockRow locks a row as a person does who looks at it with FOR UPDATE and forgets the transaction. It may hold up the
// delivery or the endpoint whose row it is, and nothing else.
func (s *saboteur) lockRow(ctx context.Context, f fault) (bool, error) {
	list := rowLocks()

	tx, err := s.stack.direct.Begin(ctx)
	if err != nil {
		return false, nil // the database is away
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it may have gone away since

	var eventID *uuid.UUID
	var endpointID uuid.UUID
	err = tx.QueryRow(ctx, list[f.target%len(list)]).Scan(&eventID, &endpointID)
	if err != nil {
		return false, nil // there is no such row just now, or the database is away
	}

	subject := endpointID.String()
	if eventID != nil {
		subject = deliveryKey{*eventID, endpointID}.String()
	}
	began := time.Now()
	wait(ctx, stretch(f, minRowLock, maxRowLock))
	_ = tx.Rollback(context.WithoutCancel(ctx))

	s.mark(f.kind, subject, time.Now())
	s.stack.journal.note(subject, began, time.Now().Add(regain))
	return true, nil
}
