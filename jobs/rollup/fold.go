package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// Resolution is how long a row lasts until a certain age, which every row of a whole hour reaches at the same time.
type Resolution struct {
	Seconds int32
	Until   time.Duration
}

// Resolutions are those of a row, finest first: a minute for 2 hours, five minutes for 2 days, then an hour until the
// retention ends.
func Resolutions() []Resolution {
	return []Resolution{{60, 2 * time.Hour}, {300, 48 * time.Hour}, {3600, 0}}
}

// foldStretch is the time whose rows one transaction folds: some 100,000 rows of 1,000 endpoints that are busy in two
// processes.
const foldStretch = time.Hour

// Fold makes the rows that are old enough coarser, and deletes those that are older than a time. It can be repeated,
// and stopped anywhere: what it makes of some rows, and that they go, commits together.
func Fold(ctx context.Context, pool *pgxpool.Pool, retention time.Duration) error {
	list := Resolutions()
	for i := range list[:len(list)-1] {
		if err := fold(ctx, pool, list[i], list[i+1].Seconds); err != nil {
			return fmt.Errorf("folding rollups of %d s: %w", list[i].Seconds, err)
		}
	}

	for _, r := range list {
		if err := db.New().DeleteOldRollups(ctx, pool, r.Seconds, retention.Seconds()); err != nil {
			return fmt.Errorf("deleting old rollups: %w", err)
		}
	}
	return nil
}

func fold(ctx context.Context, pool *pgxpool.Pool, fine Resolution, coarse int32) error {
	for {
		begin, err := db.New().OldestRollup(ctx, pool, fine.Seconds, fine.Until.Seconds())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}

		err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: pg.BeginRepair}, func(tx pgx.Tx) error {
			return db.New().FoldRollups(ctx, tx, db.FoldRollupsParams{
				Fine: fine.Seconds, Coarse: coarse, Begin: begin, Until: begin.Add(foldStretch),
			})
		})
		if err != nil {
			return err
		}
	}
}
