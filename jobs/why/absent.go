package why

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
)

// openFor is how long a transaction may be open without anybody wondering.
const openFor = time.Hour

// Absent says what is known of an id that no event has, or none that the viewer may see: the same of both. bound: the
// viewer is bound to a tenant. logBegan: the first day of the log.
func Absent(id uuid.UUID, r db.DescribeIDRow, logBegan time.Time, bound bool) string {
	const uuidV7 = 7
	others := ""
	if bound {
		others = ", or is another tenant's"
	}

	switch {
	case r.Kind != "":
		return fmt.Sprintf("no event has this id: it is that of an %s", r.Kind)
	case id.Version() != uuidV7:
		return "no event has this id, and none ever had: ids of events, and so webhook-ids, are UUIDs of version 7"
	case r.At.After(r.DatabaseTime.Add(time.Minute)):
		return fmt.Sprintf("no event has this id: its time, %s, is yet to come, so it was not made here", clock(&r.At))
	case r.At.Before(logBegan):
		return fmt.Sprintf("no event has this id: its time is %s, and the log begins at %s; what is older has left with "+
			"the retention", clock(&r.At), clock(&logBegan))
	case r.DatabaseTime.Sub(r.At) < openFor:
		return fmt.Sprintf("no event has this id: its time is %s, so the transaction that enqueued it was rolled back, has "+
			"not been committed yet%s, or was in another database", clock(&r.At), others)
	}
	return fmt.Sprintf("no event has this id: its time is %s, so the transaction that enqueued it was rolled back%s, "+
		"or was in another database", clock(&r.At), others)
}
