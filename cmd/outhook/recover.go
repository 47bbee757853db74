package main

import (
	"github.com/outhook/outhook/api/client"
)

type recoverCmd struct {
	apiFlags

	Endpoint  string   `arg:"" help:"The endpoint's id, or its uid."`
	Tenant    string   `help:"Whose endpoint it is: required with a uid, unless the key is bound to a tenant."`
	Since     when     `required:"" help:"Deliveries that failed or were cancelled at this time or later: like 2026-01-02T15:04:05Z, or how long ago, like 90m or 7d."`
	Until     when     `help:"And before this time, in the same forms. Now unless given."`
	EventType []string `help:"Only these types, with commas: invoice.paid,order.*"`
	State     []string `help:"Only deliveries in these states: failed, cancelled; with commas. Both unless given."`
	Missed    bool     `help:"Deliver also the events that were enqueued while the endpoint was disabled."`
	DryRun    bool     `help:"Order nothing: count what would be delivered again."`
	NoWait    bool     `help:"Do not wait until it is completed."`
}

// Run orders what an endpoint missed again and waits until the operation has ended. Only that it is completed is
// success.
func (r *recoverCmd) Run(c *command) error {
	if r.DryRun {
		params := client.PreviewRecoverParams{
			TenantID: r.Tenant, Since: r.Since.Time, Until: r.Until.Time, EventTypes: r.EventType, States: r.State,
			Missed: r.Missed,
		}
		_, err := ask(c, r.apiFlags, func(api *client.Client, o client.CallOption) (*client.Preview, error) {
			return api.PreviewRecover(c.ctx, r.Endpoint, params, o)
		}, showPreview)
		return err
	}

	order := client.NewRecover{
		Since: r.Since.Time, Until: r.Until.orNil(), EventTypes: r.EventType, States: r.State, Missed: &r.Missed,
	}
	return operate(c, r.apiFlags, !r.NoWait,
		func(api *client.Client, o client.CallOption) (*client.Operation, error) {
			return api.RecoverEndpoint(c.ctx, r.Endpoint, order, client.RecoverEndpointParams{TenantID: r.Tenant}, o)
		})
}
