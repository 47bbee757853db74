package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// writeSlow writes the history of the slowest deliveries to a file, for people who want to know what they waited for.
func writeSlow(ctx context.Context, pool *pgxpool.Pool, path string) error {
	var text strings.Builder
	var eventID, endpointID uuid.UUID
	var job, attempts string

	err := each(ctx, pool, `
		SELECT d.event_id, d.endpoint_id,
			coalesce((SELECT format('created %s queue %s attempt %s by %s errors %s metadata %s',
					e.created_at, j.queue, j.attempt, j.attempted_by, j.errors, j.metadata)
				FROM outhook.river_job AS j WHERE j.id = d.job_id), '') AS job,
			coalesce((SELECT string_agg(
					format('%s %s %s %s %s', a.number, a.started_at, a.outcome, a.status_code, a.error),
					E'\n    ' ORDER BY a.number)
				FROM outhook.delivery_attempts AS a
				WHERE a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id), '') AS attempts
		FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id
		WHERE d.completed_at - e.created_at > interval '8 seconds'
		ORDER BY d.completed_at - e.created_at DESC LIMIT 400`,
		[]any{&eventID, &endpointID, &job, &attempts}, func() error {
			fmt.Fprintf(&text, "event %s endpoint %s\n  %s\n    %s\n",
				eventID, endpointID, strings.ReplaceAll(job, "\n", " "), attempts)
			return nil
		})
	if err != nil {
		return err
	}

	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("writing what was slow: %w", err)
	}
	return nil
}
