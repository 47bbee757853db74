package main

import (
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

type deliveriesCmd struct {
	List   deliveriesListCmd   `cmd:"" help:"List deliveries, newest event first unless told otherwise."`
	Show   deliveriesShowCmd   `cmd:"" help:"Show a delivery with its attempts."`
	Replay replayCmd           `cmd:"" help:"Deliver again, one or many: new attempts with the whole retry schedule."`
	Cancel deliveriesCancelCmd `cmd:"" help:"Give up a pending delivery."`
}

var deliveryHeader = []string{ //nolint:gochecknoglobals // a constant list
	"EVENT", "ENDPOINT", "TENANT", "TYPE", "STATE", "REASON", "ATTEMPTS", "NEXT ATTEMPT",
}

func deliveryRow(d client.Delivery) []string {
	return []string{
		d.EventID, d.EndpointID, d.TenantID, d.Type, d.State, text(d.Reason), fmt.Sprint(d.AttemptCount),
		timeOrDash(d.NextAttemptAt),
	}
}

func showDelivery(w io.Writer, d *client.Delivery) {
	fields(w, "event", d.EventID, "endpoint", d.EndpointID, "tenant", d.TenantID, "type", d.Type,
		"created", timeOrDash(&d.CreatedAt), "state", d.State, "reason", text(d.Reason),
		"attempts", fmt.Sprint(d.AttemptCount), "failed tries", fmt.Sprint(d.TryCount),
		"next attempt", timeOrDash(d.NextAttemptAt), "settled", timeOrDash(d.CompletedAt))
}

type deliveriesListCmd struct {
	apiFlags
	listFlags
	timeFlags

	Tenant   string   `help:"Only deliveries of this tenant."`
	Endpoint string   `help:"Only deliveries to this endpoint."`
	Event    string   `help:"Only deliveries of this event."`
	Type     string   `help:"Only deliveries of this event type, or of those below one: 'invoice.*'."`
	State    string   `enum:"pending,succeeded,failed,cancelled," default:"" help:"Only deliveries in this state: pending, succeeded, failed or cancelled."`
	Reason   string   `help:"Only deliveries that are failed or cancelled for this reason, like exhausted."`
	Outcome  []string `help:"Only deliveries whose last attempt had one of these outcomes, like timed_out,unreachable."`
	Status   int      `name:"status-code" help:"Only deliveries whose last attempt was answered with this status."`
}

// Run lists deliveries.
func (l *deliveriesListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListDeliveriesParams{
		TenantID: l.Tenant, EndpointID: l.Endpoint, EventID: l.Event, Type: l.Type, State: l.State, Reason: l.Reason,
		Outcome: l.Outcome, StatusCode: l.Status, Since: l.Since.Time, Until: l.Until.Time, Order: l.Order,
	}
	return list(c, l.apiFlags, l.listFlags, deliveryHeader, deliveryRow,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Delivery], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListDeliveries(c.ctx, params, o...)
		})
}

// deliveryArg is a delivery that a command is about.
type deliveryArg struct {
	apiFlags

	EventID    uuid.UUID `arg:"" help:"The event's id."`
	EndpointID string    `arg:"" help:"The endpoint's id, or its uid."`
	Tenant     string    `help:"Whose endpoint it is: required with a uid, unless the key is bound to a tenant."`
}

type deliveriesShowCmd struct{ deliveryArg }

// Run shows a delivery.
func (s *deliveriesShowCmd) Run(c *command) error {
	api, err := s.client()
	if err != nil {
		return err
	}

	d, err := ask(c, s.apiFlags, func(_ *client.Client, o client.CallOption) (*client.Delivery, error) {
		return api.GetDelivery(c.ctx, s.EventID.String(), s.EndpointID, client.GetDeliveryParams{TenantID: s.Tenant}, o)
	}, showDelivery)
	if err != nil || s.JSON {
		return err
	}

	attempts, err := attemptsOf(c,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Attempt], error) {
			params := client.ListDeliveryAttemptsParams{Limit: limit, Cursor: cursor}
			return api.ListDeliveryAttempts(c.ctx, d.EventID, d.EndpointID, params, o...)
		})
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
	_, err := ask(c, d.apiFlags, func(api *client.Client, o client.CallOption) (*client.Delivery, error) {
		params := client.CancelDeliveryParams{TenantID: d.Tenant}
		return api.CancelDelivery(c.ctx, d.EventID.String(), d.EndpointID, params, o)
	}, showDelivery)
	return err
}
