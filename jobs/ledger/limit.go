package ledger

import (
	"math/rand/v2"
	"time"
)

// TroubleDelay is the shortest wait after trouble of our own; up to as much again is added at random, which keeps many
// jobs from coming back at the same moment. The sum is below 5 s, and so the job waits as available, but for one in a
// lane or a burst (see SettleRuns).
const TroubleDelay = 2 * time.Second

// TroubleWait returns a wait after trouble of our own, from TroubleDelay to twice that.
func TroubleWait() time.Duration { return TroubleDelay + rand.N(TroubleDelay) }

// JobTimeout is above the longest request (30 s) by what load and record may take on a bad day.
const JobTimeout = 40 * time.Second

// RecordTimeout bounds one transaction that records outcomes.
const RecordTimeout = 15 * time.Second
