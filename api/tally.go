package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/bucket"
)

// subject is what is counted: an endpoint, or what belongs to a tenant, or all.
type subject struct {
	tenantID   *string    // nil: all tenants
	endpointID *uuid.UUID // of the tenant; nil: all
}

// percentiles of a duration in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

func newPercentiles(c *bucket.Counts) *percentiles {
	if c.Total() == 0 {
		return nil
	}
	ms := func(share float64) float64 { return c.Percentile(share).Seconds() * 1000 }
	return &percentiles{ms(0.5), ms(0.95), ms(0.99)}
}

// tally is a sum of rollups.
type tally struct {
	events                  int64
	attempts                attemptStats
	deliveries              deliveryStats
	firstLatencies, attempt bucket.Counts
}

func (t *tally) latency() *percentiles  { return newPercentiles(&t.firstLatencies) }
func (t *tally) duration() *percentiles { return newPercentiles(&t.attempt) }

// read adds the rollups of a time.
func (t *tally) read(ctx context.Context, tx pgx.Tx, of subject, since, until time.Time) error {
	return readRollups(ctx, tx, of, since, until, func(time.Time) *tally { return t })
}

// readRollups adds the rollups of a time, each to the tally that at returns for its beginning.
func readRollups(
	ctx context.Context, tx pgx.Tx, of subject, since, until time.Time, at func(time.Time) *tally,
) error {
	p := db.ListRollupsParams{Since: since, Until: until}
	if of.tenantID != nil {
		p.TenantID = *of.tenantID
	}
	if of.endpointID != nil {
		p.EndpointID = *of.endpointID
	}
	if of.tenantID != nil && p.TenantID == "" {
		return nil // of nobody: a key that is bound to another tenant
	}

	rows, err := db.New().ListRollups(ctx, tx, p)
	for i := range rows {
		at(rows[i].At).add(&rows[i])
	}
	return err
}

func (t *tally) add(r *db.ListRollupsRow) {
	t.events += r.Events
	for _, c := range []struct {
		sum *int64
		n   int32
	}{
		{&t.attempts.Succeeded, r.Succeeded},
		{&t.attempts.Rejected, r.Rejected},
		{&t.attempts.TimedOut, r.TimedOut},
		{&t.attempts.Unreachable, r.Unreachable},
		{&t.attempts.Blocked, r.Blocked},
		{&t.attempts.Unknown, r.Unknown},
		{&t.deliveries.Succeeded, r.Delivered},
		{&t.deliveries.Failed, r.Failed},
		{&t.deliveries.Cancelled, r.Cancelled},
	} {
		*c.sum += int64(c.n)
	}

	addBuckets(&t.firstLatencies, r.FirstLatency)
	addBuckets(&t.attempt, r.Duration)
}

func addBuckets(sum *bucket.Counts, list []int32) {
	for i, n := range list[:min(len(list), len(sum))] {
		sum[i] += int64(n)
	}
}
