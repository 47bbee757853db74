package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/outhook/outhook/api/client"
)

// The program of docs/clients.md.
func Example() {
	if err := publish(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func publish(ctx context.Context) error {
	c, err := client.New("https://outhook.example.com", os.Getenv("OUTHOOK_API_KEY"))
	if err != nil {
		return err
	}
	endpoint, err := c.CreateEndpoint(ctx, client.NewEndpoint{
		TenantID: "acme", URL: "https://example.com/webhooks",
	}, client.CreateEndpointParams{})
	if err != nil {
		return err // a *client.Error has the Code, one of docs/errors.md
	}
	event, err := c.CreateEvent(ctx, client.NewEvent{
		TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17, "amount": 4200}`),
	}, client.CreateEventParams{})
	if err != nil {
		return err
	}

	_, err = fmt.Fprintln(os.Stdout, endpoint.ID, endpoint.Secret, event.ID)
	return err
}

// A change that undoes nobody else's.
func ExampleClient_UpdateEndpoint() {
	if err := rename(context.Background(), "endpoint's id"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func rename(ctx context.Context, id string) error {
	c, err := client.New("https://outhook.example.com", os.Getenv("OUTHOOK_API_KEY"))
	if err != nil {
		return err
	}

	for {
		seen, err := c.GetEndpoint(ctx, id, client.GetEndpointParams{})
		if err != nil {
			return err
		}
		_, err = c.UpdateEndpoint(ctx, id, client.EndpointChange{
			Description: client.Set(seen.Description + ", renamed"),
		}, client.UpdateEndpointParams{IfMatch: seen.ETag})

		var refused *client.Error
		if errors.As(err, &refused) && refused.Code == "precondition_failed" {
			continue // somebody was faster: look again
		}
		return err
	}
}
