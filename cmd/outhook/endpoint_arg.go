package main

import "github.com/outhook/outhook/api/client"

// endpointArg is an endpoint that a command is about.
type endpointArg struct {
	apiFlags

	ID     string `arg:"" help:"The endpoint's id, or its uid."`
	Tenant string `help:"Whose endpoint it is: required with a uid, unless the key is bound to a tenant."`
}

// show calls the API about the endpoint and shows what it answers.
func (a *endpointArg) show(
	c *command, call func(*client.Client, client.CallOption) (*client.Endpoint, error),
) error {
	_, err := ask(c, a.apiFlags, call, showEndpoint)
	return err
}

// change changes the endpoint and shows it.
func (a *endpointArg) change(c *command, change client.EndpointChange, options ...client.CallOption) error {
	return a.show(c, func(api *client.Client, o client.CallOption) (*client.Endpoint, error) {
		params := client.UpdateEndpointParams{TenantID: a.Tenant}
		return api.UpdateEndpoint(c.ctx, a.ID, change, params, append(options, o)...)
	})
}
