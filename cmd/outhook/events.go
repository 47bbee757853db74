package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

// maxPayloadRead is more than the largest payload (262,144 bytes), so that the API can say what is wrong with a larger
// one.
const maxPayloadRead = 1 << 20

type eventsCmd struct {
	Send eventsSendCmd `cmd:"" help:"Send an event."`
	List eventsListCmd `cmd:"" help:"List events, newest first unless told otherwise."`
	Show eventsShowCmd `cmd:"" help:"Show an event with its payload, deliveries and attempts."`

	Cancel       eventsCancelCmd `cmd:"" help:"Take back an event that is to be delivered later."`
	ErasePayload eventsEraseCmd  `cmd:"" help:"Erase the payload of an event, and what its receivers answered."`
}

type eventsSendCmd struct {
	apiFlags

	Tenant         string            `arg:"" help:"The tenant whose endpoints get it."`
	Type           string            `arg:"" help:"The event type, like invoice.paid."`
	Payload        string            `arg:"" help:"JSON, or @FILE, or - for standard input. Its bytes are sent as they are."`
	Labels         string            `help:"Labels with commas, by which endpoints with labels choose."`
	Header         map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header of each request, like x-source=billing; may be repeated."`
	DeliverAt      ahead             `placeholder:"24h" help:"When to deliver it: a time like 2026-01-02T15:04:05Z, or how far ahead, like 90m or 7d; 30 days at most."`
	OrderingKey    string            `placeholder:"KEY" help:"Each endpoint gets the tenant's events with the same one in order, one at a time."`
	IdempotencyKey string            `help:"A second event of the tenant with this key is stored once."`
}

// Run sends an event.
func (e *eventsSendCmd) Run(c *command) error {
	payload, err := e.payload()
	if err != nil {
		return err
	}

	event := client.NewEvent{
		TenantID: e.Tenant, Type: e.Type, Payload: payload, IdempotencyKey: textOrNil(e.IdempotencyKey),
		Labels: splitList(e.Labels), Headers: e.Header, DeliverAt: timeOrNil(e.DeliverAt.Time),
		OrderingKey: textOrNil(e.OrderingKey),
	}
	_, err = ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Stored, error) {
		return api.CreateEvent(c.ctx, event, client.CreateEventParams{}, o)
	}, func(w io.Writer, v *client.Stored) {
		what := storedWith(v)
		if v.Duplicate && e.IdempotencyKey != "" { // without it, the earlier one is ours, and its answer got lost
			what = "a duplicate: an earlier event has this idempotency key"
		}
		fmt.Fprintf(w, "%s  %s\n", v.ID, what)
	})
	return err
}

func storedWith(v *client.Stored) string {
	switch v.DeliveryCount {
	case 0:
		return "stored; no endpoint of the tenant is subscribed to this type"
	case 1:
		return "stored with 1 delivery"
	}
	return fmt.Sprintf("stored with %d deliveries", v.DeliveryCount)
}

func (e *eventsSendCmd) payload() (data []byte, err error) {
	switch {
	case e.Payload == "-":
		data, err = io.ReadAll(io.LimitReader(os.Stdin, maxPayloadRead))
	case strings.HasPrefix(e.Payload, "@"):
		var f *os.File
		if f, err = os.Open(e.Payload[1:]); err == nil {
			data, err = io.ReadAll(io.LimitReader(f, maxPayloadRead))
			_ = f.Close() // it was only read
		}
	default:
		data = []byte(e.Payload)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("reading the payload: %w", err)}
	}

	if data = bytes.TrimSpace(data); !json.Valid(data) {
		return nil, usageError{errors.New("the payload is not JSON; a text needs quotes inside: '\"text\"'")}
	}
	return data, nil
}

type eventsCancelCmd struct {
	apiFlags

	ID     string `arg:"" optional:"" help:"The event's id; or give --idempotency-key."`
	Key    string `name:"idempotency-key" help:"What it was published with. Needs --tenant, unless the API key is bound to one."`
	Tenant string `help:"The tenant of the key."`
}

// Run takes an event back.
func (e *eventsCancelCmd) Run(c *command) error {
	if (e.ID == "") == (e.Key == "") {
		return usageError{errors.New("name the event by its id, or by --idempotency-key")}
	}

	params := client.CancelEventParams{ID: e.ID, TenantID: e.Tenant, Key: e.Key}
	_, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Cancellation, error) {
		return api.CancelEvent(c.ctx, params, o)
	}, func(w io.Writer, v *client.Cancellation) {
		fmt.Fprintf(w, "%s  taken back, cancelled deliveries: %d\n", v.ID, v.Cancelled)
	})
	return err
}

type eventsListCmd struct {
	apiFlags
	listFlags
	timeFlags

	Tenant string `help:"Only events of this tenant."`
	Type   string `help:"Only events of this type, or of those below one: 'invoice.*'."`
	Label  string `help:"Only events with this label."`
	Key    string `name:"idempotency-key" help:"Only the event with this key. Needs --tenant, unless the API key is bound to one."`
}

// Run lists events.
func (l *eventsListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListEventsParams{
		TenantID: l.Tenant, Type: l.Type, Label: l.Label, IdempotencyKey: l.Key,
		Since: l.Since.Time, Until: l.Until.Time, Order: l.Order,
	}
	header := []string{"ID", "CREATED", "TENANT", "TYPE", "DELIVERIES"}
	row := func(e client.Event) []string {
		return []string{e.ID, timeOrDash(&e.CreatedAt), e.TenantID, e.Type, fmt.Sprint(e.DeliveryCount)}
	}

	return list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Event], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListEvents(c.ctx, params, o...)
		})
}

type eventsShowCmd struct {
	apiFlags

	ID uuid.UUID `arg:"" help:"The event's id."`
}

// Run shows an event.
func (s *eventsShowCmd) Run(c *command) error {
	api, err := s.client()
	if err != nil {
		return err
	}

	var a client.Answer
	e, err := api.GetEvent(c.ctx, s.ID.String(), client.WithAnswer(&a))
	if err != nil {
		return explained(c.ctx, err)
	}
	var attempts []client.Attempt
	if !s.JSON {
		if attempts, err = attemptsOf(c, attemptsOfEvent(c, api, e.ID, false)); err != nil {
			return err
		}
	}

	show(c, s.apiFlags, a.Body, e, func(w io.Writer, e *client.FullEvent) {
		pairs := []string{"id", e.ID, "tenant", e.TenantID, "type", e.Type, "created", timeOrDash(&e.CreatedAt)}
		if e.DeliverAt != nil {
			pairs = append(pairs, "deliver at", timeOrDash(e.DeliverAt))
		}
		if e.WithdrawnAt != nil {
			pairs = append(pairs, "taken back", timeOrDash(e.WithdrawnAt))
		}
		if len(e.Labels) > 0 {
			pairs = append(pairs, "labels", strings.Join(e.Labels, ","))
		}
		if e.OrderingKey != nil {
			pairs = append(pairs, "ordering key", *e.OrderingKey)
		}
		for _, name := range sortedKeys(e.Headers) {
			pairs = append(pairs, "header", name+": "+e.Headers[name])
		}
		fields(w, append(pairs, "payload", string(e.Payload))...)
		fmt.Fprintln(w)

		deliveries := newTable(w, deliveryHeader)
		for _, d := range e.Deliveries {
			deliveries.row(deliveryRow(d)...)
		}
		deliveries.flush()
		fmt.Fprintln(w)

		printAttempts(w, attempts)
	})
	return nil
}

type eventsEraseCmd struct {
	apiFlags

	ID    uuid.UUID `arg:"" help:"The event's id."`
	Yes   bool      `help:"Really do it: the payload is gone for good."`
	Force bool      `help:"Cancel the event's pending deliveries, which need it."`
}

// Run erases a payload.
func (e *eventsEraseCmd) Run(c *command) error {
	if !e.Yes {
		return usageError{errors.New("the payload can't be brought back: say --yes if that is what you want")}
	}

	api, err := e.client()
	if err != nil {
		return err
	}

	if err := api.ErasePayload(c.ctx, e.ID.String(), client.ErasePayloadParams{Force: e.Force}); err != nil {
		return explained(c.ctx, err)
	}

	if !e.JSON {
		c.printf("erased the payload of %s\n", e.ID)
	}
	return nil
}
