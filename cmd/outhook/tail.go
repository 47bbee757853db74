package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
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

// tailPage is the answer of GET /api/attempts.
type tailPage struct {
	Items      []json.RawMessage `json:"items"`
	NextCursor string            `json:"next_cursor"`
	More       bool              `json:"more"`
}

// Run prints attempts as they happen until ctx ends. Trouble with the server or the way to it is told once, and tried
// again.
func (cmd *tailCmd) Run(c *command) error {
	api, err := cmd.client()
	if err != nil {
		return err
	}

	query := url.Values{}
	set(query, "tenant_id", cmd.Tenant)
	set(query, "endpoint_id", cmd.Endpoint)
	set(query, "type", cmd.Type)
	set(query, "outcome", strings.Join(cmd.Outcome, ","))
	set(query, "since", cmd.Since.text())

	seen := map[string]time.Time{}
	colour := colourful(c.stdout)

	for failures := 0; ; {
		_, page, err := get[tailPage](c.ctx, api, "/api/attempts", query)

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

		if err := cmd.print(c, page.Items, seen, colour); err != nil {
			return err
		}

		query.Set("cursor", page.NextCursor)
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
	if _, ok := errors.AsType[unreachableError](err); ok {
		return true
	}
	refused, ok := errors.AsType[*apiError](err)
	return ok && (refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests)
}

func waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// print prints the attempts that were not printed yet. The real outcome of an unknown attempt is printed too.
func (cmd *tailCmd) print(c *command, items []json.RawMessage, seen map[string]time.Time, colour bool) error {
	now := time.Now()

	for _, raw := range items {
		var a attemptAnswer
		if err := decode(raw, &a); err != nil {
			return err
		}

		key := fmt.Sprintf("%s %s %d %s", a.EventID, a.EndpointID, a.Number, a.Outcome)
		_, known := seen[key]
		seen[key] = now

		switch {
		case known:
		case cmd.JSON:
			if err := printLine(c.stdout, raw); err != nil {
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

func printTail(w io.Writer, a attemptAnswer, colour bool) {
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

	line := fmt.Sprintf("%s %-3s %8s  #%d  %s  %s  %s  %s", outcome, number(a.StatusCode), a.duration(), a.Number,
		printable(a.TenantID), printable(a.Type), a.EventID, a.EndpointID)

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
