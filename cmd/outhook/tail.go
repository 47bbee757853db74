package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/outhook/outhook/api/client"
)

const (
	// tailRemember is how long tail keeps what it printed: longer than an attempt is shown again by the API (50 s).
	tailRemember = 2 * time.Minute

	maxTailBackoff = 10 * time.Second
)

type tailCmd struct {
	apiFlags

	Tenant   string        `help:"Only attempts for this tenant."`
	Endpoint string        `help:"Only attempts at this endpoint."`
	Type     string        `help:"Only attempts of this event type, or of those below one: 'invoice.*'."`
	Outcome  []string      `help:"Only these: succeeded, rejected, timed_out, unreachable, blocked, unknown; with commas."`
	Since    when          `help:"Begin at this time, or so long ago, like 10m; else with what happens from now on."`
	Interval time.Duration `default:"1s" help:"How often to ask."`
	Once     bool          `help:"Print what there is and end."`
}

// Run prints attempts as they happen until ctx ends. Trouble with the server or the way to it is told once, and tried
// again.
func (cmd *tailCmd) Run(c *command) error {
	api, err := cmd.client()
	if err != nil {
		return err
	}

	params := client.FollowAttemptsParams{
		TenantID: cmd.Tenant, EndpointID: cmd.Endpoint, Type: cmd.Type, Outcome: cmd.Outcome, Since: cmd.Since.Time,
	}
	seen := map[string]time.Time{}
	colour := colourful(c.stdout)

	for failures := 0; ; {
		var a client.Answer
		page, err := api.FollowAttempts(c.ctx, params, client.WithAnswer(&a), client.Once())
		err = explained(c.ctx, err)

		switch {
		case c.ctx.Err() != nil:
			return nil //nolint:nilerr // stopped by the user: whatever the request says of it is no failure
		case err != nil && (cmd.Once || !passing(err)):
			return err

		case err != nil:
			if failures == 0 {
				fmt.Fprintf(c.stderr, "outhook: %v; trying again\n", err)
			}
			failures++
			waitFor(c.ctx, min(time.Duration(failures)*time.Second, maxTailBackoff))
			continue

		case failures > 0:
			fmt.Fprintln(c.stderr, "outhook: connected again")
			failures = 0
		}

		if err := cmd.print(c, page.Items, a.Body, seen, colour); err != nil {
			return err
		}

		params.Cursor = page.NextCursor
		if page.More {
			continue
		}

		if cmd.Once {
			return nil
		}
		waitFor(c.ctx, cmd.Interval)
	}
}

// passing tells whether trouble may pass by itself.
func passing(err error) bool {
	var silent *client.NoAnswerError
	var strange *client.NotOuthookError
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	case errors.As(err, &strange):
		return codeOfStatus(strange.Status) == exitUnavailable || strange.Status >= http.StatusInternalServerError
	}
	return errors.As(err, &silent)
}

func waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// print prints the attempts that were not printed yet. The real outcome of an unknown attempt is printed too. body is
// the page as it came.
func (cmd *tailCmd) print(
	c *command, items []client.FollowedAttempt, body json.RawMessage, seen map[string]time.Time, colour bool,
) error {
	now := time.Now()
	raw, err := rawItems(body)
	if err != nil {
		return err
	}

	for i, a := range items {
		key := fmt.Sprintf("%s %s %d %s", a.EventID, a.EndpointID, a.Number, a.Outcome)
		_, known := seen[key]
		seen[key] = now

		switch {
		case known:
		case cmd.JSON:
			if err := printLine(c.stdout, raw[i]); err != nil {
				return err
			}
		default:
			printTail(c.stdout, a, colour)
		}
	}

	for key, at := range seen {
		if now.Sub(at) > tailRemember {
			delete(seen, key)
		}
	}

	return nil
}

func printTail(w io.Writer, a client.FollowedAttempt, colour bool) {
	outcome := fmt.Sprintf("%-11s", a.Outcome)
	if colour {
		code := 31 // red
		switch a.Outcome {
		case "succeeded":
			code = 32 // green
		case "unknown":
			code = 33 // yellow
		}
		outcome = fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, outcome)
	}

	line := fmt.Sprintf("%s %-3s %8s  #%d  %s  %s  %s  %s", outcome, number(a.StatusCode), duration(a.DurationMS),
		a.Number, printable(a.TenantID), printable(a.Type), a.EventID, a.EndpointID)

	if a.Error != nil {
		line += "  " + printable(*a.Error)
	}
	fmt.Fprintf(w, "%s  %s\n", a.StartedAt.UTC().Format(time.TimeOnly), line)
}

// colourful tells whether to colour what goes to w: a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb
// says no.
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
