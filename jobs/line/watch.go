package line

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outhook/outhook/db"
)

const (
	// lookRows is how many lines one look is at, and lookRest how many times as long as it took nothing is looked at then.
	lookRows = 2000
	lookRest = 9
)

// Watch looks, again and again, for lines that stand still. It remembers where its last look has ended: where there are
// more lines than one look is at, the next one goes on there. Nothing is lost with it.
type Watch struct {
	after string    // the queue of the last line that was looked at; "": begin anew
	next  time.Time // when to look again
}

// Release looks at the next lines, and releases what comes next in those that stand. Nothing, before its time.
func (w *Watch) Release(ctx context.Context, conn db.DBTX) error {
	began := time.Now()
	if began.Before(w.next) {
		return nil
	}

	keys, err := w.look(ctx, conn)
	for chunk := range slices.Chunk(keys, releaseItems) {
		_, failed := Release(ctx, conn, chunk)
		err = errors.Join(err, failed)
	}
	w.next = time.Now().Add(lookRest * time.Since(began))
	return err
}

// look returns which of the next lines stand.
func (w *Watch) look(ctx context.Context, conn db.DBTX) ([]Key, error) {
	row, err := db.New().FindStandingLines(ctx, conn, w.after, lookRows)
	if err != nil {
		return nil, fmt.Errorf("looking for lines that stand: %w", err)
	}

	w.after = ""
	if row.Looked == lookRows {
		w.after = row.LastQueue
	}
	return keysOf(row.Keys), nil
}

// Standing returns the lines that stand at this moment, all of them. One of which a delivery has ended just now is
// among them: whoever wants those that stay looks twice.
func Standing(ctx context.Context, conn db.DBTX) (keys []Key, err error) {
	var w Watch
	for {
		part, err := w.look(ctx, conn)
		if err != nil {
			return nil, err
		}
		if keys = append(keys, part...); w.after == "" {
			return keys, nil
		}
	}
}

func keysOf(raw [][]byte) []Key {
	keys := make([]Key, len(raw))
	for i := range raw {
		keys[i] = Key(raw[i])
	}
	return keys
}
