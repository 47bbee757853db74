package main

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

type operationsCmd struct {
	List   operationsListCmd   `cmd:"" help:"List operations (recover, replay by a filter), newest first."`
	Show   operationsShowCmd   `cmd:"" help:"Show an operation and its progress."`
	Start  operationsStartCmd  `cmd:"" help:"Replay all deliveries that match, in the background."`
	Pause  operationsPauseCmd  `cmd:"" help:"Pause an operation; what it has replayed is delivered."`
	Resume operationsResumeCmd `cmd:"" help:"Go on with a paused operation."`
	Cancel operationsCancelCmd `cmd:"" help:"Give up an operation; what it has replayed is delivered."`
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
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListOperationsParams{TenantID: l.Tenant, EndpointID: l.Endpoint, State: l.State, Order: l.Order}
	header := []string{"ID", "KIND", "STATE", "TENANT", "ENDPOINT", "MATCHED", "REPLAYED", "SKIPPED", "CREATED"}
	row := func(o client.Operation) []string {
		return []string{
			o.ID, o.Kind, o.State, orAny(o.TenantID), orAny(o.EndpointID), matched(&o), fmt.Sprint(o.ReplayedCount),
			fmt.Sprint(o.SkippedCount), timeOrDash(&o.CreatedAt),
		}
	}

	return list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Operation], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListOperations(c.ctx, params, o...)
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
	DryRun    bool     `help:"Order nothing: count what would be replayed."`
	NoWait    bool     `help:"Do not wait until it is completed."`
}

// Run replays by a filter and waits until the operation has ended. Only that it is completed is success.
func (s *operationsStartCmd) Run(c *command) error {
	if s.DryRun {
		params := client.PreviewOperationParams{
			Since: s.Since.Time, Until: s.Until.Time, TenantID: s.Tenant, EndpointID: s.Endpoint,
			EventTypes: s.EventType, States: s.State,
		}
		_, err := ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.Preview, error) {
			return api.PreviewOperation(c.ctx, params, o)
		}, showPreview)
		return err
	}

	order := client.NewReplay{
		Since: s.Since.Time, Until: s.Until.orNil(), TenantID: textOrNil(s.Tenant), EndpointID: textOrNil(s.Endpoint),
		EventTypes: s.EventType, States: s.State,
	}
	return operate(c, s.apiFlags, !s.NoWait,
		func(api *client.Client, o client.CallOption) (*client.Operation, error) {
			return api.CreateOperation(c.ctx, order, client.CreateOperationParams{}, o)
		})
}

// operationArg is an operation that a command is about.
type operationArg struct {
	apiFlags

	ID uuid.UUID `arg:"" help:"The operation's id."`
}

// show calls the API about the operation and shows what it answers.
func (a *operationArg) show(
	c *command, call func(api *client.Client, id string, o client.CallOption) (*client.Operation, error),
) error {
	_, err := ask(c, a.apiFlags, func(api *client.Client, o client.CallOption) (*client.Operation, error) {
		return call(api, a.ID.String(), o)
	}, showOperation)
	return err
}

type operationsShowCmd struct{ operationArg }

// Run shows an operation.
func (o *operationsShowCmd) Run(c *command) error {
	return o.show(c, func(api *client.Client, id string, o client.CallOption) (*client.Operation, error) {
		return api.GetOperation(c.ctx, id, o)
	})
}

type operationsPauseCmd struct{ operationArg }

// Run pauses an operation.
func (o *operationsPauseCmd) Run(c *command) error {
	return o.show(c, func(api *client.Client, id string, o client.CallOption) (*client.Operation, error) {
		return api.PauseOperation(c.ctx, id, client.PauseOperationParams{}, o)
	})
}

type operationsResumeCmd struct{ operationArg }

// Run goes on with an operation.
func (o *operationsResumeCmd) Run(c *command) error {
	return o.show(c, func(api *client.Client, id string, o client.CallOption) (*client.Operation, error) {
		return api.ResumeOperation(c.ctx, id, client.ResumeOperationParams{}, o)
	})
}

type operationsCancelCmd struct{ operationArg }

// Run gives up an operation.
func (o *operationsCancelCmd) Run(c *command) error {
	return o.show(c, func(api *client.Client, id string, o client.CallOption) (*client.Operation, error) {
		return api.CancelOperation(c.ctx, id, client.CancelOperationParams{}, o)
	})
}
