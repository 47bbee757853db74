package rollup

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
)

// maxMinutes is how many minutes are counted that nobody has counted at their end, since no worker lived.
const maxMinutes = 60

// CountEvents counts the events of the minutes that have ended since it last did, by tenant: from the log, a minute at
// a time, since only the log knows what applications enqueue by SQL. Those of a transaction that commits later than
// some seconds after its minute are not in it. If several processes do it at the same time, a minute is counted once.
func CountEvents(ctx context.Context, pool *pgxpool.Pool) error {
	minutes, err := db.New().ListUncountedMinutes(ctx, pool, maxMinutes)
	if err != nil {
		return fmt.Errorf("listing minutes: %w", err)
	}

	for _, minute := range minutes {
		if err := db.New().CountMinute(ctx, pool, minute, minute.Add(Grain)); err != nil {
			return fmt.Errorf("counting the events of %s: %w", minute.UTC().Format(time.RFC3339), err)
		}
	}
	return nil
}
