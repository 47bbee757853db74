package pg

import (
	"bytes"
	"time"

	"github.com/google/uuid"
)

// Schema holds River's tables and ours (package migrations).
const Schema = "outhook"

const (
	// ByKey makes a transaction's joins look each row up by its key. With few statistics the planner takes the bounds on
	// event_id for a narrow range and would scan all that lies between them.
	ByKey = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off"

	// Planned makes a transaction's statements be planned with the values that they have: a plan for any values can use
	// neither an index that fits some of them nor what prunes partitions, and locks those of every day.
	Planned = "SET LOCAL plan_cache_mode = force_custom_plan"

	// SessionByKey does what ByKey does for a whole session.
	SessionByKey = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off"

	// EndIdle makes the database end a session that has been idle for 5 s inside a transaction: its process is frozen, or
	// its machine has vanished, and others wait for what it has locked. None of our transactions waits for anything but
	// the database. It is set after connecting, since PgBouncer refuses startup parameters that it does not know.
	EndIdle = "SET idle_in_transaction_session_timeout = 5000"

	// SurviveCrash makes a transaction's commit wait until it survives a crash, whatever the database's own setting is:
	// what is promised on its answer is not said again.
	SurviveCrash = "SELECT set_config('synchronous_commit', 'on', true) " +
		"WHERE current_setting('synchronous_commit') IN ('off', 'local')"

	// survivingCrash does the same for a session, until it ends.
	survivingCrash = "SELECT set_config('synchronous_commit', 'on', false) " +
		"WHERE current_setting('synchronous_commit') IN ('off', 'local')"

	// BeginByKey begins a transaction with both, in one round trip.
	BeginByKey = "BEGIN; " + ByKey + "; " + SurviveCrash

	// BeginRepair is BeginByKey for what looks after others' rows; none of its statements should take a second, and what
	// somebody has locked is for a later run: there are few slots for such work. They lock the partitions that they name.
	BeginRepair = BeginByKey + "; " + Planned + "; SET LOCAL statement_timeout = 30000; SET LOCAL lock_timeout = 1000"
)

// Bounds returns the smallest and the greatest id of a group that is not empty. Queries take them beside the ids, so
// that the planner can prune partitions.
func Bounds(ids []uuid.UUID) (low, high uuid.UUID) {
	low, high = ids[0], ids[0]
	for _, id := range ids[1:] {
		if bytes.Compare(id[:], low[:]) < 0 {
			low = id
		}
		if bytes.Compare(id[:], high[:]) > 0 {
			high = id
		}
	}
	return low, high
}

// UTC returns a time of the database in UTC, as JSON shows it; nil for NULL.
func UTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}
