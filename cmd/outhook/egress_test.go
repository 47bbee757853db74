package main

import (
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// createEndpoint asks for an endpoint with a URL and returns the status and what is said of the URL.
func createEndpoint(t *testing.T, base, key, url string) (status int, message string) {
	t.Helper()
	status, answer := call(t, http.MethodPost, base+"/api/endpoints", key, `{"tenant_id": "acme", "url": "`+url+`"}`)
	if status == http.StatusCreated {
		return status, ""
	}
	faults, ok := answer["errors"].([]any)
	require.True(t, ok, answer)
	require.Len(t, faults, 1)
	fault, ok := faults[0].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "body.url", fault["location"])
	message, ok = fault["message"].(string)
	require.True(t, ok)
	return status, message
}

func TestServeIsStrictAboutURLs(t *testing.T) {
	t.Parallel()
	base := start(t, "serve", "--database-url", migrated(t), "--listen", "127.0.0.1:0", "--api-key", testAPIKey, "--roles", "api",
		"--encryption-key", signature.NewKey()).address(t)
	for url, want := range map[string]string{
		"https://example.com/":      "",
		"https://example.com:8443/": "",
		"https://8.8.8.8/":          "",
		"http://example.com/":       "https://",
		"https://example.com:5432/": "80, 443, 8080, 8443",
		"https://127.0.0.1/":        "publicly",
		"https://[::1]/":            "publicly",
		"https://169.254.169.254/":  "publicly",
		"https://u:p@example.com/":  "user name",
		"https://localhost/":        "OUTHOOK_EGRESS_ALLOW",
		"https://app:8443/":         "OUTHOOK_EGRESS_ALLOW",
	} {
		status, message := createEndpoint(t, base, testAPIKey, url)
		if want == "" {
			require.Equal(t, http.StatusCreated, status, url)
			continue
		}
		require.Equal(t, http.StatusUnprocessableEntity, status, url)
		require.Contains(t, message, want, url)
	}
}

// Loopback is allowed here, and all ports are: the database's alone is not.
func TestServeBlocksItsDatabase(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	cfg, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	address := conn.PgConn().Conn().RemoteAddr()
	require.NoError(t, conn.Close(t.Context()))
	if _, ok := address.(*net.TCPAddr); !ok {
		t.Skip("the database is reached by a socket, which no URL leads to")
	}
	base := start(t, serveArgs(url, "--roles", "api")...).address(t)
	status, message := createEndpoint(t, base, testAPIKey, "http://"+address.String()+"/")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, message, "publicly")
	host, port, err := net.SplitHostPort(address.String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	status, _ = createEndpoint(t, base, testAPIKey, "http://"+net.JoinHostPort(host, strconv.Itoa(n-1))+"/")
	require.Equal(t, http.StatusCreated, status)
}
