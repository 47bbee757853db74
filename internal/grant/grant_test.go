package grant_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/grant"
)

func TestDecodeOrder(t *testing.T) {
	t.Parallel()
	order, err := grant.DecodeOrder([]byte(`{"capabilities": ["replay", "replay"], "expires_in_s": 60}`), "acme")
	require.NoError(t, err)
	require.Equal(t, "acme", order.TenantID)
	require.Equal(t, time.Minute, order.Lasts)
	require.Equal(t, []string{"view", "replay"}, order.Grant.Capabilities)
	require.True(t, order.Grant.Can(grant.Replay))
	require.True(t, order.Grant.Can(grant.View))
	require.False(t, order.Grant.Can(grant.Test))
	require.False(t, order.Grant.Can(""))

	for _, body := range []string{
		`{}`, `{"tenant_id": "acme", "capabilities": ["all"]}`, `{"tenant_id": "acme", "expires_in_s": 59}`,
		`{"tenant_id": "acme", "label": "a\u0007"}`, `{"tenant_id": "acme", "return_url": "javascript:alert(1)"}`,
		`{"tenant_id": "acme", "origins": ["https://app.example.com/page"]}`, `{"tenant_id": "acme", "colour": "red"}`,
	} {
		_, err := grant.DecodeOrder([]byte(body), "")
		require.Error(t, err, body)
	}
}

func TestParseOrigin(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://App.example.com:443/": "https://app.example.com",
		"https://app.example.com:8443": "https://app.example.com:8443",
		"http://localhost:80":          "http://localhost", "http://127.0.0.1:8080": "http://127.0.0.1:8080",
	} {
		got, err := grant.ParseOrigin(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{
		"", "*", "app.example.com", "http://app.example.com", "https://*.example.com", "https://a.example;b",
		"https://u@a.example",
	} {
		_, err := grant.ParseOrigin(text)
		require.Error(t, err, text)
	}
}
