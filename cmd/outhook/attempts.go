package main

import (
	"encoding/json"
	"fmt"
	"io"
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
	Items []json.RawMessage `json:"items"`
}

// of returns the attempts of one endpoint.
func (p attemptPage) of(endpointID uuid.UUID) (list []json.RawMessage) {
	for _, raw := range p.Items {
		var a attemptAnswer
		if json.Unmarshal(raw, &a) == nil && a.EndpointID == endpointID {
			list = append(list, raw)
		}
	}

	return list
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

	_, page, err := get[attemptPage](c.ctx, api, "/api/events/"+a.EventID.String()+"/attempts", nil)
	if err != nil {
		return err
	}

	if !a.JSON {
		printAttempts(c.stdout, page.Items)
		return nil
	}

	for _, raw := range page.Items {
		if err := printLine(c.stdout, raw); err != nil {
			return err
		}
	}
	return nil
}
