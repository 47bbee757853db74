package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/catalog"
)

type triggerCmd struct {
	apiFlags

	Type    string            `arg:"" help:"The event type, like invoice.paid."`
	Tenant  string            `help:"The tenant whose endpoints get it. An API key that is bound to one needs none."`
	Example int               `default:"1" help:"Which of the type's examples, from 1."`
	Labels  string            `help:"Labels with commas, by which endpoints with labels choose."`
	Header  map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header of each request, like x-source=billing; may be repeated."`
	Set     []string          `sep:"none" placeholder:"NAME=VALUE" help:"Change a member of the example: amount=1, or lines.0.sku=a. A value that is no JSON is a text."`
}

// Run sends an example as an event like any other: it is stored, and all endpoints get it that are subscribed.
func (t *triggerCmd) Run(c *command) error {
	api, err := t.client()
	if err != nil {
		return err
	}
	payload, err := t.payload(c, api)
	if err != nil {
		return err
	}

	event := client.NewEvent{
		TenantID: t.Tenant, Type: t.Type, Payload: payload, Labels: splitList(t.Labels), Headers: t.Header,
	}
	_, err = ask(c, t.apiFlags, func(api *client.Client, o client.CallOption) (*client.Stored, error) {
		return api.CreateEvent(c.ctx, event, client.CreateEventParams{}, o)
	}, func(w io.Writer, v *client.Stored) {
		fmt.Fprintf(w, "%s  %s\n", v.ID, storedWith(v))
	})
	return err
}

// payload returns the example, with what is set.
func (t *triggerCmd) payload(c *command, api *client.Client) (json.RawMessage, error) {
	described, err := api.GetEventType(c.ctx, t.Type)
	if err != nil {
		return nil, explained(c.ctx, err)
	}
	if t.Example < 1 || t.Example > len(described.Examples) {
		return nil, usageError{fmt.Errorf("%s has %d examples in the catalogue, and no number %d: push one "+
			"(docs/catalog.md), or outhook events send a payload", t.Type, len(described.Examples), t.Example)}
	}

	payload := described.Examples[t.Example-1]
	for _, set := range t.Set {
		name, value, ok := strings.Cut(set, "=")
		if !ok || name == "" {
			return nil, usageError{errors.New("--set must be NAME=VALUE, like amount=1")}
		}
		if payload, err = catalog.Set(payload, strings.Split(name, "."), jsonOrText(value)); err != nil {
			return nil, usageError{fmt.Errorf("--set %s: %w", name, err)}
		}
	}
	return payload, nil
}

// jsonOrText returns a value that is JSON as it is, and any other as a JSON text.
func jsonOrText(value string) json.RawMessage {
	if json.Valid([]byte(value)) {
		return json.RawMessage(strings.TrimSpace(value))
	}
	text, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage(`""`) // a text can always be encoded
	}
	return slices.Clip(text)
}
