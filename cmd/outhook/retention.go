package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/jobs/ledger"
)

// maxRetentionDays is ten years: each day is three partitions, and every query that can't prune looks at all of them.
const maxRetentionDays = 3650

// retentionFlag is how long the log is kept.
type retentionFlag struct {
	Retention days `env:"OUTHOOK_RETENTION" default:"${retention}" placeholder:"DAYS" help:"How long events, deliveries, attempts and idempotency keys are kept, in days. It must be more than a day longer than any retry schedule, jitter included. The same in every process."`
}

// days is a number of whole days, written like 30d (or 720h).
type days time.Duration

// UnmarshalText reads 30d, or a duration of whole days in Go's notation.
func (d *days) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	errDays := fmt.Errorf("must be whole days like 30d, at most %dd", maxRetentionDays)

	if number, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > maxRetentionDays {
			return errDays
		}
		*d = days(time.Duration(n) * ledger.Day)
		return nil
	}

	n, err := time.ParseDuration(s)
	if err != nil || n < 0 || n > maxRetentionDays*ledger.Day || n%ledger.Day != 0 {
		return errDays
	}
	*d = days(n)
	return nil
}

// String writes whole days.
func (d days) String() string { return strconv.Itoa(int(time.Duration(d)/ledger.Day)) + "d" }

// checkRetention checks what needs no database; retention.Check does the rest.
func (f serverFlags) checkRetention() error {
	switch {
	case time.Duration(f.Retention) < ledger.Day:
		return errors.New("OUTHOOK_RETENTION must be at least 1d")
	case f.PayloadRetention > f.Retention:
		return fmt.Errorf("OUTHOOK_PAYLOAD_RETENTION must not be longer than OUTHOOK_RETENTION (%s): "+
			"payloads leave with their events", f.Retention)
	case f.JobRetention < time.Minute || f.JobRetention > 7*ledger.Day:
		return errors.New("OUTHOOK_JOB_RETENTION must be 1m to 168h")
	}
	return nil
}
