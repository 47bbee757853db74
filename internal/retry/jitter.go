package retry

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// ErrInvalidJitter is the error of Jitter.Validate, for people.
var ErrInvalidJitter = errors.New(
	"must be a number from 0 to 1: 0.1 makes each delay up to 10 % longer, 0 leaves it exact")

// Jitter is how much longer a delay may become, as a fraction of it, from 0 to 1. It keeps deliveries that failed in
// the same moment from coming back in the same moment. 0 leaves delays exact.
type Jitter float64

// Validate returns ErrInvalidJitter if the jitter is out of range or no number.
func (j Jitter) Validate() error {
	if !(j >= 0 && j <= 1) {
		return ErrInvalidJitter
	}
	return nil
}

// Lengthen returns a wait for a delay: any from the delay to Longest is as likely as any other.
func (j Jitter) Lengthen(delay time.Duration) time.Duration {
	return delay + time.Duration(rand.Float64()*float64(j)*float64(delay))
}

// Longest returns the longest wait for a delay.
func (j Jitter) Longest(delay time.Duration) time.Duration {
	return delay + time.Duration(math.Ceil(float64(j)*float64(delay)))
}
