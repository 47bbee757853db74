package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

type deliveriesCmd struct {
	List   deliveriesListCmd   `cmd:"" help:"List deliveries, newest event first unless told otherwise."`
	Show   deliveriesShowCmd   `cmd:"" help:"Show a delivery with its attempts."`
	Cancel deliveriesCancelCmd `cmd:"" help:"Give up a pending delivery."`
}

// deliveryAnswer is what the command shows of a delivery.
type deliveryAnswer struct {
	EventID       uuid.UUID  `json:"event_id"`
	EndpointID    uuid.UUID  `json:"endpoint_id"`
	TenantID      string     `json:"tenant_id"`
	Type          string     `json:"type"`
	CreatedAt     time.Time  `json:"created_at"`
	State         string     `json:"state"`
	Reason        *string    `json:"reason"`
	AttemptCount  int        `json:"attempt_count"`
	TryCount      int        `json:"try_count"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	CompletedAt   *time.Time `json:"completed_at"`
}

var deliveryHeader = []string{ //nolint:gochecknoglobals // a constant list
	"EVENT", "ENDPOINT", "TENANT", "TYPE", "STATE", "REASON", "ATTEMPTS", "NEXT ATTEMPT",
}

func (d deliveryAnswer) row() []string {
	return []string{
		d.EventID.String(), d.EndpointID.String(), d.TenantID, d.Type, d.State, text(d.Reason), fmt.Sprint(d.AttemptCount),
		timeOrDash(d.NextAttemptAt),
	}
}

func showDelivery(w io.Writer, d deliveryAnswer) {
	fields(w, "event", d.EventID.String(), "endpoint", d.EndpointID.String(), "tenant", d.TenantID, "type", d.Type,
		"created", timeOrDash(&d.CreatedAt), "state", d.State, "reason", text(d.Reason),
		"attempts", fmt.Sprint(d.AttemptCount), "failed tries", fmt.Sprint(d.TryCount),
		"next attempt", timeOrDash(d.NextAttemptAt), "settled", timeOrDash(d.CompletedAt))
}

type deliveriesListCmd struct {
	apiFlags
	listFlags
	timeFlags

	Tenant   string `help:"Only deliveries of this tenant."`
	Endpoint string `help:"Only deliveries to this endpoint."`
	Event    string `help:"Only deliveries of this event."`
	Type     string `help:"Only deliveries of this event type, or of those below one: 'invoice.*'."`
	State    string `enum:"pending,succeeded,failed,cancelled," default:"" help:"Only deliveries in this state: pending, succeeded, failed or cancelled."`
	Reason   string `help:"Only deliveries that are failed or cancelled for this reason, like exhausted."`
	Outcome  string `help:"Only deliveries whose last attempt had one of these outcomes, like timed_out,unreachable."`
	Status   string `name:"status-code" help:"Only deliveries whose last attempt was answered with this status."`
}

// Run lists deliveries.
func (l *deliveriesListCmd) Run(c *command) error {
	query := url.Values{}
	set(query, "tenant_id", l.Tenant)
	set(query, "endpoint_id", l.Endpoint)
	set(query, "event_id", l.Event)
	set(query, "type", l.Type)
	set(query, "state", l.State)
	set(query, "reason", l.Reason)
	set(query, "outcome", l.Outcome)
	set(query, "status_code", l.Status)
	l.add(query)
	return list(c, l.apiFlags, l.listFlags, "/api/deliveries", query, deliveryHeader, deliveryAnswer.row)
}

// deliveryArg is a delivery that a command is about.
type deliveryArg struct {
	apiFlags

	EventID    uuid.UUID `arg:"" help:"The event's id."`
	EndpointID string    `arg:"" help:"The endpoint's id, or its uid."`
	Tenant     string    `help:"Whose endpoint it is: required with a uid, unless the key is bound to a tenant."`
}

func (a *deliveryArg) path(suffix string) string {
	return deliveryPath(a.EventID, a.EndpointID) + suffix
}

func deliveryPath(eventID uuid.UUID, endpoint string) string {
	return "/api/deliveries/" + eventID.String() + "/" + url.PathEscape(endpoint)
}

// send sends a request about the delivery and shows the answer.
func (a *deliveryArg) send(c *command, method, suffix string, query url.Values) (d deliveryAnswer, err error) {
	api, err := a.client()
	if err != nil {
		return d, err
	}

	raw, err := api.call(c.ctx, method, a.path(suffix), query, nil)
	if err != nil {
		return d, err
	}
	if err := decode(raw, &d); err != nil {
		return d, err
	}

	return d, show(c, a.apiFlags, raw, showDelivery)
}

type deliveriesShowCmd struct{ deliveryArg }

// Run shows a delivery.
func (s *deliveriesShowCmd) Run(c *command) error {
	d, err := s.send(c, http.MethodGet, "", ofTenant(s.Tenant))
	if err != nil || s.JSON {
		return err
	}

	api, err := s.client()
	if err != nil {
		return err
	}
	attempts, err := attemptsOf(c, api, deliveryPath(d.EventID, d.EndpointID.String())+"/attempts")
	if err != nil {
		return err
	}

	c.printf("\n")
	printAttempts(c.stdout, attempts)
	return nil
}

type deliveriesCancelCmd struct{ deliveryArg }

// Run cancels a delivery.
func (d *deliveriesCancelCmd) Run(c *command) error {
	_, err := d.send(c, http.MethodPost, "/cancel", ofTenant(d.Tenant))
	return err
}

type replayCmd struct {
	deliveryArg

	Now bool `help:"Bring the next attempt of a pending delivery forward to now."`
}

// Run orders a delivery again.
func (r *replayCmd) Run(c *command) error {
	query := ofTenant(r.Tenant)
	if r.Now {
		query.Set("now", "true")
	}

	_, err := r.send(c, http.MethodPost, "/replay", query)
	return err
}
