package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
)

type auditCmd struct {
	List auditListCmd `cmd:"" help:"List what was done, newest first unless told otherwise."`
}

type auditListCmd struct {
	apiFlags
	listFlags
	timeFlags

	Tenant string `help:"Only what was done with objects of this tenant."`
	Object string `help:"Only what was done with this object: an id; of a delivery EVENT/ENDPOINT."`
	Action string `help:"Only this action, like update-endpoint or replay-delivery."`
	Key    string `help:"Only what was done with the key of this id."`
}

// Run lists the audit trail.
func (l *auditListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListAuditParams{
		TenantID: l.Tenant, ObjectID: l.Object, Action: l.Action, KeyID: l.Key,
		Since: l.Since.Time, Until: l.Until.Time, Order: l.Order,
	}
	header := []string{"AT", "ACTOR", "ACTION", "TENANT", "OBJECT", "FROM", "DETAIL"}
	row := func(e client.AuditEntry) []string {
		return []string{
			utc(e.At), e.Actor, e.Action, text(e.TenantID), e.ObjectType + " " + e.ObjectID, text(e.SourceAddress),
			detailOf(e.Detail),
		}
	}

	return list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.AuditEntry], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListAudit(c.ctx, params, o...)
		})
}

// detailOf writes what was changed on one line.
func detailOf(detail map[string]json.RawMessage) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		parts = append(parts, name+"="+string(detail[name]))
	}
	return strings.Join(parts, " ")
}
