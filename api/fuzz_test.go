package api_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
)

// requireRefusal requires that an error is the client's fault.
func requireRefusal(t *testing.T, err error) {
	t.Helper()
	var status interface{ GetStatus() int }
	require.ErrorAs(t, err, &status)
	require.Contains(t, []int{400, 413, 422}, status.GetStatus())
}

func FuzzDecodeBatch(f *testing.F) {
	for _, payload := range nastyPayloads() {
		f.Add([]byte(`{"events":[{"tenant_id":"acme","type":"a.b","payload":` + payload + `},{"type":"a","tenant_id":"b","payload":1}]}`))
	}
	for _, body := range []string{
		``, `[]`, `{"events":[]}`, `{"events":null}`, `{"events":{}}`, `{"events":[1]}`, `{"events":[{"tenant_id":"a"`, `{"events":[],"events":[]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := api.DecodeBatch(body, outhook.MaxPayloadBytes)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		var oracle struct {
			Events []struct {
				TenantID string          `json:"tenant_id"`
				Type     string          `json:"type"`
				Payload  json.RawMessage `json:"payload"`
			} `json:"events"`
		}
		require.NoError(t, json.Unmarshal(body, &oracle))
		require.Len(t, events, len(oracle.Events))
		for i, e := range events {
			require.NoError(t, e.Validate())
			require.Equal(t, string(oracle.Events[i].Payload), string(e.Payload))
			require.Equal(t, oracle.Events[i].TenantID, e.TenantID)
			require.Equal(t, oracle.Events[i].Type, e.Type)
		}
	})
}

func fuzzCheckURL(f *testing.F) func(string) error {
	f.Helper()
	client, err := egress.New(egress.Config{})
	require.NoError(f, err)
	f.Cleanup(client.Close)
	return client.CheckURL
}

// requireStorable requires of an endpoint's row what the database and the workers rely on.
func requireStorable(t *testing.T, row db.Endpoint, checkURL func(string) error) {
	t.Helper()
	require.NoError(t, checkURL(row.URL))
	var headers, metadata map[string]string
	require.NoError(t, json.Unmarshal(row.Headers, &headers))
	require.NoError(t, json.Unmarshal(row.Metadata, &metadata))
	for name, value := range headers {
		require.NoError(t, egress.CheckHeader(name, value))
	}
	require.GreaterOrEqual(t, row.TimeoutMS, int32(1000))
	require.LessOrEqual(t, row.TimeoutMS, int32(30_000))
	if row.RetrySchedule != nil {
		require.NoError(t, retry.FromSeconds(row.RetrySchedule).Validate())
	}
	if row.RetryJitter != nil {
		require.NoError(t, retry.Jitter(*row.RetryJitter).Validate())
	}
	for _, text := range append([]string{row.TenantID, row.Description}, row.EventTypes...) {
		require.True(t, utf8.ValidString(text))
		require.NotContains(t, text, "\x00")
	}
}

func FuzzDecodeNewEndpoint(f *testing.F) {
	checkURL := fuzzCheckURL(f)
	for _, body := range []string{
		`{"tenant_id":"acme","url":"https://example.com/a"}`,
		`{"tenant_id":"acme","url":"https://example.com","event_types":["a.b","invoice.*"],"headers":{"X-A":"b"},"timeout_ms":1000,"retry_schedule":["1s","168h"],"retry_jitter":0.1}`,
		`{"tenant_id":"\u0000","url":"http://127.0.0.1"}`, `{"tenant_id":"a","url":"https://a.b","metadata":{"\ud800":"\u0000"}}`,
		`{"tenant_id":"a","url":"https://a.b","timeout_ms":1e3,"retry_schedule":[],"retry_jitter":1e0}`, `{"url":null}`, `{"secret":"whsec_"}`, `[]`, ``,
		`{"tenant_id":"a","url":"https://a.b","headers":{"Host":"x"}}`, `{"tenant_id":"a","url":"https://a.b","headers":{"X":"\r\n"}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		row, err := api.DecodeNewEndpoint(body, checkURL)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		require.NotEmpty(t, row.TenantID)
		requireStorable(t, row, checkURL)
	})
}

func FuzzDecodeEndpointChange(f *testing.F) {
	checkURL := fuzzCheckURL(f)
	for _, body := range []string{
		`{"status":"paused"}`, `{"status":null,"headers":null,"metadata":null,"event_types":null}`, `{"status":"x"}`, `{"tenant_id":"b"}`,
		`{"url":null}`, `{"description":"\u0000"}`, `{"retry_schedule":["1m","2m"]}`, `{"retry_schedule":null}`, `{}`,
		`{"retry_jitter":-0}`, `{"retry_jitter":1e-400}`, `{"retry_jitter":1e999}`, `{"retry_jitter":null}`,
	} {
		f.Add([]byte(body))
	}
	before := db.Endpoint{
		TenantID: "acme", URL: "https://example.com/a", EventTypes: []string{}, Headers: []byte(`{}`), Metadata: []byte(`{}`), TimeoutMS: 15_000,
		Status: db.EndpointStatusEnabled,
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		row, err := api.DecodeEndpointChange(body, before, checkURL)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		require.Equal(t, before.TenantID, row.TenantID)
		require.Contains(t, []db.EndpointStatus{db.EndpointStatusEnabled, db.EndpointStatusPaused, db.EndpointStatusDisabled}, row.Status)
		requireStorable(t, row, checkURL)
	})
}

func FuzzDecodeReplay(f *testing.F) {
	for _, body := range []string{``, `{}`, `{"now":true}`, `{"now":false}`, `{"now":null}`, `{"now":1}`, `{"now":true,"now":false}`, `[]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		now, err := api.DecodeReplay(body)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		if len(body) == 0 {
			require.False(t, now)
			return
		}
		var oracle struct {
			Now bool `json:"now"`
		}
		require.NoError(t, json.Unmarshal(body, &oracle))
		require.Equal(t, oracle.Now, now)
	})
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add("", 1)
	f.Add("AZ6eL5vAckG6AAAAAAAAAQ", 0)
	f.Add("AZ6eL5vAckG6AAAAAAAAAQ==", 1)
	f.Add("AZ6eL5vAckG6AAAAAAAAA\nQ", 0) // base64 skips line ends
	f.Fuzz(func(t *testing.T, cursor string, n int) {
		n = 1 + n&1
		ids, err := api.DecodeCursor(cursor, n)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		if cursor == "" {
			require.Empty(t, ids)
			return
		}
		require.Len(t, ids, n)
		require.Equal(t, cursor, api.EncodeCursor(ids), "a cursor has one form")
	})
}
