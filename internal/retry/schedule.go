package retry

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of a retry schedule. A delay has whole seconds, because that is how it is stored.
const (
	MaxDelays = 30
	MinDelay  = time.Second
	MaxDelay  = 7 * 24 * time.Hour
)

// ErrInvalid is wrapped by every error of Parse and Schedule.Validate.
var ErrInvalid = errors.New("invalid retry schedule")

// Schedule is the delays between attempts: a schedule of n delays gives n+1 attempts. An empty one gives one attempt.
type Schedule []time.Duration

// Fast returns the preset "fast" and the default: 1m, 2m, 4m, so four attempts within 7 minutes.
func Fast() Schedule {
	return Schedule{time.Minute, 2 * time.Minute, 4 * time.Minute}
}

// Standard returns the preset "standard": the delays that the Standard Webhooks specification advises, about 75
// hours in all.
func Standard() Schedule {
	return Schedule{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// Parse reads a preset's name ("fast", "standard") or durations in Go's notation with commas between them, like
// 1m,2m,4m. Returns an error that wraps ErrInvalid and says what is allowed.
func Parse(s string) (Schedule, error) {
	switch strings.TrimSpace(s) {
	case "fast":
		return Fast(), nil
	case "standard":
		return Standard(), nil
	case "":
		return nil, fmt.Errorf("%w: it is empty; give delays like 1m,2m,4m or a preset (fast, standard)", ErrInvalid)
	}

	var schedule Schedule
	for i, item := range strings.Split(s, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("%w: delay %d is no duration like 30s, 1m or 2h", ErrInvalid, i+1)
		}
		schedule = append(schedule, d)
	}

	return schedule, schedule.Validate()
}

// Validate returns an error that wraps ErrInvalid if there are too many delays or one is out of range.
func (s Schedule) Validate() error {
	if len(s) > MaxDelays {
		return fmt.Errorf("%w: it has %d delays, at most %d are allowed", ErrInvalid, len(s), MaxDelays)
	}

	for i, d := range s {
		if d < MinDelay || d > MaxDelay || d%time.Second != 0 {
			return fmt.Errorf("%w: delay %d must be whole seconds between %v and %v",
				ErrInvalid, i+1, MinDelay, MaxDelay)
		}
	}
	return nil
}

// Delay returns the wait after the given number of known failures (1 is the first), or false if
// the schedule is used up.
func (s Schedule) Delay(failures int) (time.Duration, bool) {
	if failures < 1 || failures > len(s) {
		return 0, false
	}
	return s[failures-1], true
}

// Total returns the sum of the delays, each at its longest: how long a delivery can stay pending, apart from the
// attempts' own time and from what receivers ask for.
func (s Schedule) Total(jitter Jitter) (total time.Duration) {
	for _, d := range s {
		total += jitter.Longest(d)
	}
	return total
}

// ErrRetention is wrapped by the error of Fits.
var ErrRetention = errors.New("the retention is too short")

// Fits returns an error that wraps ErrRetention unless the retention is more than a day longer than the schedule at its
// longest: a delivery must not expire before its last attempt.
func (s Schedule) Fits(retention time.Duration, jitter Jitter) error {
	const day = 24 * time.Hour
	if least := s.Total(jitter) + day; retention <= least {
		return fmt.Errorf("%w: it is %d days, and must be longer than the retry schedule, jitter included, and a day (%v)",
			ErrRetention, retention/day, least)
	}
	return nil
}

// Seconds returns the schedule as it is stored in endpoints.retry_schedule. nil stays nil: the server's schedule.
func (s Schedule) Seconds() []int32 {
	if s == nil {
		return nil
	}

	seconds := make([]int32, len(s))
	for i, d := range s {
		seconds[i] = int32(d / time.Second) //nolint:gosec // at most MaxDelay, 604,800 s
	}
	return seconds
}

// FromSeconds is the inverse of Seconds.
func FromSeconds(seconds []int32) Schedule {
	if seconds == nil {
		return nil
	}

	schedule := make(Schedule, len(seconds))
	for i, s := range seconds {
		schedule[i] = time.Duration(s) * time.Second
	}
	return schedule
}

// Texts writes a schedule that is stored as a client would: 1m, not 1m0s. nil stays nil.
func Texts(seconds []int32) []string {
	if seconds == nil {
		return nil
	}

	list := make([]string, len(seconds))
	for i, n := range seconds {
		list[i] = (time.Duration(n) * time.Second).String()
		if short, found := strings.CutSuffix(list[i], "m0s"); found {
			list[i] = short + "m"
		}
		if short, found := strings.CutSuffix(list[i], "h0m"); found {
			list[i] = short + "h"
		}
	}
	return list
}

// String returns the form that Parse reads, like 1m0s,2m0s,4m0s.
func (s Schedule) String() string {
	items := make([]string, len(s))
	for i, d := range s {
		items[i] = d.String()
	}
	return strings.Join(items, ",")
}
