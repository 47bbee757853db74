package deliver

import (
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/metrics"
)

// CountDelivery returns what counts a delivery that the first attempt brought, in two groups of its own.
func CountDelivery(reg prometheus.Registerer) func() {
	m, group := newMeters(reg), metrics.NewGroup(reg, "record", func() int { return 0 })
	res := egress.Result{Outcome: egress.Succeeded, StatusCode: 204, Duration: time.Millisecond}
	rec := &record{eventID: uuid.Must(uuid.NewV7()), number: 1, state: db.DeliveryStateSucceeded, at: time.Now()}
	return func() {
		group.Observe(1, time.Now(), nil)
		m.attempt(res)
		m.recorded(rec)
		group.Observe(1, time.Now(), nil)
	}
}
