package languages_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"
)

// What a worker has sent to an endpoint with the format cloudevents is an event to the SDK of the CNCF. The test of package jobs
// that has sent it says where it is, and compares the result.
func TestCloudEvent(t *testing.T) {
	text := os.Getenv("OUTHOOK_TEST_REQUEST")
	if text == "" {
		t.Skip("TestCloudEvents of package jobs runs it")
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	require.NoError(t, err)

	event, err := cehttp.NewEventFromHTTPRequest(req)
	require.NoError(t, err)
	require.NoError(t, event.Validate())
	result, err := json.Marshal(map[string]any{
		"specversion": event.SpecVersion(), "id": event.ID(), "type": event.Type(), "source": event.Source(), "time": event.Time(),
		"datacontenttype": event.DataContentType(), "data": string(event.Data()),
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(os.Getenv("OUTHOOK_TEST_RESULT"), result, 0o600))
}
