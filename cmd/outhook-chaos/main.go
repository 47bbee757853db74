// Command outhook-chaos tries to break Outhook's promises: real processes, a Postgres of its own, receivers that
// misbehave, people and applications that do what they may, and faults drawn from a seed. At the end it reconciles what
// the clients were told, the tables, the receivers' log and the attempt log, compares when attempts left with when they
// were due, and exits 1 if a promise is broken. docs/reliability.md explains it and holds figures.
//
// It needs Linux, Go, and PostgreSQL's binaries.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
)

// options are the command's flags.
type options struct {
	Seed     uint64        `default:"1" help:"Draws the faults, the receivers' answers and which transactions roll back."`
	Duration time.Duration `default:"60s" help:"How long clients enqueue and faults fall."`
	Settle   time.Duration `default:"180s" help:"How long everything may take to settle once the faults are over."`
	Rate     int           `default:"120" help:"Events per second that the clients try to enqueue."`
	Every    time.Duration `default:"700ms" help:"The mean time between two faults."`
	Long     bool          `help:"Add faults that last for minutes: a worker paused between answer and record for longer than the rescue takes, and Postgres away for 3 minutes."`
	Clocks   bool          `default:"true" negatable:"" help:"Set the workers' clocks wrong, too. Their binaries get a changed package time for it, which takes a minute to build the first time."`
	JSON     bool          `name:"json" help:"Print JSON to stdout; the table goes to stderr."`
	Keep     bool          `help:"Keep the folder with the processes' logs, and those of faults, of what was slow and of what was early or late. It is kept after a broken promise too."`
}

// crowds is how many times the numbers of clients take part.
func (o options) crowds() int { return max(1, o.Rate/crowdRate) }

func main() {
	// net/http tells package log, and toxiproxy its own, of each connection that a fault cut.
	log.SetOutput(io.Discard) //nolint:forbidigo // see above
	zerolog.SetGlobalLevel(zerolog.Disabled)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()

	if err != nil {
		fmt.Fprintln(os.Stderr, "outhook-chaos:", err)
		os.Exit(1)
	}
}

// errBroken is the error of a run that found a broken promise.
var errBroken = errors.New("a promise is broken")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	parser, err := kong.New(&o, kong.Name("outhook-chaos"), kong.Writers(stdout, stderr),
		kong.Description("Breaks processes, connections and Postgres under load, locks rows, bursts and reconfigures,\n"+
			"and reconciles what is left: nothing lost, nothing twice in the log, nothing early, nothing late."))
	if err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}

	r, err := experiment(ctx, o, stderr)
	if err != nil {
		return err
	}
	if err := show(r, o.JSON, stdout, stderr); err != nil {
		return err
	}

	if len(r.Broken) > 0 {
		return fmt.Errorf("%w: %s", errBroken, r.Broken[0])
	}
	return nil
}

func show(r *report, asJSON bool, stdout, stderr io.Writer) error {
	if !asJSON {
		r.table(stdout)
		return nil
	}

	r.table(stderr)
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}
