package lane

import (
	"fmt"
	"runtime"
	"time"
)

// Config is what slow and limited endpoints get, and bursts. Begin with DefaultConfig.
type Config struct {
	// MaxSlowWorkers is how many deliveries to slow endpoints are attempted at the same time by all processes together,
	// from 1 to 10,000.
	//
	// Defaults to 200.
	MaxSlowWorkers int

	// MaxLimitedWorkers is the same for endpoints with a rate limit.
	//
	// Defaults to 200.
	MaxLimitedWorkers int

	// MaxLanes is how many slow endpoints have a queue of their own, from 1 to 10,000. Tenants share them alike; any more
	// endpoints share the queue of bursts.
	//
	// Defaults to 1,000.
	MaxLanes int

	// MaxPerHost is how many requests of one tenant to one host may be under way in this process, whatever endpoints they
	// are of, from 2 to 10,000. Half of them are for endpoints whose last answer came within a second.
	//
	// Defaults to 128.
	MaxPerHost int

	// HostRate is how many requests of one tenant to one host this process begins a second at most, up to 1,000,000. 0: no
	// bound.
	//
	// Defaults to 10,000, which is more than a process sends to all hosts together.
	HostRate float64

	// Prove is how long a slow endpoint must answer quickly before its deliveries wait with everybody's again, from 1 ms
	// to 1 h. It doubles, up to an hour, each time that the endpoint turns out to be slow again soon afterwards.
	//
	// Defaults to 1 minute.
	Prove time.Duration

	// BulkRate is the most deliveries of bursts that one process begins a second while it has others too, so that they
	// find a processor free, from 20 to 1,000,000; fewer while the others wait longer. Without others there is no bound.
	//
	// Defaults to 1,000 for each processor.
	BulkRate int
}

// BulkRatePerProcessor is the default of BulkRate for each processor.
const BulkRatePerProcessor = 1000

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		MaxSlowWorkers: 200, MaxLimitedWorkers: 200, MaxLanes: 1000, MaxPerHost: 128, HostRate: 10_000,
		Prove: time.Minute, BulkRate: BulkRatePerProcessor * runtime.GOMAXPROCS(0),
	}
}

// Validate returns an error that names the field that is wrong.
func (c Config) Validate() error {
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"MaxSlowWorkers", c.MaxSlowWorkers},
		{"MaxLimitedWorkers", c.MaxLimitedWorkers},
		{"MaxLanes", c.MaxLanes},
	} {
		if limit.value < 1 || limit.value > 10_000 {
			return fmt.Errorf("field %s is %d, it must be 1 to 10000", limit.name, limit.value)
		}
	}

	switch {
	case c.MaxPerHost < 2 || c.MaxPerHost > 10_000:
		return fmt.Errorf("field MaxPerHost is %d, it must be 2 to 10000", c.MaxPerHost)
	case !(c.HostRate >= 0 && c.HostRate <= 1_000_000):
		return fmt.Errorf("field HostRate is %v, it must be 0 to 1000000", c.HostRate)
	case c.Prove < time.Millisecond || c.Prove > time.Hour:
		return fmt.Errorf("field Prove is %v, it must be 1ms to 1h", c.Prove)
	case c.BulkRate < minBulkRate || c.BulkRate > 1_000_000:
		return fmt.Errorf("field BulkRate is %d, it must be %d to 1000000", c.BulkRate, minBulkRate)
	}
	return nil
}
