package lane

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// catchUp is how far a limiter may fall behind and still make up for it, if its requests come more often than once a
// second: the pacer does not look at the lanes all the time.
const catchUp = 200 * time.Millisecond

// lane is one endpoint's in which something waits or is under way.
type lane struct{ db.LookAtLanesRow }

// release lets the lanes' jobs go, as places is about who is first. Of the slow ones together only
// Config.MaxSlowWorkers may be under way, which tenants share alike, and each tenant's endpoints its part.
func (l *lanes) release(ctx context.Context) error {
	rows, err := db.New().LookAtLanes(ctx, l.conn)
	if err != nil {
		return fmt.Errorf("looking at lanes: %w", err)
	}

	kinds := map[string]*places{
		ledger.LaneSlow: newPlaces(l.cfg.MaxSlowWorkers), ledger.LaneLimited: newPlaces(l.cfg.MaxLimitedWorkers),
	}
	for _, row := range rows {
		kinds[row.Lane].note(row)
	}

	var p db.ReleaseJobsParams
	for _, row := range inTurn(rows) {
		places, queue := kinds[row.Lane], ledger.QueueDeliverLimited
		most := places.left(row.TenantID)
		if row.Lane == ledger.LaneSlow {
			most, queue = min(most, places.share(row.TenantID)-int(row.InFlight)), ledger.QueueDeliverSlow
		}

		count, nextAt := lane{row}.allowance(most)
		if count <= 0 {
			continue
		}

		places.take(row.TenantID, count)
		p.EndpointIDs = append(p.EndpointIDs, row.ID)
		p.Counts = append(p.Counts, int32(count)) //nolint:gosec // at most 1000
		p.Queues, p.NextAts = append(p.Queues, queue), append(p.NextAts, nextAt)
	}

	if len(p.Counts) == 0 {
		return nil
	}
	p.LeaseName, p.Holder = leaseName, l.holder
	held, err := db.New().ReleaseJobs(ctx, l.conn, p)
	switch {
	case err != nil:
		return fmt.Errorf("releasing jobs: %w", err)
	case !held:
		return errLeaseLost
	}
	return nil
}

// allowance returns how many jobs may leave now, when the one after them may by the rate limit. most is how many there
// is room for.
func (n lane) allowance(most int) (count int, nextAt time.Time) {
	count, nextAt = min(int(n.Waiting), most), n.NextAt
	if count <= 0 || n.RateLimit == 0 {
		return count, nextAt
	}

	every := n.every()
	slack := time.Duration(n.RateBurst-1) * every
	if every < time.Second {
		slack = max(slack, catchUp)
	}

	now := n.DatabaseTime
	if earliest := now.Add(-slack); nextAt.Before(earliest) {
		nextAt = earliest
	}

	// What the workers have not fetched yet would leave all at once when they do.
	behind := max(int(catchUp/every), int(n.RateBurst)) - int(n.Unstarted)
	count = min(count, int(now.Sub(nextAt)/every)+1, behind)
	return count, nextAt.Add(time.Duration(count) * every)
}

// every is the time from one request to the next by the rate limit.
func (n lane) every() time.Duration {
	per := time.Second
	if n.RatePer == "minute" {
		per = time.Minute
	}
	return per / time.Duration(n.RateLimit)
}

// change closes the lanes of those that have proved quick, widens throttled ones, and shares the lanes among tenants.
func (l *lanes) change(ctx context.Context) error {
	if !l.open {
		return nil
	}

	return l.holding(ctx, func(tx pgx.Tx) error {
		q := db.New()
		if err := q.WidenLanes(ctx, tx); err != nil {
			return fmt.Errorf("widening lanes: %w", err)
		}

		closed, err := q.CloseLanes(ctx, tx)
		if err != nil {
			return fmt.Errorf("closing lanes: %w", err)
		}
		for _, id := range closed {
			l.logger.InfoContext(ctx, "an endpoint is quick again", slog.String("endpoint_id", id.String()))
		}

		if err := q.ShareLanes(ctx, tx, int32(l.cfg.MaxLanes)); err != nil { //nolint:gosec // validated
			return fmt.Errorf("sharing lanes: %w", err)
		}
		return nil
	})
}
