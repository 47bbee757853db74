package ledger

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// TestEventType is the type of the event that POST /api/endpoints/{id}/test sends. It is attempted once.
const TestEventType = "outhook.test"

// testPayload is the payload of a test event, in the form that Standard Webhooks recommends.
type testPayload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		EndpointID uuid.UUID `json:"endpoint_id"`
	} `json:"data"`
}

// TestPayload returns the payload of a test event for an endpoint, also of a probe.
func TestPayload(endpointID uuid.UUID) ([]byte, error) {
	p := testPayload{Type: TestEventType, Timestamp: time.Now().UTC()}
	p.Data.EndpointID = endpointID
	return json.Marshal(p)
}

// PayloadsGone is the last step of a day's payloads, as retention_marks.step has it: there are none.
const PayloadsGone int32 = 5

// Day is what the retention counts in: each day (UTC) has partitions of its own.
const Day = 24 * time.Hour

// DefaultRetention is how long events, deliveries, attempts and idempotency keys are kept unless somebody has decided
// otherwise.
const DefaultRetention = 30 * Day
