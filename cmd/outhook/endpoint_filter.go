package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/outhook/outhook/api/client"
)

// parseFilter reads a filter as a flag gives it, ” being none. The API checks what it says.
func parseFilter(text string) (json.RawMessage, error) {
	filter := json.RawMessage(cmp.Or(text, "null"))
	if !json.Valid(filter) {
		return nil, usageError{errors.New(`--filter: the value is not JSON, like '{"data":{"amount":{"$gte":1000}}}'`)}
	}
	return filter, nil
}

type endpointsTryCmd struct {
	apiFlags

	Filter     string `arg:"" help:"The filter: '{\"data\":{\"amount\":{\"$gte\":1000}}}'."`
	Tenant     string `help:"Whose events: required, unless the key is bound to a tenant."`
	Labels     string `help:"Labels with commas that it is for; all unless given."`
	EventTypes string `help:"Types with commas that it is for: invoice.paid,order.*; all unless given."`
}

// Run tries a filter on past events.
func (e *endpointsTryCmd) Run(c *command) error {
	filter, err := parseFilter(e.Filter)
	if err != nil {
		return err
	}

	trial := client.FilterTrial{
		TenantID: e.Tenant, EventTypes: splitList(e.EventTypes), Labels: splitList(e.Labels), Filter: filter,
	}
	_, err = ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.FilterPreview, error) {
		return api.PreviewFilter(c.ctx, trial, o)
	}, func(w io.Writer, p *client.FilterPreview) {
		fmt.Fprintf(w, "%d of the last %d events, which go back to %s\n", p.Wanted, p.Events, timeOrDash(p.Since))
		if p.Unreadable > 0 {
			fmt.Fprintf(w, "%d of them have no payload that a filter can look into\n", p.Unreadable)
		}
	})
	return err
}
