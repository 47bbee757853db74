package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

type endpointsCmd struct {
	List    endpointsListCmd   `cmd:"" help:"List endpoints, oldest first."`
	Show    endpointsShowCmd   `cmd:"" help:"Show an endpoint."`
	History endpointsPastCmd   `cmd:"" help:"List what an endpoint has been: each change of what it gets and how, by whom, newest first."`
	Create  endpointsCreateCmd `cmd:"" help:"Create an endpoint and print its secret, which is not shown again."`
	Put     endpointsPutCmd    `cmd:"" help:"Create the endpoint with a uid of yours, or make it what is given; what is not given gets its default."`
	Update  endpointsUpdateCmd `cmd:"" help:"Change an endpoint; what is not given stays as it is."`
	Pause   endpointsPauseCmd  `cmd:"" help:"Pause an endpoint: its deliveries wait."`
	Enable  endpointsEnableCmd `cmd:"" help:"Enable an endpoint: what waited goes out."`
	Disable endpointsOffCmd    `cmd:"" help:"Disable an endpoint: its pending deliveries are cancelled, new ones are not made."`
	Preview endpointsTryCmd    `cmd:"" name:"preview-filter" help:"Say how many of a tenant's last 100 events a filter would have let through."`
	Test    endpointsTestCmd   `cmd:"" help:"Send a test event, wait for its attempt and show it; exit 1 if it did not succeed."`
	Secret  endpointsSecretCmd `cmd:"" help:"Print the secrets that sign for an endpoint; the audit trail notes it."`
	Rotate  endpointsRotateCmd `cmd:"" name:"rotate-secret" help:"Replace an endpoint's secret and print the new one; both sign until the overlap ends."`
	Delete  endpointsDeleteCmd `cmd:"" help:"Delete an endpoint: its secrets are erased, its pending deliveries cancelled."`
}

type endpointsListCmd struct {
	apiFlags
	listFlags

	Tenant    string            `help:"Only endpoints of this tenant."`
	UID       string            `name:"uid" help:"Only endpoints with this uid."`
	Status    string            `enum:"enabled,paused,disabled," default:"" help:"Only endpoints with this status: enabled, paused or disabled."`
	Health    string            `enum:"healthy,failing,disabled," default:"" help:"Only endpoints that are healthy, failing or disabled."`
	URLHost   string            `name:"url-host" help:"Only endpoints whose URL has this host."`
	EventType string            `help:"Only endpoints that are subscribed to events of this type."`
	Label     string            `help:"Only endpoints with this label."`
	Metadata  map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Only endpoints with this metadata; may be repeated."`
}

// Run lists endpoints.
func (l *endpointsListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListEndpointsParams{
		TenantID: l.Tenant, UID: l.UID, Status: l.Status, Health: l.Health, URLHost: l.URLHost, EventType: l.EventType,
		Label: l.Label, Metadata: l.Metadata, Order: l.Order,
	}
	header := []string{"ID", "UID", "TENANT", "STATUS", "HEALTH", "LANE", "EVENT TYPES", "URL"}
	row := func(e client.Endpoint) []string {
		return []string{
			e.ID, text(e.UID), e.TenantID, e.Status, shortHealth(e.Health), e.Lane.State, typesOf(e), e.URL,
		}
	}

	return list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Endpoint], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListEndpoints(c.ctx, params, o...)
		})
}

type endpointsShowCmd struct{ endpointArg }

// Run shows an endpoint.
func (s *endpointsShowCmd) Run(c *command) error {
	return s.show(c, func(api *client.Client, o client.CallOption) (*client.Endpoint, error) {
		return api.GetEndpoint(c.ctx, s.ID, client.GetEndpointParams{TenantID: s.Tenant}, o)
	})
}

// memberFlags are the members of an endpoint that can be given and changed. A pointer tells what was not given.
type memberFlags struct {
	Description   *string           `help:"For people."`
	EventTypes    *string           `help:"Types with commas: invoice.paid,order.*; '' for all."`
	Filter        *string           `placeholder:"JSON" help:"Which events of these types, by their content: '{\"data\":{\"amount\":{\"$gte\":1000}}}', or '' for all."`
	Labels        *string           `help:"Labels with commas: it gets the events that have one of them; '' for all."`
	Format        *string           `placeholder:"cloudevents" help:"What its requests are: standard, or cloudevents, with ce- headers beside all others."`
	Ordered       *string           `placeholder:"block" help:"One event at a time, in the order of their ids. When a schedule is used up, block pauses the endpoint, skip goes on; empty for any order."`
	Header        map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header of each request; may be repeated. update adds them to those that there are."`
	Metadata      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Your own data; may be repeated. update adds it to what there is."`
	EndpointLimit *time.Duration    `name:"attempt-timeout" placeholder:"15s" help:"How long an attempt may take: 1s to 30s."`
	RetrySchedule *string           `help:"Delays with commas, a preset (fast, standard), or '' for one attempt only."`
	RetryJitter   *float64          `placeholder:"0.1" help:"How much longer a delay may become, from 0 to 1: with 0.1 up to 10 percent."`
	Set           map[string]string `mapsep:"none" placeholder:"MEMBER=JSON" help:"Any other member of the API, or null to set one back to its default: --set retry_schedule=null. update removes one header with --set headers='{\"NAME\":null}'."`
}

// members adds what was given to the body of a request. It is JSON that the API checks, and no type of the client's:
// --set gives any member, also one that this version of the command does not know.
func (f *memberFlags) members(body map[string]any) error {
	for name, text := range map[string]*string{
		"description": f.Description, "format": f.Format, "ordered": f.Ordered,
	} {
		if text != nil {
			body[name] = *text
		}
	}
	for name, list := range map[string]*string{"event_types": f.EventTypes, "labels": f.Labels} {
		if list != nil {
			body[name] = splitList(*list)
		}
	}

	if f.Filter != nil {
		filter, err := parseFilter(*f.Filter)
		if err != nil {
			return err
		}
		body["filter"] = filter
	}
	if f.Header != nil {
		body["headers"] = f.Header
	}
	if f.Metadata != nil {
		body["metadata"] = f.Metadata
	}

	if f.EndpointLimit != nil {
		body["timeout_ms"] = f.EndpointLimit.Milliseconds()
	}
	if f.RetrySchedule != nil {
		body["retry_schedule"] = splitList(*f.RetrySchedule)
		if name := *f.RetrySchedule; name != "" && !strings.ContainsAny(name, "0123456789") {
			body["retry_schedule"] = name // a preset
		}
	}
	if f.RetryJitter != nil {
		body["retry_jitter"] = *f.RetryJitter
	}

	for _, name := range sortedKeys(f.Set) {
		if !json.Valid([]byte(f.Set[name])) {
			return usageError{
				fmt.Errorf("--set %[1]s: the value is not JSON; a text needs quotes inside: --set '%[1]s=\"text\"'", name),
			}
		}
		body[name] = json.RawMessage(f.Set[name])
	}

	return nil
}

type endpointsCreateCmd struct {
	apiFlags
	memberFlags

	Tenant string `help:"The tenant whose events it gets: required, unless the key is bound to one."`
	UID    string `name:"uid" help:"Your own name for it, usable wherever its id is."`
	To     string `arg:"" name:"url" help:"Where to deliver: https://example.com/webhooks."`
	Secret string `secret:"" help:"The secret to sign with, whsec_...; a new one unless given."`
}

// Run creates an endpoint.
func (e *endpointsCreateCmd) Run(c *command) error {
	texts := map[string]string{"tenant_id": e.Tenant, "uid": e.UID, "secret": e.Secret}
	data, err := e.body(map[string]any{"url": e.To}, texts)
	if err != nil {
		return err
	}

	_, err = ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Endpoint, error) {
		params := client.CreateEndpointParams{}
		return api.CreateEndpoint(c.ctx, client.NewEndpoint{}, params, client.WithBody(data), o)
	}, showEndpoint)
	return err
}

// body encodes a new endpoint: what is given, and of texts those that are not empty.
func (f *memberFlags) body(body map[string]any, texts map[string]string) ([]byte, error) {
	for name, text := range texts {
		if text != "" {
			body[name] = text
		}
	}
	if err := f.members(body); err != nil {
		return nil, err
	}

	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding the endpoint: %w", err)
	}
	return data, nil
}

type endpointsPutCmd struct {
	endpointArg
	memberFlags

	To     string `arg:"" name:"url" help:"Where to deliver: https://example.com/webhooks."`
	Secret string `secret:"" help:"The secret to sign with, whsec_...; a new one unless given. An endpoint that exists keeps its own."`
}

// Run creates or replaces an endpoint.
func (e *endpointsPutCmd) Run(c *command) error {
	data, err := e.body(map[string]any{"url": e.To}, map[string]string{"tenant_id": e.Tenant, "secret": e.Secret})
	if err != nil {
		return err
	}
	return e.show(c, func(api *client.Client, o client.CallOption) (*client.Endpoint, error) {
		params := client.PutEndpointParams{TenantID: e.Tenant}
		return api.PutEndpoint(c.ctx, e.ID, client.NewEndpoint{}, params, client.WithBody(data), o)
	})
}

type endpointsUpdateCmd struct {
	endpointArg
	memberFlags

	To *string `name:"to" placeholder:"URL" help:"The new URL to deliver to."`
}

// Run changes an endpoint.
func (e *endpointsUpdateCmd) Run(c *command) error {
	body := map[string]any{}
	if e.To != nil {
		body["url"] = *e.To
	}
	if err := e.members(body); err != nil {
		return err
	}

	if len(body) == 0 {
		return usageError{errors.New("nothing to change: give at least one flag (outhook endpoints update --help)")}
	}

	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the change: %w", err)
	}
	return e.change(c, client.EndpointChange{}, client.WithBody(data))
}

type endpointsPauseCmd struct{ endpointArg }

// Run pauses an endpoint.
func (e *endpointsPauseCmd) Run(c *command) error {
	return e.change(c, client.EndpointChange{Status: client.Set("paused")})
}

type endpointsEnableCmd struct{ endpointArg }

// Run enables an endpoint.
func (e *endpointsEnableCmd) Run(c *command) error {
	return e.change(c, client.EndpointChange{Status: client.Set("enabled")})
}

type endpointsOffCmd struct{ endpointArg }

// Run disables an endpoint.
func (e *endpointsOffCmd) Run(c *command) error {
	return e.change(c, client.EndpointChange{Status: client.Set("disabled")})
}

type endpointsDeleteCmd struct {
	endpointArg

	Yes bool `help:"Really do it: its secrets are erased and its pending deliveries cancelled."`
}

// Run deletes an endpoint.
func (e *endpointsDeleteCmd) Run(c *command) error {
	if !e.Yes {
		return usageError{errors.New("deleting erases the secrets and cancels what is pending: " +
			"say --yes if that is what you want (pausing keeps both)")}
	}

	api, err := e.client()
	if err != nil {
		return err
	}
	if err := api.DeleteEndpoint(c.ctx, e.ID, client.DeleteEndpointParams{TenantID: e.Tenant}); err != nil {
		return explained(c.ctx, err)
	}

	if !e.JSON {
		c.printf("deleted %s\n", e.ID)
	}
	return nil
}

type endpointsTestCmd struct {
	endpointArg

	Type string `help:"Send the catalogue's first example of this event type."`
}

// Run sends a test event; it exits 1 unless the attempt succeeded.
func (e *endpointsTestCmd) Run(c *command) error {
	a, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Tested, error) {
		return api.TestEndpoint(c.ctx, e.ID, client.TestEndpointParams{TenantID: e.Tenant, EventType: e.Type}, o)
	}, showTest)
	if err == nil && a.Outcome != "succeeded" {
		return exitError(exitFailed)
	}
	return err
}
