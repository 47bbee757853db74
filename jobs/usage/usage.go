// Package usage counts what each tenant has used, by event type and hour, for bills: from the log, by bounds of the id
// and of the time, so that it is exact once everything of the hour is committed and recorded.
package usage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// Keep is how long it is kept: a year, and a month to ask about it.
const Keep = 400 * 24 * time.Hour

const (
	// grace is how long an hour must be over before it is counted: most of what is committed late is by then.
	grace = time.Minute

	// slice is the time of the events that one statement counts: at 1,000 a second 60,000, whose hashes take 4 MB.
	slice = time.Minute

	// listDays is how many days of events one transaction looks through for attempts: it locks their partitions.
	listDays = 7

	// begin makes a transaction that counts: planned with its values, never by nested loops, in a snapshot of its own.
	begin = "BEGIN READ ONLY; " + pg.Planned + "; SET LOCAL statement_timeout = 60000; SET LOCAL jit = off"
	hash  = "; SET LOCAL enable_nestloop = off"
)

// key is what is counted apart.
type key struct{ tenantID, eventType string }

// counts are what was used.
type counts struct{ events, deliveries, attempts, payloadBytes int64 }

// Count counts the hours that are due and deletes what is older than Keep. It can be repeated, and done by several
// processes at the same time. Call it before a day of the log leaves.
func Count(ctx context.Context, pool *pgxpool.Pool) error {
	days, err := db.New().GetLogDays(ctx, pool)
	if err != nil {
		return fmt.Errorf("reading the log's days: %w", err)
	}

	hours, err := db.New().ListHoursToCount(ctx, pool, grace.Seconds(), pg.Day(days.First).Begin())
	if err != nil {
		return fmt.Errorf("listing the hours to count: %w", err)
	}
	for _, hour := range hours {
		if err := count(ctx, pool, hour.UTC(), pg.Day(days.First)); err != nil {
			return fmt.Errorf("counting the usage of %s: %w", hour.UTC().Format(time.RFC3339), err)
		}
	}

	if err := db.New().DeleteOldUsage(ctx, pool, Keep.Seconds()); err != nil {
		return fmt.Errorf("deleting old usage: %w", err)
	}
	return nil
}

// count counts an hour.
func count(ctx context.Context, pool *pgxpool.Pool, hour time.Time, first pg.Day) error {
	began, err := db.New().GetDatabaseTime(ctx, pool)
	if err != nil {
		return err
	}

	sums, end := make(map[key]counts), hour.Add(time.Hour)
	for since := hour; since.Before(end); since = since.Add(slice) {
		// Nothing is enqueued in most minutes of many.
		next, err := db.New().NextEvent(ctx, pool, pg.FloorID(since), pg.FloorID(end))
		if errors.Is(err, pgx.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}

		since = pg.IDTime(next).Truncate(slice)
		if err := countEvents(ctx, pool, since, end, sums); err != nil {
			return err
		}
	}
	// Those of older events are nearly all retries.
	for day := first; day <= pg.DayAt(hour); day += listDays {
		if err := countAttempts(ctx, pool, day, hour, sums); err != nil {
			return err
		}
	}

	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := db.New().SaveUsage(ctx, tx, params(hour, sums)); err != nil {
			return err
		}
		return db.New().MarkHourCounted(ctx, tx, hour, began)
	})
}

// countEvents adds the events of a slice, with those of their attempts that began before the end of the hour.
func countEvents(ctx context.Context, pool *pgxpool.Pool, since, end time.Time, sums map[key]counts) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: begin + hash}, func(tx pgx.Tx) error {
		rows, err := db.New().CountUsage(ctx, tx, pg.FloorID(since), pg.FloorID(since.Add(slice)), end)
		for _, r := range rows {
			sum := sums[key{r.TenantID, r.Type}]
			sum.events += r.Events
			sum.deliveries += r.Deliveries
			sum.attempts += r.Attempts
			sum.payloadBytes += r.PayloadBytes
			sums[key{r.TenantID, r.Type}] = sum
		}
		return err
	})
}

// countAttempts adds the attempts in an hour at events before it, of some days.
func countAttempts(ctx context.Context, pool *pgxpool.Pool, day pg.Day, hour time.Time, sums map[key]counts) error {
	high := (day + listDays).Floor()
	if pg.IDTime(high).After(hour) {
		high = pg.FloorID(hour)
	}

	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		rows, err := db.New().CountLaterAttempts(ctx, tx, db.CountLaterAttemptsParams{
			Since: hour, Until: hour.Add(time.Hour), Low: day.Floor(), High: high,
		})
		for _, r := range rows {
			sum := sums[key{r.TenantID, r.Type}]
			sum.attempts += r.Attempts
			sums[key{r.TenantID, r.Type}] = sum
		}
		return err
	})
}

// params are the rows of an hour, in the order in which everybody writes them.
func params(hour time.Time, sums map[key]counts) db.SaveUsageParams {
	p := db.SaveUsageParams{Hour: hour}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
		return strings.Compare(a.tenantID+"\x00"+a.eventType, b.tenantID+"\x00"+b.eventType)
	})
	for _, k := range keys {
		sum := sums[k]
		p.TenantIds, p.Types = append(p.TenantIds, k.tenantID), append(p.Types, k.eventType)
		p.Events, p.Deliveries = append(p.Events, sum.events), append(p.Deliveries, sum.deliveries)
		p.Attempts, p.PayloadBytes = append(p.Attempts, sum.attempts), append(p.PayloadBytes, sum.payloadBytes)
	}
	return p
}
