// Package retry says when to try again: schedule.go is the delays between attempts, jitter.go what spreads them,
// after.go what an answer's Retry-After asks for.
package retry
