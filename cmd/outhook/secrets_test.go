package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// webhook is one that arrived.
type webhook struct {
	header http.Header
	body   []byte
}

// receiveAll starts a receiver that hands on what it gets.
func receiveAll(t *testing.T) (url string, got chan webhook) {
	t.Helper()
	got = make(chan webhook, 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got <- webhook{r.Header, body}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func next(t *testing.T, got <-chan webhook) webhook {
	t.Helper()
	select {
	case w := <-got:
		return w
	case <-time.After(90 * time.Second):
		require.FailNow(t, "no webhook in time")
		return webhook{}
	}
}

func verifies(t *testing.T, secret string, w webhook) bool {
	t.Helper()
	parsed, err := signature.ParseSecret(secret)
	require.NoError(t, err)
	return signature.Verify([]signature.Secret{parsed}, w.header, w.body, time.Now(), time.Hour) == nil
}

// Events flow while the secret is rotated and while everything is encrypted with another key: each webhook verifies with the
// secret that a receiver has, the old one as well as the new one during the overlap, and with the new one alone after it.
func TestRotationsAreSeamless(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	oldKey, newKey := signature.NewKey(), signature.NewKey()
	base := start(t, serveArgs(url, "--encryption-key", newKey+","+oldKey)...).address(t)
	receiver, got := receiveAll(t)
	status, created := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey,
		`{"tenant_id": "acme", "url": "`+receiver+`", "secret_headers": {"authorization": "Bearer t0ken"}}`)
	require.Equal(t, http.StatusCreated, status, created)
	path, first := base+"/api/endpoints/"+created["id"].(string), created["secret"].(string)
	send := func() webhook {
		status, _ := call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id": "acme", "type": "a.b", "payload": {"n": 1}}`)
		require.Equal(t, http.StatusAccepted, status)
		w := next(t, got)
		require.Equal(t, "Bearer t0ken", w.header.Get("Authorization"))
		return w
	}
	w := send()
	require.True(t, verifies(t, first, w))

	status, rotated := call(t, http.MethodPost, path+"/rotate-secret", testAPIKey, `{"overlap_seconds": 3}`)
	require.Equal(t, http.StatusOK, status, rotated)
	second := rotated["secret"].(string)
	for w = send(); len(strings.Fields(w.header.Get(signature.HeaderSignature))) == 2; w = send() {
		require.True(t, verifies(t, first, w), "a receiver that has not changed over")
		require.True(t, verifies(t, second, w), "a receiver that has")
	}
	require.False(t, verifies(t, first, w))
	require.True(t, verifies(t, second, w))

	// A leak: the old secret ends at once, also for events that are on their way.
	status, rotated = call(t, http.MethodPost, path+"/rotate-secret", testAPIKey, `{"overlap_seconds": 0}`)
	require.Equal(t, http.StatusOK, status, rotated)
	third := rotated["secret"].(string)
	w = send()
	require.False(t, verifies(t, second, w))
	require.True(t, verifies(t, third, w))

	// The server encrypts with the new key; an older one with oldKey has left something behind.
	out, err := output(t, "secrets", "reencrypt", "--database-url", url, "--encryption-key", oldKey+","+newKey)
	require.NoError(t, err)
	require.Contains(t, out, "encrypted 1 secrets and the secret headers of 1 endpoints")
	require.Contains(t, out, "and 0 stored answers")
	require.True(t, verifies(t, third, send()))
	out, err = output(t, "secrets", "reencrypt", "--database-url", url, "--encryption-key", newKey)
	require.ErrorIs(t, err, exitError(1))
	require.Contains(t, out, "encrypted 0 secrets")
	require.Contains(t, out, "left 2 that the key")
	out, err = output(t, "secrets", "reencrypt", "--database-url", url, "--encryption-key", newKey+","+oldKey)
	require.NoError(t, err)
	require.Contains(t, out, "encrypted 1 secrets")
	out, err = output(t, "secrets", "reencrypt", "--database-url", url, "--encryption-key", newKey)
	require.NoError(t, err)
	require.Contains(t, out, "encrypted 0 secrets and the secret headers of 0 endpoints")
	require.True(t, verifies(t, third, send()))
	entries := audited(t, url)
	require.Len(t, entries, 4, "one for each run")
	require.Regexp(t, `^reencrypt-secrets database outhook {"key_id": "[0-9a-f]{8}"}$`, entries[0])
	for _, text := range []string{oldKey, newKey} {
		require.NotContains(t, out, text)
		require.NotContains(t, strings.Join(entries, ""), text)
	}
	_, err = output(t, "secrets", "reencrypt", "--database-url", url, "--encryption-key", "s3cret")
	require.ErrorContains(t, err, "OUTHOOK_ENCRYPTION_KEY")
	require.NotContains(t, err.Error(), "s3cret")
}
