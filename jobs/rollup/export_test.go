package rollup

import (
	"time"

	"github.com/google/uuid"
)

// Take takes what is due, and returns how many attempts that are of a tenant's endpoint, "" and nil for all.
func (c *Counter) Take(now time.Time, patience time.Duration, tenantID string, endpointID uuid.UUID) (n int) {
	for k, row := range c.take(now, patience) {
		if k.subject == (subject{tenantID, endpointID}) {
			n += int(row.outcomes[0])
		}
	}
	return n
}
