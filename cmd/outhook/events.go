package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxPayloadRead is more than the largest payload (262,144 bytes), so that the API can say what is wrong with a larger
// one.
const maxPayloadRead = 1 << 20

type eventsCmd struct {
	Send eventsSendCmd `cmd:"" help:"Send an event."`
	List eventsListCmd `cmd:"" help:"List events, newest first unless told otherwise."`
	Show eventsShowCmd `cmd:"" help:"Show an event with its payload, deliveries and attempts."`

	ErasePayload eventsEraseCmd `cmd:"" help:"Erase the payload of an event, and what its receivers answered."`
}

type eventsSendCmd struct {
	apiFlags

	Tenant         string `arg:"" help:"The tenant whose endpoints get it."`
	Type           string `arg:"" help:"The event type, like invoice.paid."`
	Payload        string `arg:"" help:"JSON, or @FILE, or - for standard input. Its bytes are sent as they are."`
	IdempotencyKey string `help:"A second event of the tenant with this key is stored once."`
}

// Run sends an event.
func (e *eventsSendCmd) Run(c *command) error {
	payload, err := e.payload()
	if err != nil {
		return err
	}

	head := map[string]string{"tenant_id": e.Tenant, "type": e.Type}
	if e.IdempotencyKey != "" {
		head["idempotency_key"] = e.IdempotencyKey
	}
	body, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}

	// By hand: encoding/json would change the payload's bytes.
	body = bytes.Join([][]byte{bytes.TrimSuffix(body, []byte("}")), []byte(`,"payload":`), payload, []byte("}")}, nil)

	api, err := e.client()
	if err != nil {
		return err
	}
	raw, err := api.call(c.ctx, http.MethodPost, "/api/events", nil, body)
	if err != nil {
		return err
	}

	return show(c, e.apiFlags, raw, func(w io.Writer, v eventAnswer) {
		what := fmt.Sprintf("stored with %d deliveries", v.DeliveryCount)
		switch {
		case v.Duplicate:
			what = "a duplicate: an earlier event has this idempotency key"
		case v.DeliveryCount == 1:
			what = "stored with 1 delivery"
		case v.DeliveryCount == 0:
			what = "stored; no endpoint of the tenant is subscribed to this type"
		}
		fmt.Fprintf(w, "%s  %s\n", v.ID, what)
	})
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

// eventAnswer is what the command shows of an event.
type eventAnswer struct {
	ID            uuid.UUID        `json:"id"`
	TenantID      string           `json:"tenant_id"`
	Type          string           `json:"type"`
	CreatedAt     time.Time        `json:"created_at"`
	DeliveryCount int              `json:"delivery_count"`
	Duplicate     bool             `json:"duplicate"`
	Payload       json.RawMessage  `json:"payload"`
	Deliveries    []deliveryAnswer `json:"deliveries"`
}

type eventsListCmd struct {
	apiFlags
	listFlags
	timeFlags

	Tenant string `help:"Only events of this tenant."`
	Type   string `help:"Only events of this type, or of those below one: 'invoice.*'."`
	Key    string `name:"idempotency-key" help:"Only the event with this key. Needs --tenant, unless the API key is bound to one."`
}

// Run lists events.
func (l *eventsListCmd) Run(c *command) error {
	query := url.Values{}
	set(query, "tenant_id", l.Tenant)
	set(query, "type", l.Type)
	set(query, "idempotency_key", l.Key)
	l.add(query)

	header := []string{"ID", "CREATED", "TENANT", "TYPE", "DELIVERIES"}
	return list(c, l.apiFlags, l.listFlags, "/api/events", query, header, func(e eventAnswer) []string {
		return []string{e.ID.String(), timeOrDash(&e.CreatedAt), e.TenantID, e.Type, fmt.Sprint(e.DeliveryCount)}
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

	raw, err := api.call(c.ctx, http.MethodGet, "/api/events/"+s.ID.String(), nil, nil)
	if err != nil || s.JSON {
		return errors.Join(err, show(c, s.apiFlags, raw, func(io.Writer, any) {}))
	}

	attempts, err := attemptsOf(c, api, attemptsPath(s.ID))
	if err != nil {
		return err
	}

	return show(c, s.apiFlags, raw, func(w io.Writer, e eventAnswer) {
		fields(w, "id", e.ID.String(), "tenant", e.TenantID, "type", e.Type, "created", timeOrDash(&e.CreatedAt),
			"payload", string(e.Payload))
		fmt.Fprintln(w)

		deliveries := newTable(w, deliveryHeader)
		for _, d := range e.Deliveries {
			deliveries.row(d.row()...)
		}
		deliveries.flush()
		fmt.Fprintln(w)

		printAttempts(w, attempts)
	})
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

	query := url.Values{}
	if e.Force {
		query.Set("force", "true")
	}
	if _, err = api.call(c.ctx, http.MethodDelete, "/api/events/"+e.ID.String()+"/payload", query, nil); err != nil {
		return err
	}

	if !e.JSON {
		c.printf("erased the payload of %s\n", e.ID)
	}
	return nil
}
