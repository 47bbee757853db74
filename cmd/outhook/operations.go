package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

type operationsCmd struct {
	List   operationsListCmd   `cmd:"" help:"List operations (recover, replay by a filter), newest first."`
	Show   operationsShowCmd   `cmd:"" help:"Show an operation and its progress."`
	Start  operationsStartCmd  `cmd:"" help:"Replay all deliveries that match, in the background."`
	Pause  operationsPauseCmd  `cmd:"" help:"Pause an operation; what it has replayed is delivered."`
	Resume operationsResumeCmd `cmd:"" help:"Go on with a paused operation."`
	Cancel operationsCancelCmd `cmd:"" help:"Give up an operation; what it has replayed is delivered."`
}

// operationAnswer is what the command shows of an operation.
type operationAnswer struct {
	ID            uuid.UUID  `json:"id"`
	Kind          string     `json:"kind"`
	State         string     `json:"state"`
	TenantID      *string    `json:"tenant_id"`
	EndpointID    *uuid.UUID `json:"endpoint_id"`
	EventTypes    []string   `json:"event_types"`
	States        []string   `json:"states"`
	Missed        bool       `json:"missed"`
	Since         time.Time  `json:"since"`
	Until         time.Time  `json:"until"`
	TotalCount    *int64     `json:"total_count"`
	ReplayedCount int64      `json:"replayed_count"`
	SkippedCount  int64      `json:"skipped_count"`
	LastError     *string    `json:"last_error"`
	CreatedAt     time.Time  `json:"created_at"`
	CompletedAt   *time.Time `json:"completed_at"`
}

// ended tells whether nothing more will come of it.
func (o operationAnswer) ended() bool { return o.State == "completed" || o.State == "cancelled" }

func (o operationAnswer) endpoint() string {
	if o.EndpointID == nil {
		return "any"
	}
	return o.EndpointID.String()
}

func (o operationAnswer) tenant() string {
	if o.TenantID == nil {
		return "any"
	}
	return *o.TenantID
}

// matched is how many deliveries matched when it began.
func (o operationAnswer) matched() string {
	if o.TotalCount == nil {
		return "not counted"
	}
	return fmt.Sprint(*o.TotalCount)
}

func showOperation(w io.Writer, o operationAnswer) {
	types := "all"
	if len(o.EventTypes) > 0 {
		types = strings.Join(o.EventTypes, ",")
	}

	states := strings.Join(o.States, ",")
	if o.Missed {
		states += ", and what was missed while it was disabled"
	}

	fields(w, "id", o.ID.String(), "kind", o.Kind, "state", o.State, "tenant", o.tenant(), "endpoint", o.endpoint(),
		"event types", types, "deliveries", states, "since", timeOrDash(&o.Since), "until", timeOrDash(&o.Until),
		"matched", o.matched(), "replayed", fmt.Sprint(o.ReplayedCount), "skipped", fmt.Sprint(o.SkippedCount),
		"last error", text(o.LastError), "created", timeOrDash(&o.CreatedAt), "ended", timeOrDash(o.CompletedAt))
}

type operationsListCmd struct {
	apiFlags
	listFlags

	Tenant   string `help:"Only operations with this tenant."`
	Endpoint string `help:"Only operations with this endpoint."`
	State    string `enum:"running,paused,completed,cancelled," default:"" help:"Only operations in this state: running, paused, completed or cancelled."`
}

// Run lists operations.
func (l *operationsListCmd) Run(c *command) error {
	query := url.Values{}
	set(query, "tenant_id", l.Tenant)
	set(query, "endpoint_id", l.Endpoint)
	set(query, "state", l.State)

	header := []string{"ID", "KIND", "STATE", "TENANT", "ENDPOINT", "MATCHED", "REPLAYED", "SKIPPED", "CREATED"}
	return list(c, l.apiFlags, l.listFlags, "/api/operations", query, header, func(o operationAnswer) []string {
		return []string{
			o.ID.String(), o.Kind, o.State, o.tenant(), o.endpoint(), o.matched(), fmt.Sprint(o.ReplayedCount),
			fmt.Sprint(o.SkippedCount), timeOrDash(&o.CreatedAt),
		}
	})
}

type operationsStartCmd struct {
	apiFlags

	Since     when     `required:"" help:"Deliveries that were settled at this time or later: like 2026-01-02T15:04:05Z, or how long ago, like 90m or 7d."`
	Until     when     `help:"And before this time, in the same forms. Now unless given."`
	Tenant    string   `help:"Only deliveries of this tenant."`
	Endpoint  string   `help:"Only deliveries to this endpoint."`
	EventType []string `help:"Only these types, with commas: invoice.paid,order.*"`
	State     []string `help:"Deliveries in these states: failed, cancelled, succeeded; with commas. Failed unless given."`
	NoWait    bool     `help:"Do not wait until it is completed."`
}

// Run replays by a filter and waits until the operation has ended. Only that it is completed is success.
func (s *operationsStartCmd) Run(c *command) error {
	api, err := s.client()
	if err != nil {
		return err
	}

	body := map[string]any{"since": s.Since.text(), "event_types": s.EventType, "states": s.State}
	if !s.Until.IsZero() {
		body["until"] = s.Until.text()
	}
	if s.Tenant != "" {
		body["tenant_id"] = s.Tenant
	}
	if s.Endpoint != "" {
		body["endpoint_id"] = s.Endpoint
	}

	return operate(c, api, s.apiFlags, "/api/operations", nil, body, !s.NoWait)
}

// operationArg is an operation that a command is about.
type operationArg struct {
	apiFlags

	ID uuid.UUID `arg:"" help:"The operation's id."`
}

func (a *operationArg) send(c *command, method, suffix string) error {
	api, err := a.client()
	if err != nil {
		return err
	}

	raw, err := api.call(c.ctx, method, "/api/operations/"+a.ID.String()+suffix, nil, nil)
	if err != nil {
		return err
	}

	return show(c, a.apiFlags, raw, showOperation)
}

type operationsShowCmd struct{ operationArg }

// Run shows an operation.
func (o *operationsShowCmd) Run(c *command) error { return o.send(c, http.MethodGet, "") }

type operationsPauseCmd struct{ operationArg }

// Run pauses an operation.
func (o *operationsPauseCmd) Run(c *command) error { return o.send(c, http.MethodPost, "/pause") }

type operationsResumeCmd struct{ operationArg }

// Run goes on with an operation.
func (o *operationsResumeCmd) Run(c *command) error { return o.send(c, http.MethodPost, "/resume") }

type operationsCancelCmd struct{ operationArg }

// Run gives up an operation.
func (o *operationsCancelCmd) Run(c *command) error { return o.send(c, http.MethodPost, "/cancel") }
