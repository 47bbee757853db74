package main

import (
	"errors"
	"fmt"

	"github.com/outhook/outhook/internal/bench"
)

// measureRetention measures what the retention costs, prints the report, and fails if the measure is missed.
func (b *benchCmd) measureRetention(c *command, cfg bench.Config) error {
	report, err := bench.MeasureRetention(c.ctx, cfg)
	if err != nil {
		return err
	}

	if b.JSON {
		err = report.WriteJSON(c.stdout)
	} else {
		err = report.WriteTable(c.stdout)
	}

	switch missed := report.Missed(); {
	case err != nil:
		return fmt.Errorf("writing the report: %w", err)
	case missed != "" && !b.AnyMachine:
		return errors.New(missed + " (--any-machine accepts that)")
	}
	return nil
}
