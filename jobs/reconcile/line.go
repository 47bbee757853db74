package reconcile

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/line"
)

const (
	// standFor is how long a line must stand to be found: whoever has settled one of its deliveries, or the pacer,
	// releases the next one much sooner.
	standFor = 2 * time.Second

	// lineChunk is how many lines one statement releases.
	lineChunk = 500
)

// standing returns the lines that stand, and still do a while later. read runs a look on a connection.
func standing(ctx context.Context, read func(look func(db.DBTX) error) error) (keys []line.Key, err error) {
	for i := range 2 {
		var seen []line.Key
		err := read(func(conn db.DBTX) (err error) {
			seen, err = line.Standing(ctx, conn)
			return err
		})
		switch {
		case err != nil || len(seen) == 0:
			return nil, err
		case i > 0:
			return slices.DeleteFunc(keys, func(key line.Key) bool { return !slices.Contains(seen, key) }), nil
		}

		keys = seen
		select {
		case <-time.After(standFor):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return keys, nil
}

// lines releases what is next in lines that stand. The pacer does the same all the time: what is found here, it has not
// been able to.
func (r *repair) lines(ctx context.Context) error {
	keys, err := standing(ctx, func(look func(db.DBTX) error) error { return look(r.pool) })
	if err != nil {
		return err
	}

	for chunk := range slices.Chunk(keys, lineChunk) {
		n, err := line.Release(ctx, r.pool, chunk)
		if err != nil {
			return fmt.Errorf("releasing lines that stand: %w", err)
		}
		for _, key := range chunk[:min(n, len(chunk))] {
			r.found.add(checkStanding, hex.EncodeToString([]byte(key)))
		}
	}
	return nil
}
