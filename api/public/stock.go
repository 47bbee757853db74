package public

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
)

// stock keeps the public part of the catalogue in memory: whoever reads it is nobody's customer, and so many as they
// are, the database is asked once in [eventtype.Fresh] whether it is still the same.
type stock struct {
	mu       sync.Mutex
	contents *contents // nil: not read yet
	err      error     // of the last time that somebody tried to read it
	at       time.Time // when that was
}

const (
	// readTimeout bounds a read, for which all wait who come in between.
	readTimeout = 5 * time.Second

	// retryAfter is how long nobody tries again after a read that failed.
	retryAfter = time.Second
)

// contents are what everybody may see.
type contents struct {
	revision int64
	title    string
	groups   []web.PublicGroup
	types    map[string]*described

	// What is made when it is first wanted, and once.
	document       func() json.RawMessage
	markdown, llms func() []byte
}

// described is an event type.
type described struct {
	catalog.Type

	version int32
}

// current returns the catalogue, which is some seconds old at most.
func (s *stock) current(ctx context.Context, pool *pgxpool.Pool) (*contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := eventtype.Fresh
	if s.err != nil {
		wait = retryAfter
	}
	if !s.at.IsZero() && time.Since(s.at) < wait {
		return s.contents, s.wanting()
	}

	// Who asked may leave: it is read for all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	s.at = time.Now()
	next, err := read(ctx, pool, s.contents)
	if s.err = err; err == nil {
		s.contents = next
	}
	return s.contents, s.wanting()
}

// wanting returns why there is nothing to show. What was read once is shown also while the database is away.
func (s *stock) wanting() error {
	if s.contents == nil {
		return s.err
	}
	return nil
}

// read reads the catalogue, unless it is the same.
func read(ctx context.Context, pool *pgxpool.Pool, before *contents) (c *contents, err error) {
	revision, err := db.New().GetCatalogRevision(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	if before != nil && before.revision == revision {
		return before, nil
	}

	var whole eventtype.Whole
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
		whole, err = eventtype.Reader{OnlyPublic: true}.Whole(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	return newContents(whole), nil
}

func newContents(w eventtype.Whole) *contents {
	c := &contents{
		revision: w.Revision, title: catalog.Title(w.Catalog), types: map[string]*described{},
		document: sync.OnceValue(func() json.RawMessage { return catalog.Document(w.Catalog) }),
	}
	byGroup := map[string][]web.PublicRow{}
	for i, t := range w.Types {
		c.types[t.Name] = &described{t, w.Versions[i]}
		byGroup[t.Group] = append(byGroup[t.Group], web.PublicRow{Name: t.Name, Title: t.Title, Deprecated: t.Deprecated})
	}

	// Those of no group come last.
	for _, name := range slices.SortedFunc(maps.Keys(byGroup), compareGroups) {
		c.groups = append(c.groups, web.PublicGroup{Name: name, Rows: byGroup[name]})
	}
	c.markdown, c.llms = sync.OnceValue(c.text), sync.OnceValue(c.index)
	return c
}

// compareGroups orders groups by their names, and what has none last.
func compareGroups(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	return strings.Compare(a, b)
}

// page is what people are shown of a type.
func (d *described) page() web.PublicEventType {
	p := web.PublicEventType{
		PublicRow: web.PublicRow{Name: d.Name, Title: d.Title, Deprecated: d.Deprecated}, Description: d.Description,
	}
	for _, m := range catalog.Members(d.Schema) {
		p.Members = append(p.Members, web.PublicMember{
			Path: m.Path, Type: m.Type, Required: m.Required, Description: m.Description,
		})
	}

	for _, example := range d.Examples {
		p.Examples = append(p.Examples, indented(example))
	}
	for v := d.version; v >= 1; v-- {
		p.Versions = append(p.Versions, int(v))
	}
	return p
}

func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// readVersion returns the schema of a version that is not the newest.
func readVersion(ctx context.Context, pool *pgxpool.Pool, name string, version int32) (json.RawMessage, error) {
	row, err := db.New().GetEventTypeVersion(ctx, pool, version, name)
	return row.Schema, err
}
