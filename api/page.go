package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/problem"
)

// bound returns a bound of a list by time, nil for no time. An id can't hold a time before 1970.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		t = epoch
	}
	return &t
}

// page is the answer of every list.
type page[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Give it back as cursor for the next page. Null at the end."`
}

type pageOutput[T any] struct{ Body page[T] }

// newPage makes a page of rows, of which there may be one more than limit. key is a row's position in the list.
func newPage[R, T any](rows []R, limit int32, convert func(R) T, key func(R) []uuid.UUID) *pageOutput[T] {
	out := &pageOutput[T]{}
	if len(rows) > int(limit) {
		rows = rows[:limit]
		next := encodeCursor(key(rows[limit-1]))
		out.Body.NextCursor = &next
	}

	out.Body.Items = make([]T, len(rows))
	for i, row := range rows {
		out.Body.Items[i] = convert(row)
	}
	return out
}

// encodeCursor writes a position, which is one or two ids, as text that is not meant to be read.
func encodeCursor(ids []uuid.UUID) string {
	var raw []byte
	for _, id := range ids {
		raw = append(raw, id[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// decodeCursor returns the n ids of a cursor, or none if there is no cursor.
func decodeCursor(cursor string, n int) ([]uuid.UUID, error) {
	if cursor == "" {
		return nil, nil
	}

	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != n*len(uuid.UUID{}) || strings.ContainsAny(cursor, "\r\n") { // which the decoder skips
		return nil, problem.Invalid("query.cursor", "is not a next_cursor of this list")
	}

	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.UUID(raw[i*len(uuid.UUID{}):])
	}
	return ids, nil
}

func first(ids []uuid.UUID) *uuid.UUID {
	if len(ids) == 0 {
		return nil
	}
	return &ids[0]
}

// filter returns nil for an absent text.
func filter(at, value string) (*string, error) {
	switch {
	case value == "":
		return nil, nil
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return nil, problem.Invalid(at, "must be text: UTF-8 without NUL")
	}
	return &value, nil
}

// filterID returns nil for an absent id.
func filterID(at, value string) (*uuid.UUID, error) {
	if value == "" {
		return nil, nil
	}
	id, err := uuid.Parse(value)
	if err != nil {
		return nil, problem.Invalid(at, "must be a UUID")
	}
	return &id, nil
}

// list runs a query of a list in a transaction that makes Postgres plan it with the values that it has: a plan for any
// values could use neither the index of a filter nor the bounds that prune partitions.
func (s *Server) list(ctx context.Context, query func(pgx.Tx) error) error {
	begin := fmt.Sprintf("BEGIN READ ONLY; "+
		"SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = %d",
		s.cfg.QueryTimeout.Milliseconds())
	return pgx.BeginTxFunc(ctx, s.cfg.Pool, pgx.TxOptions{BeginQuery: begin}, query)
}
