package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/metrics"
	"github.com/outhook/outhook/internal/pg"
)

// loadTimeout bounds one load. It is a primary-key lookup for at most loadItems jobs.
const (
	loadTimeout = 10 * time.Second
	loadItems   = 200
)

// loadKey names the delivery of one job.
type loadKey struct {
	eventID    uuid.UUID
	endpointID uuid.UUID
	jobID      int64
}

// delivery is what was loaded of one with its endpoint, whose credentials the rows of one query share.
type delivery struct {
	*db.LoadDeliveriesRow
	credentials *credentials
}

// loader reads what deliveries need, many in one query. Nothing is cached from one query to the next: a rotated secret,
// a new URL or a pause holds for every run that loads after its commit.
type loader struct {
	pool   *pgxpool.Pool
	clock  *dbclock.Clock
	logger *slog.Logger
	group  *batch.Group[loadKey, *delivery]
	metric *metrics.Group
}

func newLoader(p Parts) *loader {
	l := &loader{clock: p.Clock, logger: p.Calm}
	l.group = batch.New(batch.Config{MaxItems: loadItems, Parallel: 1}, func(loadKey) int { return 0 }, l.run)
	l.metric = metrics.NewGroup(p.Metrics, "load", func() int { return l.group.Stats().Waiting })
	return l
}

// load returns nil if the delivery does not exist (any more).
func (l *loader) load(ctx context.Context, key loadKey) (*delivery, error) {
	return l.group.Do(ctx, key)
}

func (l *loader) run(ctx context.Context, keys []loadKey) ([]*delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()

	sent := time.Now()
	rows, err := l.query(ctx, keys)
	l.metric.Observe(len(keys), sent, err)
	if err != nil {
		l.logger.WarnContext(ctx, "loading deliveries", slog.Int("count", len(keys)), slog.Any("error", err))
		return nil, fmt.Errorf("loading %d deliveries: %w", len(keys), err)
	}

	return align(keys, rows), nil
}

// query reads a group by the days of its events: nearly always there are one or two.
func (l *loader) query(ctx context.Context, keys []loadKey) ([]db.LoadDeliveriesRow, error) {
	days := make(map[pg.Day][]loadKey)
	for _, k := range keys {
		day := pg.DayOf(k.eventID)
		days[day] = append(days[day], k)
	}

	rows := make([]db.LoadDeliveriesRow, 0, len(keys))
	for day, keys := range days {
		part, err := l.queryDay(ctx, day, keys)
		if err != nil {
			return nil, err
		}
		rows = append(rows, part...)
	}
	return rows, nil
}

func (l *loader) queryDay(ctx context.Context, day pg.Day, keys []loadKey) ([]db.LoadDeliveriesRow, error) {
	eventIDs, endpointIDs := make([]uuid.UUID, len(keys)), make([]uuid.UUID, len(keys))
	jobIDs := make([]int64, len(keys))
	for i, k := range keys {
		eventIDs[i], endpointIDs[i], jobIDs[i] = k.eventID, k.endpointID, k.jobID
	}

	sent := time.Now()
	rows, err := db.New().LoadDeliveries(ctx, day.Of(l.pool), eventIDs, endpointIDs, jobIDs)
	if len(rows) > 0 {
		l.clock.Sample(sent, time.Now(), rows[0].DatabaseTime)
	}
	return rows, err
}

// align puts the rows, which come in any order and without those that are gone, in the order of the keys. A key may
// stand in a group twice (a job that was rescued and fetched again).
func align(keys []loadKey, rows []db.LoadDeliveriesRow) []*delivery {
	byKey := make(map[loadKey]*delivery, len(rows))
	endpoints := map[uuid.UUID]*credentials{}
	for i := range rows {
		r := &rows[i]
		if endpoints[r.EndpointID] == nil {
			endpoints[r.EndpointID] = &credentials{}
		}
		byKey[loadKey{r.EventID, r.EndpointID, r.LoadedJobID}] = &delivery{r, endpoints[r.EndpointID]}
	}

	out := make([]*delivery, len(keys))
	for i, k := range keys {
		out[i] = byKey[k]
	}
	return out
}
