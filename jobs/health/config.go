package health

import (
	"errors"
	"time"
)

// Config is when an endpoint counts as failing, and what follows. Begin with DefaultConfig.
type Config struct {
	// FailingFailures is how many failed attempts in a row make an endpoint failing, at least 1.
	//
	// Defaults to 5.
	FailingFailures int

	// DisableAfter is how long an endpoint may fail, without any success, before it is disabled: at least 1 minute. 0: for
	// ever.
	//
	// Defaults to 5 days.
	DisableAfter time.Duration

	// DisableFailures is how many failed attempts in a row that takes at least, FailingFailures or more.
	//
	// Defaults to 20.
	DisableFailures int

	// ProbeAfter is how long after it was disabled for failing an endpoint is probed, at least 1 s: by one event of the
	// type outhook.test, whose success enables it again. The wait doubles with each probe, four times. 0: never.
	//
	// Defaults to 1 hour.
	ProbeAfter time.Duration

	// Interval is how often a process tells the database what it saw of the endpoints, and so the most that is lost of
	// their health when it dies: at least 10 ms.
	//
	// Defaults to 5 s.
	Interval time.Duration

	// Hold is how long an endpoint stays healthy or failing at least, so that one that fails now and then does not make an
	// operational event every few seconds.
	//
	// Defaults to 1 minute.
	Hold time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		FailingFailures: 5, DisableAfter: 5 * 24 * time.Hour, DisableFailures: 20, ProbeAfter: time.Hour,
		Interval: 5 * time.Second, Hold: time.Minute,
	}
}

// Validate returns an error that names the field that is wrong.
func (c Config) Validate() error {
	switch {
	case c.FailingFailures < 1 || c.DisableFailures < c.FailingFailures:
		return errors.New("field FailingFailures must be at least 1 and at most DisableFailures")
	case c.DisableAfter != 0 && c.DisableAfter < time.Minute:
		return errors.New("field DisableAfter must be at least 1 min, or 0: never")
	case c.ProbeAfter != 0 && c.ProbeAfter < time.Second:
		return errors.New("field ProbeAfter must be at least 1 s, or 0: never")
	case c.Interval < 10*time.Millisecond || c.Hold < 0:
		return errors.New("field Interval must be at least 10 ms and Hold not below 0")
	}
	return nil
}
