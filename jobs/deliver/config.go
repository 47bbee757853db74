package deliver

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
)

// Config configures a Worker. Begin with DefaultConfig, and set what has no default: Keyring and Egress.
type Config struct {
	// Keyring decrypts the endpoints' secrets. Required.
	Keyring *signature.Keyring

	// Egress sends the requests. Required.
	Egress *egress.Client

	// Schedule is the retry schedule of endpoints that have none of their own.
	//
	// Defaults to retry.Fast: 1m, 2m, 4m.
	Schedule retry.Schedule

	// Jitter is how much longer delays may become, as a fraction from 0 to 1, for endpoints that have none of their own.
	//
	// Defaults to 0: delays are exact.
	Jitter retry.Jitter

	// KeptJobRate is how many jobs of succeeded deliveries this process keeps a second, for River UI; those beyond it are
	// deleted with the end of their delivery, which costs Postgres a third of keeping them. 0: none is kept; at most
	// 1,000,000.
	//
	// Defaults to 20, which is at most 18,000 rows in 15 minutes.
	KeptJobRate int

	// Version is told to receivers in user-agent: Outhook/<version>.
	//
	// Defaults to "dev".
	Version string

	// Tracing makes a span of each attempt, which continues the trace that its event was enqueued in and is sent on in the
	// header traceparent.
	//
	// Defaults to nil: no spans; the event's own traceparent is sent on.
	Tracing trace.TracerProvider
}

// DefaultConfig returns the defaults of everything that has one.
func DefaultConfig() Config {
	return Config{Schedule: retry.Fast(), KeptJobRate: 20, Version: "dev"}
}

// Validate returns an error that names the field that is wrong.
func (c Config) Validate() error {
	switch {
	case c.Keyring == nil:
		return errors.New("field Keyring is missing")
	case c.Egress == nil:
		return errors.New("field Egress is missing")
	case c.KeptJobRate < 0 || c.KeptJobRate > 1_000_000:
		return fmt.Errorf("field KeptJobRate is %d, it must be 0 to 1000000", c.KeptJobRate)
	case c.Jitter.Validate() != nil:
		return fmt.Errorf("field Jitter %w", c.Jitter.Validate())
	}
	return c.Schedule.Validate()
}
