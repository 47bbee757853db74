package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
)

// Check returns an error that wraps retry.ErrRetention unless the retention fits the server's schedule, with its
// jitter, and that of every endpoint.
func Check(
	ctx context.Context, pool *pgxpool.Pool, retention time.Duration, schedule retry.Schedule, jitter retry.Jitter,
) error {
	if err := schedule.Fits(retention, jitter); err != nil {
		return err
	}

	longest, err := db.New().GetLongestSchedule(ctx, pool, schedule.Seconds(), float64(jitter))
	if err != nil {
		return fmt.Errorf("reading the endpoints' schedules: %w", err)
	}
	// The jitter is in it.
	if err := (retry.Schedule{time.Duration(longest) * time.Second}).Fits(retention, 0); err != nil {
		return fmt.Errorf("%w; an endpoint has such a schedule or jitter of its own", err)
	}
	return nil
}
