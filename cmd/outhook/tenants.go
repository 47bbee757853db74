package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/outhook/outhook/api/client"
)

type tenantsCmd struct {
	List   tenantsListCmd   `cmd:"" help:"List the tenants that have an entry, oldest first; a tenant needs none."`
	Show   tenantsShowCmd   `cmd:"" help:"Show a tenant's entry."`
	Set    tenantsSetCmd    `cmd:"" help:"Change a tenant's entry, or make it; what is not given stays as it is."`
	Delete tenantsDeleteCmd `cmd:"" help:"Delete a tenant's entry, and nothing else of the tenant."`
}

type tenantsListCmd struct {
	apiFlags
	listFlags
}

// Run lists entries.
func (l *tenantsListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListTenantsParams{Order: l.Order}
	header := []string{"TENANT", "NAME", "CONTACT", "SINCE"}
	row := func(t client.Tenant) []string { return []string{t.TenantID, t.Name, t.Contact, utc(t.CreatedAt)} }
	return list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Tenant], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListTenants(c.ctx, params, o...)
		})
}

// tenantArg is a tenant that a command is about.
type tenantArg struct {
	apiFlags

	Tenant string `arg:"" help:"The tenant, as its events and endpoints have it."`
}

type tenantsShowCmd struct{ tenantArg }

// Run shows an entry.
func (s *tenantsShowCmd) Run(c *command) error {
	_, err := ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.Tenant, error) {
		return api.GetTenant(c.ctx, s.Tenant, client.GetTenantParams{}, o)
	}, showTenant)
	return err
}

type tenantsSetCmd struct {
	tenantArg

	Name     *string           `help:"What people call it; '' for none."`
	Contact  *string           `help:"An e-mail address; '' for none."`
	Metadata map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Your own data, added to what there is; may be repeated."`
	Remove   []string          `placeholder:"NAME" help:"Names of metadata to remove, with commas."`
}

// Run changes an entry, or makes it if there is none.
func (s *tenantsSetCmd) Run(c *command) error {
	data, err := s.body()
	if err != nil {
		return err
	}

	_, err = ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.Tenant, error) {
		body := client.WithBody(data)
		t, err := api.UpdateTenant(c.ctx, s.Tenant, client.TenantChange{}, client.UpdateTenantParams{}, body, o)
		if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
			return t, err
		}
		return api.PutTenant(c.ctx, s.Tenant, client.NewTenant{}, client.PutTenantParams{IfNoneMatch: "*"}, body, o)
	}, showTenant)
	return err
}

// body is a merge patch; of an entry that is not there yet it is the whole.
func (s *tenantsSetCmd) body() ([]byte, error) {
	body, metadata := map[string]any{}, map[string]any{}
	if s.Name != nil {
		body["name"] = *s.Name
	}
	if s.Contact != nil {
		body["contact"] = *s.Contact
	}
	for name, value := range s.Metadata {
		metadata[name] = value
	}
	for _, name := range s.Remove {
		metadata[name] = nil
	}

	if len(metadata) > 0 {
		body["metadata"] = metadata
	}
	if len(body) == 0 {
		return nil, usageError{errors.New("nothing to change: give at least one flag (outhook tenants set --help)")}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding the entry: %w", err)
	}
	return data, nil
}

type tenantsDeleteCmd struct {
	tenantArg

	Yes bool `help:"Really do it: the name, the contact and the metadata are gone, and everything else stays."`
}

// Run deletes an entry.
func (d *tenantsDeleteCmd) Run(c *command) error {
	if !d.Yes {
		return usageError{errors.New("deleting the entry loses its name, contact and metadata: say --yes if that is what " +
			"you want (the tenant's endpoints, events and keys stay; `outhook erasures start` erases those)")}
	}

	api, err := d.client()
	if err != nil {
		return err
	}
	if err := api.DeleteTenant(c.ctx, d.Tenant, client.DeleteTenantParams{}); err != nil {
		return explained(c.ctx, err)
	}

	if !d.JSON {
		c.printf("deleted the entry of %s; its endpoints, events and keys are as they were "+
			"(`outhook erasures start` erases those)\n", printable(d.Tenant))
	}
	return nil
}

func showTenant(w io.Writer, t *client.Tenant) {
	pairs := []string{
		"tenant", t.TenantID, "name", t.Name, "contact", t.Contact, "created", utc(t.CreatedAt), "updated", utc(t.UpdatedAt),
	}
	fields(w, append(pairs, mapPairs("metadata ", t.Metadata)...)...)
}
