package batch

import (
	"cmp"
	"fmt"
)

// Config bounds a Group. The zero value of each field is its default; New
// panics if a number is negative.
type Config struct {
	// MaxItems is the largest number of items in one group.
	//
	// Defaults to 500: the fixed cost of a run is then spread thin, and a group
	// in which every item is bad is still sorted out in 999 runs (see Split).
	MaxItems int

	// MaxBytes is the largest sum of the items' sizes, in bytes as the size
	// function of New counts them, in one group. A bigger item runs alone. What
	// runs at one time is therefore at most Parallel × the greater of MaxBytes
	// and the biggest item.
	//
	// Defaults to 8 MiB.
	MaxBytes int

	// Parallel is the number of groups in flight at the same time.
	//
	// Defaults to 1, which also makes runs strictly first in, first out.
	Parallel int

	// MaxWaiting is the number of calls that may wait while Parallel groups are
	// in flight; one more gets ErrFull at once. It bounds calls, not bytes.
	//
	// Defaults to 0: no limit.
	MaxWaiting int

	// Split tells whether an error of run, or a *PanicError, is the fault of
	// single items. A group of more than one that failed with such an error is
	// halved and each half runs again, the first half first, until the bad items
	// have failed alone and all others have succeeded: at most 2n−1 runs for n
	// items, one after the other in the same slot. Any other error goes to all
	// calls of the group (or of the half) that run returned it for.
	//
	// Splitting runs items a second time. Split must therefore return true only
	// for an error that proves that nothing of the failed run took effect: run is
	// atomic, and it was not the commit that failed. Split must not panic.
	//
	// Defaults to nil: never split.
	Split func(error) bool
}

func (c Config) withDefaults() Config {
	if min(c.MaxItems, c.MaxBytes, c.Parallel, c.MaxWaiting) < 0 {
		panic(fmt.Sprintf("batch: negative limit: MaxItems %d, MaxBytes %d, Parallel %d, MaxWaiting %d",
			c.MaxItems, c.MaxBytes, c.Parallel, c.MaxWaiting))
	}

	c.MaxItems = cmp.Or(c.MaxItems, 500)
	c.MaxBytes = cmp.Or(c.MaxBytes, 8<<20)
	c.Parallel = cmp.Or(c.Parallel, 1)
	if c.Split == nil {
		c.Split = func(error) bool { return false }
	}
	return c
}
