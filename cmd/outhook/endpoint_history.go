package main

import (
	"strings"

	"github.com/outhook/outhook/api/client"
)

type endpointsPastCmd struct {
	endpointArg
	listFlags
}

// Run lists what an endpoint has been.
func (e *endpointsPastCmd) Run(c *command) error {
	api, err := e.client()
	if err != nil {
		return err
	}

	params := client.ListEndpointRevisionsParams{TenantID: e.Tenant, Order: e.Order}
	header := []string{"AT", "BY", "CHANGED", "STATUS", "EVENT TYPES", "HOST", "REASON"}
	row := func(r client.EndpointRevision) []string {
		return []string{
			utc(r.At), text(r.By), changeOf(r), r.Status, typesOf(client.Endpoint{EventTypes: r.EventTypes}), text(r.Host),
			text(textOrNil(r.StatusReason)),
		}
	}

	return list(c, e.apiFlags, e.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.EndpointRevision], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListEndpointRevisions(c.ctx, e.ID, params, o...)
		})
}

// changeOf says what a revision has changed.
func changeOf(r client.EndpointRevision) string {
	switch {
	case r.FirstKnown:
		return "(nothing is known of before)"
	case len(r.Changed) == 0:
		return "created"
	}
	return strings.Join(r.Changed, ",")
}
