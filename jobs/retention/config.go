package retention

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/jobs/ledger"
)

// Config is how long the log is kept, and by whom. Begin with DefaultConfig.
type Config struct {
	// Keep is how long events, deliveries, attempts and idempotency keys are kept, in whole days. It must be more than a
	// day longer than any retry schedule, jitter included: see Check.
	//
	// Defaults to 30 days.
	Keep time.Duration

	// KeepPayloads is how long payloads are kept, in whole days, at most Keep. Those of pending deliveries stay. 0: as
	// long as everything else.
	//
	// Defaults to 0.
	KeepPayloads time.Duration

	// PartitionsAhead is how many days of partitions exist in advance, from 1 to 365.
	//
	// Defaults to 30.
	PartitionsAhead int

	// OwnerPool is the database as the schema's owner, for what only an owner may do: to remove old partitions and to
	// finish interrupted removals. Needed if the worker's user is not the owner.
	//
	// Defaults to nil: the worker's own pool.
	OwnerPool *pgxpool.Pool

	// NotOwner says that the worker's user is not the schema's owner: River's nightly REINDEX of its table is left out,
	// and without an OwnerPool the retention is too.
	NotOwner bool

	// OnRetained is told what each run of the retention has done, also one that ended with an error. Nil: nobody is.
	OnRetained func(Result)
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Keep: ledger.DefaultRetention, PartitionsAhead: 30}
}

// Validate returns an error that names the field that is wrong.
func (c Config) Validate() error {
	switch {
	case c.PartitionsAhead < 1 || c.PartitionsAhead > 365:
		return fmt.Errorf("field PartitionsAhead is %d, it must be 1 to 365", c.PartitionsAhead)
	case c.Keep < ledger.Day || c.Keep%ledger.Day != 0:
		return fmt.Errorf("field Keep is %v, it must be whole days", c.Keep)
	case c.KeepPayloads < 0 || c.KeepPayloads%ledger.Day != 0 || c.KeepPayloads > c.Keep:
		return fmt.Errorf("field KeepPayloads is %v, it must be whole days and at most Keep", c.KeepPayloads)
	}
	return nil
}

// Owner returns the pool of the schema's owner, which is that of the worker unless there is another.
func (c Config) Owner(pool *pgxpool.Pool) *pgxpool.Pool {
	if c.OwnerPool != nil {
		return c.OwnerPool
	}
	return pool
}
