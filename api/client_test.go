package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/client"
)

func TestClient(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxEndpoints = 1 })
	c, err := client.New(b.server.URL+"/", adminKey)
	require.NoError(t, err)
	ctx := t.Context()

	endpoint, err := c.CreateEndpoint(ctx, client.NewEndpoint{
		TenantID: "acme", URL: "https://example.com/hook", Description: new("first"), RetrySchedule: []string{"1m"},
	}, client.CreateEndpointParams{})
	require.NoError(t, err)
	require.NotEmpty(t, endpoint.Secret)
	require.Equal(t, "first", endpoint.Description)

	for range 5 {
		stored, err := c.CreateEvent(ctx, client.NewEvent{
			TenantID: "acme", Type: "a.b", Payload: json.RawMessage(`{"a":1.0}`),
		}, client.CreateEventParams{})
		require.NoError(t, err)
		event, err := c.GetEvent(ctx, stored.ID)
		require.NoError(t, err)
		require.Equal(t, `{"a":1.0}`, string(event.Payload), "as it was sent")
	}

	t.Run("ListsHavePages", func(t *testing.T) {
		t.Parallel()
		seen := map[string]bool{}
		for event, err := range client.All(func(cursor string) (*client.Page[client.Event], error) {
			return c.ListEvents(ctx, client.ListEventsParams{TenantID: "acme", Limit: 2, Cursor: cursor})
		}) {
			require.NoError(t, err)
			seen[event.ID] = true
		}
		require.Len(t, seen, 5)
	})

	t.Run("ChangesOnlyWhatIsGiven", func(t *testing.T) {
		t.Parallel()
		changed, err := c.UpdateEndpoint(ctx, endpoint.ID, client.EndpointChange{
			TimeoutMS: client.Set(2000), RetrySchedule: client.Reset[any](),
		}, client.UpdateEndpointParams{})
		require.NoError(t, err)
		require.Equal(t, 2000, changed.TimeoutMS)
		require.Nil(t, changed.RetrySchedule)
		require.Equal(t, "first", changed.Description)
	})

	t.Run("RefusalsHaveCodes", func(t *testing.T) {
		t.Parallel()
		_, err := c.CreateEndpoint(ctx, client.NewEndpoint{TenantID: "acme", URL: "https://example.com"}, client.CreateEndpointParams{})
		var refusal *client.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "endpoint_limit", refusal.Code)
		require.Equal(t, 409, refusal.Status)

		_, err = c.CreateEndpoint(ctx, client.NewEndpoint{TenantID: "acme"}, client.CreateEndpointParams{})
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "invalid_request", refusal.Code)
		require.Contains(t, err.Error(), "body.url")
		err = c.DeleteEndpoint(ctx, "../keys", client.DeleteEndpointParams{})
		require.ErrorContains(t, err, "the request is invalid; path.id must be an endpoint's id")
	})

	t.Run("AnotherServer", func(t *testing.T) {
		t.Parallel()
		for _, address := range []string{"", "localhost:1", "ftp://example.com", "https://"} {
			_, err := client.New(address, "k")
			require.Error(t, err, address)
		}
		_, err := client.New(b.server.URL, "")
		require.Error(t, err)

		gone := httptest.NewServer(nil)
		gone.Close()
		c, err := client.New(gone.URL, "k")
		require.NoError(t, err)
		_, err = c.GetStats(ctx, client.GetStatsParams{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "/api/stats")

		for _, status := range []int{200, 302, 404, 502} {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				_, _ = w.Write([]byte("<html>"))
			}))
			t.Cleanup(proxy.Close)
			c, err := client.New(proxy.URL, "k")
			require.NoError(t, err)
			_, err = c.GetStats(ctx, client.GetStatsParams{})
			require.ErrorIs(t, err, client.ErrNotOuthook, status)
		}
	})
}

// Whoever imports the client gets nothing else.
func TestClientNeedsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}",
		"./client").Output()
	require.NoError(t, err)
	require.Equal(t, "github.com/outhook/outhook/api/client", strings.TrimSpace(string(out)))
}
