// Package sample looks at a few events of each type and minute, and counts which of them break the schema that the
// catalogue has of their type, and which types it has not. Nothing waits for it, and no event is changed or kept from
// anybody.
package sample

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/pg"
)

const (
	// PerType is how many events of a type are looked at in a minute.
	PerType = 20

	// parts is how many a minute is cut into, and rowsEach how many events are taken of each, from its beginning
	// on: 10,000 at most. Of a minute with fewer, all are taken.
	parts    = 200
	rowsEach = 50

	// maxEvents bounds the payloads that are read, of 262,144 bytes each at most; those of most are a thousandth.
	maxEvents = 500

	// MaxUndescribed bounds the types that are noted and not described: a publisher may have made them of ids.
	MaxUndescribed = 1000

	// age is how long a minute must be over: most of what is committed late is by then.
	age = time.Minute

	// timeout bounds a run. What it does not get to is not looked at.
	timeout = 20 * time.Second
)

// Events looks at the events of the minute that ended a minute before now, which is on the database's clock.
func Events(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now, err := db.New().GetDatabaseTime(ctx, pool)
	if err != nil {
		return err
	}
	if err := Minute(ctx, pool, now.Add(-age).Truncate(time.Minute).Add(-time.Minute)); err != nil {
		return fmt.Errorf("sampling events: %w", err)
	}
	return nil
}

// Minute looks at the events of a minute, and forgets the types of which none was seen for a month.
func Minute(ctx context.Context, pool *pgxpool.Pool, begin time.Time) error {
	events, err := read(ctx, pool, begin)
	if err != nil || len(events) == 0 {
		return err
	}
	schemas, err := described(ctx, pool, events)
	if err != nil {
		return err
	}

	counts := map[string]*count{}
	for _, e := range events {
		c := counts[e.Type]
		if c == nil {
			c = &count{}
			counts[e.Type] = c
		}
		c.checked++
		c.look(e, schemas[e.Type])
	}
	if err := db.New().CountSamples(ctx, pool, params(counts, schemas)); err != nil {
		return err
	}
	return db.New().DeleteOldSamples(ctx, pool)
}

// read returns the sample, by a plan that is made for its bounds.
func read(ctx context.Context, pool *pgxpool.Pool, begin time.Time) (events []db.SampleEventsRow, err error) {
	p := db.SampleEventsParams{
		Low: pg.FloorID(begin), High: pg.FloorID(begin.Add(time.Minute)),
		PerType: PerType, MaxRows: maxEvents, RowsEach: rowsEach,
	}
	for i := range parts {
		p.Lows = append(p.Lows, pg.FloorID(begin.Add(time.Duration(i)*time.Minute/parts)))
		p.Highs = append(p.Highs, pg.FloorID(begin.Add(time.Duration(i+1)*time.Minute/parts)))
	}

	options := pgx.TxOptions{BeginQuery: "BEGIN READ ONLY; " + pg.Planned + "; SET LOCAL statement_timeout = 10000"}
	return events, pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
		events, err = db.New().SampleEvents(ctx, tx, p)
		return err
	})
}

// schema is a type's, compiled; nil: payloads of it are not looked at, since nobody wants to know.
type schema struct {
	version  int32
	compiled *catalog.Schema
}

// described returns the schemas of the events' types that are in the catalogue.
func described(ctx context.Context, pool *pgxpool.Pool, events []db.SampleEventsRow) (map[string]schema, error) {
	seen := map[string]bool{}
	for _, e := range events {
		seen[e.Type] = true
	}
	rows, err := db.New().ListSchemasOf(ctx, pool, slices.Sorted(maps.Keys(seen)))
	if err != nil {
		return nil, err
	}

	schemas := map[string]schema{}
	for _, r := range rows {
		s := schema{version: r.Version}
		if r.Enforce != "none" {
			if s.compiled, err = catalog.Compile(r.Schema); err != nil {
				return nil, fmt.Errorf("compiling the schema of an event type: %w", err)
			}
		}
		schemas[r.Name] = s
	}
	return schemas, nil
}

// count is what the sample showed of a type.
type count struct {
	checked, violations int64
	eventID             uuid.UUID
	violation           catalog.Violation
}

// look holds an event against its type's schema.
func (c *count) look(e db.SampleEventsRow, s schema) {
	if s.compiled == nil {
		return
	}
	if broken, ok := errors.AsType[*catalog.Violation](s.compiled.Validate(e.Payload)); ok {
		c.violations++
		c.eventID, c.violation = e.ID, *broken
	}
}

func params(counts map[string]*count, schemas map[string]schema) db.CountSamplesParams {
	p := db.CountSamplesParams{MaxTypes: MaxUndescribed}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		c := counts[name]
		p.Types, p.Versions = append(p.Types, name), append(p.Versions, schemas[name].version)
		p.Checked, p.Violations = append(p.Checked, c.checked), append(p.Violations, c.violations)
		p.EventIDs, p.Pointers = append(p.EventIDs, c.eventID), append(p.Pointers, c.violation.Pointer)
		p.Problems = append(p.Problems, c.violation.Problem)
	}
	return p
}
