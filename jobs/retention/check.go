package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
)

// Check returns an error that wraps retry.ErrRetention unless the retention fits the server's schedule and that of
// every endpoint.
func Check(ctx context.Context, pool *pgxpool.Pool, retention time.Duration, schedule retry.Schedule) error {
	if err := schedule.Fits(retention); err != nil {
		return err
	}

	longest, err := db.New().GetLongestSchedule(ctx, pool)
	if err != nil {
		return fmt.Errorf("reading the endpoints' schedules: %w", err)
	}
	if err := (retry.Schedule{time.Duration(longest) * time.Second}).Fits(retention); err != nil {
		return fmt.Errorf("%w; an endpoint has such a schedule of its own", err)
	}
	return nil
}
