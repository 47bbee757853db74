package eventtype

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
)

// Fresh is how long what a process knows of the catalogue is good: so long after a change it still goes by what was
// before. An event pays for no look.
const Fresh = 5 * time.Second

// Checker holds events against the catalogue before they are stored. It is safe for concurrent use.
type Checker struct {
	// Pool reaches the database.
	Pool *pgxpool.Pool

	// Known refuses events whose types are not in the catalogue.
	Known bool

	refreshing sync.Mutex
	rules      atomic.Pointer[rules] // nil: not read yet
}

// rules are what is known of the catalogue.
type rules struct {
	at       time.Time // when they were read, or found to be the same
	revision int64
	rejects  map[string]rule
	names    map[string]bool // nil: nobody asks
}

// rule is a type whose payloads must not break its schema.
type rule struct {
	schema  *catalog.Schema
	version int32
}

// Check refuses an event that the catalogue refuses. at is the event's location in the request.
func (c *Checker) Check(ctx context.Context, e outhook.Event, at string) error {
	r, err := c.current(ctx)
	if isUnreachable(err) {
		return nil // the store meets the same trouble, and says so
	}
	if err != nil {
		return err
	}

	if c.Known && !r.names[e.Type] {
		return problem.New(problem.TypeUnknown, "the catalogue has no such event type: push it, or mend its name",
			problem.Detail{Location: at + ".type", Message: "is not in the catalogue"})
	}
	rule, enforced := r.rejects[e.Type]
	if !enforced {
		return nil
	}

	err = rule.schema.Validate(e.Payload)
	if broken, ok := errors.AsType[*catalog.Violation](err); ok {
		return problem.New(problem.SchemaViolated,
			fmt.Sprintf("the payload breaks version %d of the schema of its event type", rule.version),
			problem.Detail{Location: at + ".payload", Message: broken.Error()})
	}
	return err
}

// Forget makes the next event look whether the catalogue is still the same.
func (c *Checker) Forget() { c.rules.Store(nil) }

// current returns rules that are fresh, or still good while somebody else looks whether they are.
func (c *Checker) current(ctx context.Context) (*rules, error) {
	r := c.rules.Load()
	if r != nil && time.Since(r.at) < Fresh {
		return r, nil
	}
	if r == nil {
		c.refreshing.Lock()
	} else if !c.refreshing.TryLock() {
		return r, nil
	}

	defer c.refreshing.Unlock()
	if now := c.rules.Load(); now != r {
		return now, nil
	}
	next, err := c.read(ctx, r)
	if r != nil && isUnreachable(err) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	c.rules.Store(next)
	return next, nil
}

// isUnreachable tells whether nothing can be stored either: there is no server, or this one stops. That a connection is
// waited for in vain is another thing: the store has some of its own, and what the catalogue refuses must not pass.
func isUnreachable(err error) bool {
	_, refused := errors.AsType[*pgconn.ConnectError](err)
	_, said := errors.AsType[*pgconn.PgError](err)
	return refused && !said || errors.Is(err, puddle.ErrClosedPool)
}

// read reads the rules, unless they are the same.
func (c *Checker) read(ctx context.Context, before *rules) (*rules, error) {
	at := time.Now()
	revision, err := db.New().GetCatalogRevision(ctx, c.Pool)
	if err != nil {
		return nil, err
	}
	if before != nil && before.revision == revision {
		same := *before
		same.at = at
		return &same, nil
	}

	r := &rules{at: at, revision: revision, rejects: map[string]rule{}}
	rows, err := db.New().ListSchemas(ctx, c.Pool, []string{EnforceReject, EnforceGuard})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		schema, err := catalog.Compile(row.Schema)
		if err != nil {
			return nil, fmt.Errorf("compiling the schema of an event type: %w", err)
		}
		r.rejects[row.Name] = rule{schema, row.Version}
	}
	if !c.Known {
		return r, nil
	}

	names, err := db.New().ListTypeNames(ctx, c.Pool)
	r.names = map[string]bool{}
	for _, name := range names {
		r.names[name] = true
	}
	return r, err
}
