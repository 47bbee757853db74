package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
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

// spoiler does something else with an answer of the API than to hand it on.
type spoiler func(w http.ResponseWriter, status int, body []byte)

func cutOff(w http.ResponseWriter, _ int, _ []byte) { panic(http.ErrAbortHandler) }

// cutInside ends in the middle of the body.
func cutInside(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func badGateway(w http.ResponseWriter, _ int, _ []byte) { w.WriteHeader(http.StatusBadGateway) }

func busy(w http.ResponseWriter, _ int, _ []byte) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"code":"outcome_unknown","status":503,"detail":"the outcome is not known"}`)
}

// behindProxy returns a client whose requests reach the API, and whose first answers are spoilt; and the headers of the
// requests.
func (b *testBundle) behindProxy(spoilt []spoiler, options ...client.Option) (*client.Client, *[]http.Header) {
	b.t.Helper()
	var mu sync.Mutex
	var sent []http.Header
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, r.Header.Clone())

		in := httptest.NewRecorder()
		b.api.ServeHTTP(in, r)
		if len(sent) <= len(spoilt) {
			spoilt[len(sent)-1](w, in.Code, in.Body.Bytes())
			return
		}
		maps.Copy(w.Header(), in.Header())
		w.WriteHeader(in.Code)
		_, _ = w.Write(in.Body.Bytes())
	}))
	b.t.Cleanup(proxy.Close)
	c, err := client.New(proxy.URL, adminKey, options...)
	require.NoError(b.t, err)
	return c, &sent
}

// What was carried out, and whose answer got lost, is not carried out again.
func TestClientRepeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()

	made := 0
	for name, spoilt := range map[string][]spoiler{
		"cut": {cutOff}, "cut inside": {cutInside}, "502": {badGateway}, "503": {busy}, "three": {cutOff, badGateway, cutInside},
	} {
		c, sent := b.behindProxy(spoilt)
		var a client.Answer
		endpoint, err := c.CreateEndpoint(ctx, client.NewEndpoint{TenantID: "acme", URL: "https://example.com/" + url.PathEscape(name)},
			client.CreateEndpointParams{}, client.WithAnswer(&a))
		require.NoError(t, err, name)
		made++
		require.Equal(t, made, b.count(`SELECT count(*) FROM outhook.endpoints`), name)
		require.Len(t, *sent, len(spoilt)+1)
		require.NotEmpty(t, endpoint.Secret)
		require.Equal(t, 201, a.Status)
		require.Equal(t, "true", a.Header.Get(replayed))
		require.Contains(t, string(a.Body), endpoint.Secret)
	}

	// An event is its own key's; whose it is says the caller, or the client.
	event := client.NewEvent{TenantID: "acme", Type: "a.b", Payload: json.RawMessage(`1`)}
	c, sent := b.behindProxy([]spoiler{cutOff})
	stored, err := c.CreateEvent(ctx, event, client.CreateEventParams{})
	require.NoError(t, err)
	require.True(t, stored.Duplicate)
	require.Equal(t, (*sent)[0].Get(idempotencyKey), (*sent)[1].Get(idempotencyKey))
	for _, keyed := range []bool{true, false} {
		event.IdempotencyKey = nil
		if keyed {
			event.IdempotencyKey = new("mine")
		}
		c, sent = b.behindProxy([]spoiler{cutOff})
		_, err := c.CreateEvents(ctx, client.NewBatch{Events: []client.NewEvent{event}}, client.CreateEventsParams{})
		require.Equal(t, keyed, err == nil)
		require.Len(t, *sent, map[bool]int{true: 2, false: 1}[keyed])
	}
	event.IdempotencyKey = new("mine")
	c, sent = b.behindProxy([]spoiler{cutOff})
	_, err = c.CreateEvent(ctx, event, client.CreateEventParams{})
	require.NoError(t, err)
	require.NotContains(t, (*sent)[1], idempotencyKey)
	require.Equal(t, 3, b.count(`SELECT count(*) FROM outhook.events`))
}

// What may have been carried out, and has nothing that says that it is the same, is sent once.
func TestClientDoesNotRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, id := t.Context(), b.newEndpoint("acme", "").String()
	create := client.NewEndpoint{TenantID: "acme", URL: "https://example.com"}
	change := client.EndpointChange{Description: client.Set("x")}
	for name, tc := range map[string]struct {
		call    func(*client.Client) error
		options []client.Option
		sent    int
	}{
		"Once": {func(c *client.Client) error {
			_, err := c.CreateEndpoint(ctx, create, client.CreateEndpointParams{}, client.Once())
			return err
		}, nil, 1},
		"Never": {func(c *client.Client) error {
			_, err := c.CreateEndpoint(ctx, create, client.CreateEndpointParams{})
			return err
		}, []client.Option{client.WithRepeats(0)}, 1},
		"IfMatch": {func(c *client.Client) error {
			_, err := c.UpdateEndpoint(ctx, id, change, client.UpdateEndpointParams{IfMatch: "*"})
			return err
		}, nil, 1},
		"Do": {func(c *client.Client) error {
			_, err := c.Do(ctx, client.Request{Method: "POST", Path: "/api/endpoints/" + id + "/test"})
			return err
		}, nil, 1},
		"WithBody": {func(c *client.Client) error {
			_, err := c.CreateEvent(ctx, client.NewEvent{}, client.CreateEventParams{},
				client.WithBody([]byte(`{"tenant_id":"acme","type":"a.b","payload":1,"idempotency_key":"k"}`)))
			return err
		}, nil, 1},
		"AChange": {func(c *client.Client) error {
			_, err := c.UpdateEndpoint(ctx, id, change, client.UpdateEndpointParams{})
			return err
		}, nil, 2},
		"AKeyOfYours": {func(c *client.Client) error {
			_, err := c.Do(ctx, client.Request{
				Method: "POST", Path: "/api/endpoints", Body: []byte(`{"tenant_id":"acme","url":"https://example.com/do"}`),
				Header: http.Header{idempotencyKey: {"mine"}},
			})
			return err
		}, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, sent := b.behindProxy([]spoiler{badGateway}, tc.options...)
			err := tc.call(c)
			require.Len(t, *sent, tc.sent)
			if tc.sent > 1 {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, client.ErrNotOuthook)
			require.NotContains(t, (*sent)[0], idempotencyKey)
		})
	}
}

// Two read an endpoint and change it: the second one is told, and nothing is lost.
func TestClientLosesNoUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := client.New(b.server.URL, adminKey)
	require.NoError(t, err)
	ctx, id := t.Context(), b.newEndpoint("acme", "").String()
	get := func(etag string) (*client.Endpoint, error) {
		return c.GetEndpoint(ctx, id, client.GetEndpointParams{IfNoneMatch: etag})
	}

	ours, err := get("")
	require.NoError(t, err)
	theirs, err := get("")
	require.NoError(t, err)
	require.NotEmpty(t, ours.ETag)
	_, err = get(ours.ETag)
	require.ErrorIs(t, err, client.ErrNotModified)

	changed, err := c.UpdateEndpoint(ctx, id, client.EndpointChange{Description: client.Set("theirs")},
		client.UpdateEndpointParams{IfMatch: theirs.ETag})
	require.NoError(t, err)
	require.NotEqual(t, ours.ETag, changed.ETag)

	refused := func(err error) {
		t.Helper()
		var refusal *client.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, 412, refusal.Status)
		require.Equal(t, "precondition_failed", refusal.Code)
	}
	_, err = c.UpdateEndpoint(ctx, id, client.EndpointChange{Description: client.Set("ours")},
		client.UpdateEndpointParams{IfMatch: ours.ETag})
	refused(err)
	_, err = c.PutEndpoint(ctx, id, client.NewEndpoint{URL: "https://example.com"}, client.PutEndpointParams{IfMatch: ours.ETag, TenantID: "acme"})
	refused(err)
	refused(c.DeleteEndpoint(ctx, id, client.DeleteEndpointParams{IfMatch: ours.ETag}))

	now, err := get(ours.ETag)
	require.NoError(t, err)
	require.Equal(t, "theirs", now.Description)
	require.Equal(t, changed.ETag, now.ETag)
	require.NoError(t, c.DeleteEndpoint(ctx, id, client.DeleteEndpointParams{IfMatch: now.ETag}))
}

// A payload keeps its bytes on the way to the API, too, and a body that is not given is none.
func TestClientSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := client.New(b.server.URL, adminKey)
	require.NoError(t, err)
	ctx := t.Context()
	const payload = "{\"html\" : \"<b>&\u2028\",\n \"payload\":null, \"n\": 1.50}"
	event := client.NewEvent{TenantID: `"payload":null`, Type: "a.b", Payload: json.RawMessage(payload)}

	one, err := c.CreateEvent(ctx, event, client.CreateEventParams{})
	require.NoError(t, err)
	many, err := c.CreateEvents(ctx, client.NewBatch{Events: []client.NewEvent{event, event}}, client.CreateEventsParams{})
	require.NoError(t, err)
	for _, id := range []string{one.ID, many.Results[0].ID, many.Results[1].ID} {
		have, err := c.GetEvent(ctx, id)
		require.NoError(t, err)
		require.True(t, bytes.Equal(event.Payload, have.Payload), "%s", have.Payload)
		require.Equal(t, event.TenantID, have.TenantID)
	}
	event.Payload = json.RawMessage(`{`)
	_, err = c.CreateEvent(ctx, event, client.CreateEventParams{})
	require.ErrorContains(t, err, "the payload is not JSON")

	rotated, err := c.RotateSecret(ctx, b.newEndpoint("acme", "").String(), nil, client.RotateSecretParams{})
	require.NoError(t, err)
	require.NotEmpty(t, rotated.Secret)
}

// The page shows a part of a program that compiles.
func TestClientPageShowsTheExample(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/clients.md")
	require.NoError(t, err)
	shown := regexp.MustCompile("(?s)```go\n(.+?)```").FindSubmatch(page)
	require.NotNil(t, shown)
	program, err := os.ReadFile("client/example_test.go")
	require.NoError(t, err)
	require.Contains(t, regexp.MustCompile(`(?m)^\t`).ReplaceAllString(string(program), ""), string(shown[1]))
}

// Whoever imports the client gets nothing else.
func TestClientNeedsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}",
		"./client").Output()
	require.NoError(t, err)
	require.Equal(t, "github.com/outhook/outhook/api/client", strings.TrimSpace(string(out)))
}
