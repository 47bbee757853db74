package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// Lanes, as in endpoints.lane. The API documents them.
const (
	LaneNone    = ""        // in the shared queues
	LaneSlow    = "slow"    // jobs wait in the endpoint's own queue; the pacer releases them to deliver_slow
	LaneLimited = "limited" // the same for an endpoint with a rate limit, to deliver_limited
	LaneBulk    = "bulk"    // slow, but there are as many lanes as there may be: in the queue of bursts
)

// Queues of River. The bursts of each tenant have a queue of their own, bulk-<hash> (outhook.bulk_queue), that the
// workers of deliver_bulk work in turn, with that queue itself: nobody notifies it, and River has no row of it. An
// endpoint that is paused or has a lane has a queue of its own, endpoint-<id>, that nobody works: the pacer releases
// jobs from there to deliver_slow and deliver_limited.
const (
	QueueDeliver        = "deliver"
	QueueDeliverBulk    = "deliver_bulk"
	QueueDeliverSlow    = "deliver_slow"
	QueueDeliverLimited = "deliver_limited"
	QueueOperations     = "operations"
	QueueMaintenance    = "maintenance"

	// BulkQueuePrefix begins the name of the queue of a tenant's bursts; 7 hexadecimal digits follow.
	BulkQueuePrefix = "bulk-"

	// LineQueuePrefix begins the name of the queue of a line (package line); its key follows in hexadecimal digits. What
	// is there is pending: nobody fetches it.
	LineQueuePrefix = "line-"

	// EndpointQueuePrefix begins the name of an endpoint's own queue; its id follows.
	EndpointQueuePrefix = "endpoint-"
)

// SharedQueues are the queues of endpoints without a lane.
func SharedQueues() []string { return []string{QueueDeliver, QueueDeliverBulk} }

// WorkedQueues are the queues of deliveries that every worker process works, by the names of their workers (WorkedAs).
func WorkedQueues() []string { return append(SharedQueues(), QueueDeliverSlow, QueueDeliverLimited) }

// WorkedAs returns the name of the queue whose workers work a queue.
func WorkedAs(queue string) string {
	if strings.HasPrefix(queue, BulkQueuePrefix) {
		return QueueDeliverBulk
	}
	return queue
}

// Notify wakes the workers of a queue when tx commits.
func Notify(ctx context.Context, tx pgx.Tx, queue string) error {
	if err := db.New().NotifyQueue(ctx, tx, queue); err != nil {
		return fmt.Errorf("notifying queue %s: %w", queue, err)
	}
	return nil
}
