// Command outhook delivers webhooks from Postgres. `outhook dev` runs everything on an embedded Postgres; `outhook
// serve` runs the API, the workers or both on a database of yours. `outhook --help` lists the commands, and each flag
// with its environment variable.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is GOGC unless the variable is set. What lives long is a few MB, so Go's default of 100 collects some ten
// times a second under load; this costs tens of MB and saves a tenth of the CPU.
const gcPercent = 400

func main() {
	// net/http tells package log of misbehaving receivers, with up to 4 KiB of what they sent.
	log.SetOutput(io.Discard) //nolint:forbidigo // see above
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// GOMEMLIMIT, unless the variable is set: nine tenths of what the container may have. Without a limit, or off Linux,
	// none.
	_, _ = memlimit.SetGoMemLimitWithOpts()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()

	if message := messageOf(err); message != "" {
		fmt.Fprintln(os.Stderr, "outhook:", message)
	}
	os.Exit(codeOf(err))
}

// run parses the arguments and runs the command until it ends or ctx does. Results go to stdout, the log to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stdout, stderr)
	if err != nil {
		return err
	}
	if err := checkEnvironment(c, os.Environ(), stderr); err != nil {
		return err
	}

	return c.Run(&command{ctx: ctx, args: args, stdout: stdout, stderr: stderr})
}

// command is what each command gets from run.
type command struct {
	ctx    context.Context //nolint:containedctx // lives as long as the process's one command
	args   []string
	stdout io.Writer
	stderr io.Writer
}

// printf writes a line for people to stdout. There is nobody to tell if that fails.
func (c *command) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stdout, format, args...)
}
