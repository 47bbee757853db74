package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

// attemptsOf returns a list of attempts, without what was answered.
func attemptsOf(c *command, list page[client.Attempt]) (all []client.Attempt, err error) {
	_, err = eachPage(c, list, pageSize, func(items []client.Attempt, _ []json.RawMessage) (int, error) {
		all = append(all, items...)
		return pageSize, nil
	})
	return all, err
}

// attemptsOfEvent lists the attempts of an event; bodies: with what was answered.
func attemptsOfEvent(c *command, api *client.Client, id string, bodies bool) page[client.Attempt] {
	return func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Attempt], error) {
		params := client.ListEventAttemptsParams{Limit: limit, Cursor: cursor, Bodies: bodies}
		return api.ListEventAttempts(c.ctx, id, params, o...)
	}
}

func printAttempts(w io.Writer, list []client.Attempt) {
	t := newTable(w, []string{"ENDPOINT", "NUMBER", "STARTED", "DURATION", "PHASES", "OUTCOME", "STATUS", "ERROR"})
	for _, a := range list {
		t.row(a.EndpointID, fmt.Sprint(a.Number), timeOrDash(&a.StartedAt), duration(a.DurationMS),
			phases(a.DNSUs, a.ConnectUs, a.TLSUs, a.FirstByteUs), a.Outcome, number(a.StatusCode), text(a.Error))
	}
	t.flush()
}

func duration(ms *int) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%d ms", *ms)
}

// phases tells how long the parts of an attempt took, of those that there were.
func phases(dns, connect, tls, firstByte *int) string {
	var parts []string
	for _, part := range []struct {
		name string
		us   *int
	}{{"dns", dns}, {"connect", connect}, {"tls", tls}, {"first byte", firstByte}} {
		if part.us != nil {
			parts = append(parts, fmt.Sprintf("%s %.1f", part.name, float64(*part.us)/1000))
		}
	}

	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ") + " ms"
}

func showTest(w io.Writer, a *client.Tested) {
	pairs := []string{
		"event", a.EventID, "endpoint", a.EndpointID, "attempt", fmt.Sprint(a.Number),
		"started", timeOrDash(&a.StartedAt), "duration", duration(a.DurationMS),
		"phases", phases(a.DNSUs, a.ConnectUs, a.TLSUs, a.FirstByteUs),
		"outcome", a.Outcome, "status", number(a.StatusCode), "error", text(a.Error), "address", text(a.RemoteAddr),
	}
	pairs = append(pairs, mapPairs("answer's ", a.ResponseHeaders)...)
	fields(w, append(pairs, "answer", text(a.ResponseBody))...)
}

type attemptsCmd struct {
	apiFlags

	EventID uuid.UUID `arg:"" help:"The event's id."`
}

// Run lists the attempts of an event, oldest first.
func (a *attemptsCmd) Run(c *command) error {
	api, err := a.client()
	if err != nil {
		return err
	}

	list := attemptsOfEvent(c, api, a.EventID.String(), a.JSON)
	if !a.JSON {
		all, err := attemptsOf(c, list)
		if err == nil {
			printAttempts(c.stdout, all)
		}
		return err
	}

	_, err = eachPage(c, list, pageSize, func(_ []client.Attempt, raw []json.RawMessage) (int, error) {
		for _, item := range raw {
			if err := printLine(c.stdout, item); err != nil {
				return 0, err
			}
		}
		return pageSize, nil
	})
	return err
}
