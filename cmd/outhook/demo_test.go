package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/catalog"
)

// worldly is a demo that runs, and who looks at it.
type worldly struct {
	t   *testing.T
	api *client.Client
}

// within waits for something to become true of the world.
func (w worldly) within(what string, isTrue func() bool) {
	w.t.Helper()
	require.Eventually(w.t, isTrue, 2*time.Minute, 200*time.Millisecond, what)
}

// endpoint waits until a tenant's endpoint is as it should be, and returns it.
func (w worldly) endpoint(tenant, uid string, is func(client.Endpoint) bool) (e client.Endpoint) {
	w.t.Helper()
	w.within(tenant+"/"+uid, func() bool {
		found, err := w.api.ListEndpoints(w.t.Context(), client.ListEndpointsParams{TenantID: tenant, UID: uid})
		require.NoError(w.t, err)
		if len(found.Items) == 1 {
			e = found.Items[0]
		}
		return len(found.Items) == 1 && is(e)
	})
	return e
}

func (w worldly) deliveries(p client.ListDeliveriesParams) []client.Delivery {
	w.t.Helper()
	page, err := w.api.ListDeliveries(w.t.Context(), p)
	require.NoError(w.t, err)
	return page.Items
}

// describes wants what the catalogue says to be true of its examples, and of the events but for one that shows what is not.
func (w worldly) describes() {
	w.t.Helper()
	types, err := w.api.ListEventTypes(w.t.Context(), client.ListEventTypesParams{})
	require.NoError(w.t, err)
	require.Len(w.t, types.Items, 10)
	for _, item := range types.Items {
		described, err := w.api.GetEventType(w.t.Context(), item.Name)
		require.NoError(w.t, err)
		schema, err := catalog.Compile(described.Schema)
		require.NoError(w.t, err)
		payloads := described.Examples
		if item.Name != "customer.updated" {
			events, err := w.api.ListEvents(w.t.Context(), client.ListEventsParams{Type: item.Name, Limit: 1})
			require.NoError(w.t, err)
			event, err := w.api.GetEvent(w.t.Context(), events.Items[0].ID)
			require.NoError(w.t, err)
			payloads = append(payloads, event.Payload)
		}
		for _, payload := range payloads {
			require.NoError(w.t, schema.Validate(payload), "%s: %s", item.Name, payload)
		}
	}
}

// The demo shows each condition that an endpoint, a delivery and an event can be in, and does not stop to.
func TestDevDemoIsAWorld(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	dev := start(t, "dev", "--demo", "--database-url", url, "--data-dir", reachableDir(t), "--listen", "127.0.0.1:0")
	base, key := strings.TrimSuffix(field(dev.line(t, "API "), 1), "/api"), field(dev.line(t, "API key"), 2)
	api, err := client.New(base, key)
	require.NoError(t, err)
	w := worldly{t, api}
	dev.line(t, "Ctrl-C")
	require.Contains(t, dev.line(t, "Console "), base+"/console/enter#")

	w.endpoint("northwind", "storefront", func(e client.Endpoint) bool { return e.Health.LastSuccessAt != nil })
	w.endpoint("northwind", "warehouse", func(e client.Endpoint) bool { return e.Lane.State == "slow" })
	w.endpoint("northwind", "analytics", func(e client.Endpoint) bool { return e.Lane.State == "limited" })
	w.endpoint("northwind", "fraud-check", func(e client.Endpoint) bool { return e.Health.LastError != nil })
	crm := w.endpoint("globex", "crm", func(e client.Endpoint) bool { return e.Health.State == "failing" })
	w.endpoint("globex", "old-crm", func(e client.Endpoint) bool {
		return e.Status == "disabled" && strings.HasPrefix(e.StatusReason, "gone")
	})
	w.endpoint("initech", "staging", func(e client.Endpoint) bool { return e.Status == "paused" })

	// Each tenant has a name, and the endpoint with a filter gets what that lets through.
	noted, err := api.ListTenants(t.Context(), client.ListTenantsParams{})
	require.NoError(t, err)
	var names []string
	for _, n := range noted.Items {
		names = append(names, n.Name)
	}
	require.Equal(t, []string{"Northwind Traders", "Globex Corporation", "Initech"}, names)
	w.describes()
	large := w.endpoint("northwind", "large-refunds", func(client.Endpoint) bool { return true })
	refunds, err := api.ListEvents(t.Context(), client.ListEventsParams{TenantID: "northwind", Type: "order.refunded"})
	require.NoError(t, err)
	require.NotEmpty(t, refunds.Items)
	for _, refund := range refunds.Items {
		var payload struct{ Data struct{ Amount float64 } }
		event, err := api.GetEvent(t.Context(), refund.ID)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(event.Payload, &payload))
		got := slices.ContainsFunc(event.Deliveries, func(d client.Delivery) bool { return d.EndpointID == large.ID })
		require.Equal(t, payload.Data.Amount >= 250, got, "%s", event.Payload)
	}

	// Something has failed for good, something waits for its retry, something for a person, and something was recovered.
	w.within("a dead letter", func() bool {
		return len(w.deliveries(client.ListDeliveriesParams{EndpointID: crm.ID, State: "failed", Reason: "exhausted"})) > 0
	})
	reports := w.endpoint("initech", "reports", func(e client.Endpoint) bool { return e.Health.LastSuccessAt != nil })
	w.within("a recover", func() bool {
		page, err := api.ListOperations(t.Context(), client.ListOperationsParams{EndpointID: reports.ID})
		require.NoError(t, err)
		return len(page.Items) == 1 && page.Items[0].State == "completed" && page.Items[0].ReplayedCount >= 3
	})
	w.within("what was recovered", func() bool {
		return len(w.deliveries(client.ListDeliveriesParams{EndpointID: reports.ID, State: "failed"})) == 0
	})
	for uid, because := range map[string]string{"fraud-check": "waiting_for_retry", "staging": "endpoint_paused"} {
		tenant := map[string]string{"fraud-check": "northwind", "staging": "initech"}[uid]
		e := w.endpoint(tenant, uid, func(client.Endpoint) bool { return true })
		w.within(because, func() bool {
			waiting := w.deliveries(client.ListDeliveriesParams{EndpointID: e.ID, State: "pending", Limit: 1})
			if len(waiting) == 0 {
				return false
			}
			why, err := api.ExplainEvent(t.Context(), waiting[0].EventID, client.ExplainEventParams{EndpointID: e.ID})
			require.NoError(t, err)
			return len(why.Items) == 1 && why.Items[0].Because == because
		})
	}

	// Nobody is subscribed to this type, and why says so of each endpoint; of one that answered 410 before, that.
	lonely, err := api.ListEvents(t.Context(), client.ListEventsParams{TenantID: "globex", Type: "session.started", Limit: 1})
	require.NoError(t, err)
	require.Len(t, lonely.Items, 1)
	require.Zero(t, lonely.Items[0].DeliveryCount)
	why, err := api.ExplainEvent(t.Context(), lonely.Items[0].ID, client.ExplainEventParams{})
	require.NoError(t, err)
	require.Len(t, why.Items, 4)
	for _, item := range why.Items {
		require.Contains(t, []string{"not_subscribed", "was_disabled"}, item.Because, item.Text)
		require.Contains(t, item.Text, "subscribed")
	}

	// It goes on, and when it ends, what was under way has had its answer.
	newest := func() string {
		page, err := api.ListEvents(t.Context(), client.ListEventsParams{Order: "desc", Limit: 1})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		return page.Items[0].ID
	}
	before := newest()
	w.within("another event", func() bool { return newest() != before })
	require.NoError(t, dev.end(t))
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var cut, strangers int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE outcome = 'unknown'),
		count(*) FILTER (WHERE status_code = 401) FROM outhook.delivery_attempts`).Scan(&cut, &strangers))
	require.Zero(t, cut)
	require.Zero(t, strangers)
	require.NotContains(t, dev.stderr.String(), "level=ERROR")
}
