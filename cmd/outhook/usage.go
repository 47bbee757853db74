package main

import (
	"fmt"

	"github.com/outhook/outhook/api/client"
)

type usageCmd struct {
	apiFlags

	From    when     `help:"From this time on, in whole hours: a time like 2026-01-01T00:00:00Z, or how long ago, like 90m or 7d. Default: the beginning of this month (UTC)."`
	To      when     `help:"Before this time, in the same forms. Default: now."`
	Tenant  string   `help:"Only this tenant's."`
	Type    string   `help:"Only of this event type, or invoice.* for each type below invoice."`
	GroupBy []string `enum:"hour,day,month,tenant,type,none" default:"day,tenant" help:"What is added up apart, with commas: one of hour, day and month, and tenant and type; none: nothing."`
	Limit   int      `default:"0" help:"The most items to print; 0: all."`
}

// Run prints what tenants have used.
func (u *usageCmd) Run(c *command) error {
	api, err := u.client()
	if err != nil {
		return err
	}

	params := client.ListUsageParams{
		From: u.From.Time, To: u.To.Time, TenantID: u.Tenant, Type: u.Type, GroupBy: u.GroupBy,
	}
	header := []string{"FROM", "TO", "TENANT", "TYPE", "EVENTS", "DELIVERIES", "ATTEMPTS", "PAYLOAD BYTES", "FINAL"}
	row := func(v client.Usage) []string {
		final := "no"
		if v.Final {
			final = "yes"
		}
		return []string{
			utc(v.From), utc(v.To), text(v.TenantID), text(v.Type), fmt.Sprint(v.Events), fmt.Sprint(v.Deliveries),
			fmt.Sprint(v.Attempts), fmt.Sprint(v.PayloadBytes), final,
		}
	}

	return list(c, u.apiFlags, listFlags{Limit: u.Limit}, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Usage], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListUsage(c.ctx, params, o...)
		})
}
