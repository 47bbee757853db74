package operation

import "fmt"

// Config is how recover and replay go. Begin with DefaultConfig.
type Config struct {
	// Backlog is how many deliveries of a tenant's bursts and operations may wait for their turn while one of its
	// operations goes on, from 1 to 1,000,000: with more, it waits.
	//
	// Defaults to 1,000.
	Backlog int
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Backlog: 1000} }

// Validate returns an error that names the field that is wrong.
func (c Config) Validate() error {
	if c.Backlog < 1 || c.Backlog > 1_000_000 {
		return fmt.Errorf("field Backlog is %d, it must be 1 to 1000000", c.Backlog)
	}
	return nil
}
