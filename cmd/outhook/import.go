package main

import (
	"context"
	"fmt"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/cmd/outhook/internal/svixapi"
)

type importCmd struct {
	Svix importSvixCmd `cmd:"" help:"Copy applications and endpoints with their secrets, headers and event types from a server of Svix."`
}

// Run copies what a server of Svix has. What is there already is changed to what Svix has, so it can be repeated. What
// is refused is in nobody's way; then it exits 1.
func (i *importSvixCmd) Run(c *command) error {
	from, err := svixapi.New(i.URL, i.Token, i.Timeout)
	if err != nil {
		return usageError{err}
	}
	api, err := apiFlags{URL: i.OuthookURL, APIKey: i.APIKey, Timeout: i.Timeout}.client()
	if err != nil {
		return err
	}

	run := &importing{importSvixCmd: i, command: c, from: from, api: api, counts: map[string]int{}}
	if err := run.run(c.ctx); err != nil {
		if run.last != "" {
			fmt.Fprintf(c.stderr, "stopped: --after %s goes on from here\n", printable(run.last))
		}
		return explained(c.ctx, err)
	}
	return nil
}

func (i *importing) run(ctx context.Context) error {
	for app, err := range i.from.Applications(ctx, i.After) {
		if err != nil {
			return err
		}
		tenant := labelOf(app)
		if err := i.keep(i.application(ctx, app, tenant)); err != nil {
			return err
		}

		for e, err := range i.from.Endpoints(ctx, app.ID) {
			if err != nil {
				return err
			}
			if err := i.keep(i.endpoint(ctx, app, tenant, e)); err != nil {
				return err
			}
		}
		i.last = app.ID
	}

	i.summarize()
	if i.counts[applyRefused] > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// labelOf returns the tenant that an application becomes. One without a uid is called by its id, so that programs which
// have stored that go on using it.
func labelOf(app svixapi.Application) string {
	if app.UID != "" {
		return app.UID
	}
	return app.ID
}

// application makes the entry of a tenant what an application is. What only Outhook knows of it stays.
func (i *importing) application(ctx context.Context, app svixapi.Application, tenant string) (*imported, error) {
	done := &imported{Kind: importedApplication, SvixID: app.ID, TenantID: tenant, Result: applyUnchanged}
	if rate := max(app.Rate, app.OldRate); rate > 0 {
		done.note("it has a rate of %d a second at Svix: tenants have none, give its endpoints one", rate)
	}

	before, err := i.api.GetTenant(ctx, tenant, client.GetTenantParams{})
	if isNothing(err) {
		done.Result = applyCreated
		if i.DryRun {
			return done, nil
		}
		entry := client.NewTenant{Name: &app.Name, Metadata: app.Metadata}
		_, err = i.api.PutTenant(ctx, tenant, entry, client.PutTenantParams{IfNoneMatch: "*"})
		return done, err
	}
	if err != nil {
		return done, err
	}

	change := map[string]any{}
	if before.Name != app.Name {
		change["name"] = app.Name
	}
	if added := lacking(before.Metadata, app.Metadata); len(added) > 0 {
		change["metadata"] = added
	}
	return done, i.change(done, change, func(o client.CallOption) error {
		_, err := i.api.UpdateTenant(ctx, tenant, client.TenantChange{}, client.UpdateTenantParams{}, o)
		return err
	})
}
