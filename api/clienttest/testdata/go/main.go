// Command quickstart makes the calls of the quick start with a client that oapi-codegen has made.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"example.com/quickstart/outhook"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("TENANT"), os.Getenv("RECEIVER")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, tenant, receiver string) error {
	withKey := func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+os.Getenv("OUTHOOK_API_KEY"))
		return nil
	}
	client, err := outhook.NewClientWithResponses(os.Getenv("OUTHOOK_URL"), outhook.WithRequestEditorFn(withKey))
	if err != nil {
		return err
	}

	endpoint, err := client.CreateEndpointWithResponse(ctx, &outhook.CreateEndpointParams{}, outhook.NewEndpoint{
		TenantId: &tenant, Url: receiver,
	})
	if err != nil {
		return err
	}
	if endpoint.JSON201 == nil {
		return fmt.Errorf("creating an endpoint: %s", endpoint.Body)
	}

	var payload any = map[string]any{"id": 17, "amount": 4200}
	event, err := client.CreateEventWithResponse(ctx, &outhook.CreateEventParams{}, outhook.NewEvent{
		TenantId: &tenant, Type: "invoice.paid", Payload: payload,
	})
	if err != nil {
		return err
	}
	if event.JSON202 == nil {
		return fmt.Errorf("sending an event: %s", event.Body)
	}

	delivery, err := settled(ctx, client, tenant, event.JSON202.Id)
	if err != nil {
		return err
	}
	if err := changes(ctx, client, tenant, endpoint.JSON201.Id); err != nil {
		return err
	}
	fmt.Println(delivery.State)
	return nil
}

// settled waits until the delivery of an event has ended.
func settled(ctx context.Context, client *outhook.ClientWithResponses, tenant string, event uuid.UUID,
) (*outhook.Delivery, error) {
	for {
		list, err := client.ListDeliveriesWithResponse(ctx, &outhook.ListDeliveriesParams{TenantId: &tenant, EventId: &event})
		switch {
		case err != nil:
			return nil, err
		case list.JSON200 == nil:
			return nil, fmt.Errorf("listing deliveries: %s", list.Body)
		case len(list.JSON200.Items) == 1 && list.JSON200.Items[0].State != outhook.DeliveryStatePending:
			return &list.JSON200.Items[0], nil
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// changes sets a limit and takes it away again, and looks for the endpoint by its metadata.
func changes(ctx context.Context, client *outhook.ClientWithResponses, tenant string, id uuid.UUID) error {
	name := id.String()
	changed, err := client.UpdateEndpointWithResponse(ctx, name, &outhook.UpdateEndpointParams{}, outhook.EndpointChange{
		RateLimit: nullable.NewNullableWithValue(outhook.RateLimit{Requests: 10}),
		Metadata:  nullable.NewNullableWithValue(map[string]*string{"plan": new("gold")}),
	})
	switch {
	case err != nil:
		return err
	case changed.JSON200 == nil || changed.JSON200.RateLimit.IsNull():
		return fmt.Errorf("limiting an endpoint: %s", changed.Body)
	}

	metadata := map[string]string{"plan": "gold"}
	list, err := client.ListEndpointsWithResponse(ctx, &outhook.ListEndpointsParams{TenantId: &tenant, Metadata: &metadata})
	switch {
	case err != nil:
		return err
	case list.JSON200 == nil || len(list.JSON200.Items) != 1:
		return fmt.Errorf("listing endpoints: %s", list.Body)
	}

	changed, err = client.UpdateEndpointWithResponse(ctx, name, &outhook.UpdateEndpointParams{}, outhook.EndpointChange{
		RateLimit:     nullable.NewNullNullable[outhook.RateLimit](),
		RetrySchedule: nullable.NewNullNullable[outhook.EndpointChange_RetrySchedule](),
	})
	switch {
	case err != nil:
		return err
	case changed.JSON200 == nil || !changed.JSON200.RateLimit.IsNull():
		return errors.New("the limit is still there: " + string(changed.Body))
	}
	return nil
}
