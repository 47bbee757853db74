package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/outhook/outhook/internal/bench"
	"github.com/outhook/outhook/jobs/retention"
)

// retainConns is as many connections as workers have for the retention and the rest.
const retainConns = 15

// benchChildCmd is a process that bench starts beside those of serve.
type benchChildCmd struct {
	Kind string `arg:"" enum:"receiver,crowd,river,retain"`

	// Of receiver.
	Address     string `default:"127.0.0.1:0"`
	AnswerBytes int
	FailFirst   int

	// Of river and retain.
	databaseFlags

	// Of retain.
	retentionFlag
}

// Run runs the process until it has done its work or ctx ends.
func (b *benchChildCmd) Run(c *command) error {
	switch b.Kind {
	case bench.KindReceiver:
		return bench.ServeReceiver(c.ctx, c.stdout, b.Address, b.AnswerBytes, b.FailFirst)
	case bench.KindCrowd:
		return bench.ServeCrowd(c.ctx, c.stdout)
	case bench.KindRiver:
		return bench.ServeRiver(c.ctx, c.stdout, b.DatabaseURL)
	case bench.KindRetain:
		return b.retain(c)
	}
	return fmt.Errorf("there is no kind %q", b.Kind)
}

// retain removes what is older than the retention, once, and prints what that was.
func (b *benchChildCmd) retain(c *command) error {
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
