package main

import (
	"fmt"
	"io"

	"github.com/outhook/outhook/api/client"
)

type findCmd struct {
	apiFlags

	Text   string `arg:"" help:"An event's id or the webhook-id of a log, the id of an endpoint or an operation, an endpoint's uid, a receiver's host, an idempotency key, or a tenant."`
	Tenant string `help:"Only what is this tenant's: required with an idempotency key, unless the key for the API is bound to a tenant."`
}

// Run finds; it exits 5 if there is nothing.
func (f *findCmd) Run(c *command) error {
	found, err := ask(c, f.apiFlags, func(api *client.Client, o client.CallOption) (*client.Findings, error) {
		return api.Find(c.ctx, client.FindParams{Q: f.Text, TenantID: f.Tenant}, o)
	}, f.show)
	if err == nil && len(found.Items) == 0 {
		return exitError(exitNotFound)
	}
	return err
}

func (f *findCmd) show(w io.Writer, found *client.Findings) {
	if len(found.Items) == 0 {
		fmt.Fprint(w, "nothing is called that: it must be whole, and not older than what is kept")
		if f.Tenant == "" {
			fmt.Fprint(w, "; an idempotency key is found with --tenant")
		}
		fmt.Fprintln(w)
		return
	}

	list := newTable(w, []string{"WHAT", "BY", "ID", "TENANT", "LABEL"})
	for _, item := range found.Items {
		list.row(item.Kind, item.By, item.ID, text(item.TenantID), item.Label)
	}
	list.flush()
	if found.More {
		fmt.Fprintln(w, "\nthere are more endpoints: see `outhook endpoints list --url-host` and `--uid`")
	}
}
