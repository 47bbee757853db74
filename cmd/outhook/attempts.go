package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// attemptAnswer is what the command shows of an attempt.
type attemptAnswer struct {
	EventID         uuid.UUID         `json:"event_id"`
	EndpointID      uuid.UUID         `json:"endpoint_id"`
	TenantID        string            `json:"tenant_id"`
	Type            string            `json:"type"`
	Number          int32             `json:"number"`
	Trigger         string            `json:"trigger"`
	StartedAt       time.Time         `json:"started_at"`
	DurationMS      *int32            `json:"duration_ms"`
	Outcome         string            `json:"outcome"`
	StatusCode      *int32            `json:"status_code"`
	Error           *string           `json:"error"`
	RemoteAddr      *string           `json:"remote_addr"`
	ResponseHeaders map[string]string `json:"response_headers"`
	ResponseBody    *string           `json:"response_body"`
}

// attemptPage is the answer of a list of attempts.
type attemptPage struct {
	Items      []json.RawMessage `json:"items"`
	NextCursor string            `json:"next_cursor"`
}

// attemptsPath is the list of an event's attempts.
func attemptsPath(eventID uuid.UUID) string { return "/api/events/" + eventID.String() + "/attempts" }

// eachAttempt calls do with the attempts of a list, page by page; bodies: with what was answered.
func eachAttempt(c *command, api *client, path string, bodies bool, do func([]json.RawMessage) error) error {
	query := url.Values{"limit": {"200"}}
	if bodies {
		query.Set("bodies", "true")
	}

	for {
		_, page, err := get[attemptPage](c.ctx, api, path, query)
		if err != nil {
			return err
		}
		if err := do(page.Items); err != nil || page.NextCursor == "" {
			return err
		}
		query.Set("cursor", page.NextCursor)
	}
}

// attemptsOf returns the attempts of a list, without what was answered.
func attemptsOf(c *command, api *client, path string) (list []json.RawMessage, err error) {
	err = eachAttempt(c, api, path, false, func(items []json.RawMessage) error {
		list = append(list, items...)
		return nil
	})
	return list, err
}

func printAttempts(w io.Writer, list []json.RawMessage) {
	t := newTable(w, []string{"ENDPOINT", "NUMBER", "STARTED", "DURATION", "OUTCOME", "STATUS", "ERROR"})

	for _, raw := range list {
		var a attemptAnswer
		if json.Unmarshal(raw, &a) == nil {
			t.row(a.EndpointID.String(), fmt.Sprint(a.Number), timeOrDash(&a.StartedAt), a.duration(),
				a.Outcome, number(a.StatusCode), text(a.Error))
		}
	}

	t.flush()
}

func (a attemptAnswer) duration() string {
	if a.DurationMS == nil {
		return "-"
	}
	return fmt.Sprintf("%d ms", *a.DurationMS)
}

func showAttempt(w io.Writer, a attemptAnswer) {
	pairs := []string{
		"event", a.EventID.String(), "endpoint", a.EndpointID.String(), "attempt", fmt.Sprint(a.Number),
		"started", timeOrDash(&a.StartedAt), "duration", a.duration(),
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

	if !a.JSON {
		list, err := attemptsOf(c, api, attemptsPath(a.EventID))
		if err == nil {
			printAttempts(c.stdout, list)
		}
		return err
	}

	return eachAttempt(c, api, attemptsPath(a.EventID), true, func(items []json.RawMessage) error {
		for _, raw := range items {
			if err := printLine(c.stdout, raw); err != nil {
				return err
			}
		}
		return nil
	})
}
