package deliver

import (
	"github.com/google/uuid"
)

// Args are the arguments of a "deliver" job, as stored in river_job.args. River UI shows them: no payload, no
// secret, no URL. It is a stored format: fields are added, never renamed.
type Args struct {
	EventID    uuid.UUID `json:"event_id"`
	EndpointID uuid.UUID `json:"endpoint_id"`

	// Base is, for a job that is not the first of its delivery, the number of attempts before it: that of a replay, or of
	// a repair.
	Base *int `json:"base,omitempty"`

	// Repaired says that the job stands in for one that was lost, and is nobody's order.
	Repaired bool `json:"repaired,omitempty"`

	// Probe says that the delivery is to find out whether a disabled endpoint works again.
	Probe bool `json:"probe,omitempty"`
}

// Kind returns "deliver".
func (Args) Kind() string { return "deliver" }
