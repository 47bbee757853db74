package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// plainSQL inserts the rows of one event for one endpoint, as fast as a statement can: nothing is checked, matched or
// notified. The constraints and indexes are those of our migrations.
const plainSQL = `
WITH e AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload) VALUES ($1, now(), $2, $3, $4::json) RETURNING id
), d AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT e.id, $5, nextval('outhook.river_job_id_seq'), now() FROM e RETURNING event_id, endpoint_id, job_id
)
INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
SELECT job_id, 'deliver', jsonb_build_object('event_id', event_id, 'endpoint_id', endpoint_id), 'deliver', 1000 FROM d`

func (st *stage) measurePostgres(ctx context.Context) (*Figures, error) {
	endpoint := uuid.Must(uuid.NewV7())
	return st.flow(ctx, nil, func(ctx context.Context, conn int, due time.Time) ([]uuid.UUID, error) {
		id := uuid.Must(uuid.NewV7())
		return []uuid.UUID{id}, pgx.BeginFunc(ctx, st.pool, func(tx pgx.Tx) error {
			if err := insertBusiness(ctx, tx, st.cfg.Tenant, conn); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, plainSQL, id, st.cfg.Tenant, eventType, string(payload(due, st.cfg.PayloadBytes)), endpoint)
			return err
		})
	})
}

// preloadSQL stores a day's share of delivered events, with one attempt each. $1 is the day, $2 how many.
const preloadSQL = `
WITH e AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
    SELECT outhook.uuid_v7($1::timestamptz + n * (interval '23 hours' / $2)), $1::timestamptz + n * (interval '23 hours' / $2),
        'preload', 'bench.preloaded', json_build_object('n', n, 'text', repeat('x', 200))
    FROM generate_series(1, $2::integer) AS n
    RETURNING id, created_at
), d AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, attempt_count, completed_at)
    SELECT id, $3::uuid, 0, 'succeeded', 1, created_at FROM e
    RETURNING event_id
)
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, trigger, status_code)
SELECT id, $3::uuid, 1, created_at, 3, 'succeeded', 'scheduled', 200 FROM e`

// preload stores the events of the days before, and makes their partitions.
func (st *stage) preload(ctx context.Context) error {
	if st.cfg.Preload == 0 {
		return nil
	}

	const days = 40
	done, progress := st.progress("preload", days)
	defer done()

	first := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
	_, err := st.pool.Exec(ctx, "SELECT outhook.create_partitions($1::date, $2::date)",
		first, first.AddDate(0, 0, days))
	if err != nil {
		return fmt.Errorf("creating partitions: %w", err)
	}

	endpoint := uuid.Must(uuid.NewV7())
	for day := range days {
		if _, err := st.pool.Exec(ctx, preloadSQL, first.AddDate(0, 0, day), st.cfg.Preload/days, endpoint); err != nil {
			return fmt.Errorf("storing a day's events: %w", err)
		}
		progress(int64(day))
	}

	if _, err := st.pool.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return fmt.Errorf("vacuuming: %w", err)
	}
	return nil
}
