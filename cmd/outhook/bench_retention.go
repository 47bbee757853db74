package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/outhook/outhook/internal/bench"
	"github.com/outhook/outhook/jobs/retention"
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

// retainConns is as many as workers have for it.
const retainConns = 15

// benchRetainCmd runs the retention once, as a process that bench starts.
type benchRetainCmd struct {
	databaseFlags
	retentionFlag
}

// Run removes what is older than the retention and prints what that was.
func (b *benchRetainCmd) Run(c *command) error {
	pool, err := openPool(c.ctx, b.DatabaseURL, "outhook bench-retain", retainConns)
	if err != nil {
		return err
	}
	defer pool.Close()

	began := time.Now()
	cfg := retention.DefaultConfig()
	cfg.Keep = time.Duration(b.Retention)
	done, err := retention.Run(c.ctx, pool, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}

	bench.WriteRetained(c.stdout, done.Tables, time.Since(began))
	return nil
}
