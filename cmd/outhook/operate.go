package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/outhook/outhook/api/client"
)

// recoverInterval is how often recover asks how far its operation is.
const recoverInterval = 500 * time.Millisecond

// operate starts an operation and, if wait is true, waits until it has ended. Then only that it is completed is
// success.
func operate(
	c *command, f apiFlags, wait bool, begin func(*client.Client, client.CallOption) (*client.Operation, error),
) error {
	api, err := f.client()
	if err != nil {
		return err
	}

	var a client.Answer
	o, err := begin(api, client.WithAnswer(&a))
	if err != nil {
		return explained(c.ctx, err)
	}
	if wait {
		if o, err = await(c, api, o, &a); err != nil {
			return err
		}
	}

	show(c, f, a.Body, o, showOperation)
	if !wait || o.State == "completed" {
		return nil
	}

	if !hasEnded(o) {
		fmt.Fprintf(c.stderr, "outhook: the operation goes on without this command: see `outhook operations show %[1]s`, "+
			"pause it with `outhook operations pause %[1]s`, give it up with `outhook operations cancel %[1]s`\n", o.ID)
	}
	return exitError(exitFailed)
}

// await shows the progress of an operation until it has ended or ctx does, and returns what was known of it last, in a
// as it came. Trouble with the server or the way to it is told once, and tried again.
func await(c *command, api *client.Client, o *client.Operation, a *client.Answer) (*client.Operation, error) {
	bar := &operationBar{}
	if isTerminal(c.stderr) {
		bar.w = c.stderr
	}
	defer bar.close()

	fmt.Fprintf(c.stderr, "operation %s is running; Ctrl-C leaves it running\n", o.ID)

	for failed := false; !hasEnded(o); {
		bar.show(o)
		waitFor(c.ctx, recoverInterval)

		var newer client.Answer
		now, err := api.GetOperation(c.ctx, o.ID, client.WithAnswer(&newer), client.Once())
		err = explained(c.ctx, err)

		switch {
		case c.ctx.Err() != nil:
			return o, nil // stopped by the user
		case err == nil:
			o, *a, failed = now, newer, false
		case !passing(err):
			return o, fmt.Errorf("asking for the operation %s, which goes on: %w", o.ID, err)
		case !failed:
			failed = true
			bar.close()
			fmt.Fprintf(c.stderr, "outhook: %v; trying again\n", err)
		}
	}

	return o, nil
}

// operationBar draws how far an operation is, without an end as long as nothing is counted. Without a writer it draws
// nothing.
type operationBar struct {
	w       io.Writer
	bar     *progressbar.ProgressBar
	counted bool
}

func (b *operationBar) show(o *client.Operation) {
	if b.w == nil {
		return
	}

	total, done, counted := -1, o.ReplayedCount+o.SkippedCount, o.TotalCount != nil && *o.TotalCount > 0
	if counted {
		total = max(*o.TotalCount, done) // more may match than in the beginning
	}

	if b.bar == nil || b.counted != counted {
		b.close()
		b.counted = counted
		b.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(b.w), progressbar.OptionUseANSICodes(true),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("deliveries"),
			progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionSetWidth(30))
	}

	what := "replaying"
	switch {
	case o.State == "paused":
		what = "paused"
	case o.LastError != nil:
		what = "in trouble, trying again"
	case done == total:
		what = "waiting for outcomes that are recorded late"
	}

	b.bar.Describe(what)
	if counted {
		b.bar.ChangeMax(total)
	}
	_ = b.bar.Set(done) // fails if the terminal is gone
}

// close wipes the bar off.
func (b *operationBar) close() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}
