package jobs_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbtest"
)

// cloudEvent is what an SDK of the CNCF has read.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Type            string    `json:"type"`
	Source          string    `json:"source"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            string    `json:"data"` // the bytes of the body
}

// The SDKs of the CNCF read what an endpoint with the format cloudevents gets, and it verifies as ever.
func TestCloudEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const owner, payload = "a/b ü%", "{\"a\" : 1e400,\t\"a\": \"\\u00e9 é\"\n}"
	endpointID, secret := b.endpoint(t, withTenant(owner), func(p *db.InsertEndpointParams) {
		p.Format = "cloudevents"
		p.Headers = json.RawMessage(`{"ce-id": "another", "ce-subject": "s3cret"}`)
	})
	var eventID uuid.UUID
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', $2::text)`, owner, payload).Scan(&eventID))
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	got := b.receiver.received()[0]

	require.Equal(t, payload, string(got.body)) //nolint:testifylint // byte for byte
	verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.body, got.header))
	require.Equal(t, "/tenants/a%252Fb%2520%25C3%25BC%2525", got.header.Get("ce-source"))
	kept := string(b.attempts(t, eventID)[0].RequestHeaders)
	require.Contains(t, kept, `"ce-id": "`+eventID.String()+`"`)
	require.Contains(t, kept, `"ce-subject": "[redacted]"`)

	want := cloudEvent{
		SpecVersion: "1.0", ID: eventID.String(), Type: "invoice.paid", Source: got.header.Get("ce-source"),
		DataContentType: "application/json", Data: payload,
	}
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT created_at FROM outhook.events WHERE id = $1`, eventID).Scan(&want.Time))
	want.Time = want.Time.UTC()
	for name, parse := range map[string]func(*testing.T, *http.Request) []byte{"JavaScript": byNode, "Go": byGo} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/hook", bytes.NewReader(got.body))
			require.NoError(t, err)
			req.Header = got.header.Clone()
			var parsed cloudEvent
			require.NoError(t, json.Unmarshal(parse(t, req), &parsed))
			parsed.Time = parsed.Time.UTC()
			if name == "JavaScript" { // a Date has milliseconds
				require.Equal(t, want.Time.Truncate(time.Millisecond), parsed.Time)
				parsed.Time = want.Time
			}
			require.Equal(t, want, parsed)
		})
	}
}

// byNode returns what the package cloudevents of npm makes of a request.
func byNode(t *testing.T, req *http.Request) []byte {
	t.Helper()
	node, err := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "cloudevents"))
	dbtest.RequireTool(t, "Node, or npm ci in jobs/"+nodeDir+",", err == nil && missing == nil)
	cmd := exec.CommandContext(t.Context(), node, "cloudevent.mjs")
	cmd.Dir, cmd.Stderr, cmd.Stdin = nodeDir, t.Output(), bytes.NewReader(asSent(t, req))
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

// byGo returns what cloudevents/sdk-go makes of it, in a module of its own.
func byGo(t *testing.T, req *http.Request) []byte {
	t.Helper()
	result := filepath.Join(t.TempDir(), "event")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^TestCloudEvent$", ".")
	cmd.Dir = "../docs/languages"
	cmd.Env = append(os.Environ(), "GOWORK=off", "OUTHOOK_TEST_REQUEST="+string(asSent(t, req)), "OUTHOOK_TEST_RESULT="+result)
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, string(out))
	event, err := os.ReadFile(result)
	require.NoError(t, err, string(out))
	return event
}

// asSent returns a request as it is sent, in HTTP/1.1.
func asSent(t *testing.T, req *http.Request) []byte {
	t.Helper()
	clone := req.Clone(req.Context())
	body, err := req.GetBody()
	require.NoError(t, err)
	clone.Body = body
	var b bytes.Buffer
	require.NoError(t, clone.Write(&b))
	return b.Bytes()
}
