package health

import (
	"time"

	"github.com/outhook/outhook/db"
)

// Outcome is that of an attempt, for Told.
type Outcome struct {
	At time.Time
	OK bool
}

// Told returns an endpoint's health after processes have told what they saw, one after the other. What a process could not
// tell at first, it tells together with what it saw next.
func Told(tellings ...[][]Outcome) (h db.LockEndpointHealthRow) {
	for _, telling := range tellings {
		var all seen
		for _, outcomes := range telling {
			var s seen
			for _, o := range outcomes {
				if o.OK {
					s.success(o.At)
					continue
				}
				s.failure(o.At, 500, "")
			}
			all = all.then(s)
		}
		h = merge(h, all)
	}
	return h
}
