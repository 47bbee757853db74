package cloudevent_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/cloudevent"
)

// A header for each attribute, and no other.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for tenantID, source := range map[string]string{
		"acme": "/tenants/acme", "a/b": "/tenants/a%252Fb", "é %": "/tenants/%25C3%25A9%2520%2525", "a:b@c": "/tenants/a:b@c",
	} {
		header := http.Header{"Ce-Id": {"another"}}
		cloudevent.Event{
			ID: "1", Type: "invoice.paid", TenantID: tenantID, At: time.Date(2026, 3, 1, 10, 30, 0, 123456000, time.FixedZone("", 3600)),
		}.AddTo(header)
		require.Equal(t, http.Header{
			"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"invoice.paid"}, "Ce-Source": {source},
			"Ce-Time": {"2026-03-01T09:30:00.123456Z"},
		}, header)
		for name := range header {
			require.True(t, cloudevent.IsHeader(name))
		}
	}
	require.False(t, cloudevent.IsHeader("Ce-Subject"))
}
