package server_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/signature"
)

// A process whose keys can't open what is stored would send nothing and look well. So it does not start, whatever its role,
// and no reload takes such keys.
func TestKeysThatOpenNothingAreRefused(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	right, wrong := signature.NewKey(), signature.NewKey()
	parse := func(text string) *signature.Keyring {
		keyring, err := signature.ParseKeyring(text)
		require.NoError(t, err)
		return keyring
	}
	cfg.Keyring = parse(right)
	id := cfg.Keyring.KeyID()
	p := startStoppable(t, cfg)
	t.Cleanup(func() {
		p.stop()
		require.NoError(t, <-p.done)
	})
	require.NoError(t, p.Reload(t.Context(), parse(wrong+","+right), "an-admin-key-for-tests"), "nothing is stored that needs a key")
	require.NoError(t, p.Reload(t.Context(), parse(right), "an-admin-key-for-tests"))
	code, answer := call(t, "POST", p.base+"/api/endpoints",
		`{"tenant_id":"acme","url":"https://example.com/","secret_headers":{"authorization":"Bearer t0ken"}}`)
	require.Equal(t, http.StatusCreated, code, answer)

	refused := func(err error) {
		t.Helper()
		field, ok := errors.AsType[*server.FieldError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, server.FieldKeyring, field.Field)
		require.ErrorContains(t, err, id+" (1 endpoint secrets, 1 endpoints' secret headers)")
		for _, key := range []string{right, wrong, "t0ken"} {
			require.NotContains(t, err.Error(), key)
		}
	}
	for _, roles := range []server.Roles{{API: true}, {Worker: true}} {
		other := cfg
		other.Roles, other.Keyring = roles, parse(wrong)
		srv, err := server.New(other)
		require.NoError(t, err)
		refused(srv.Run(t.Context(), nil))
	}
	refused(p.Reload(t.Context(), parse(wrong), "an-admin-key-for-tests"))
	code, answer = call(t, "GET", p.base+"/api/endpoints/"+answer["id"].(string)+"/secret", "")
	require.Equal(t, http.StatusOK, code, "the old keys stay: %v", answer)

	both := cfg
	both.Keyring = parse(wrong + "," + right)
	start(t, both)
	require.NoError(t, p.Reload(t.Context(), parse(wrong+","+right), "an-admin-key-for-tests"))
}

// What docs/security.md says of a lost key lets a process start without it; the endpoint waits for its new secret.
func TestALostKey(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../../docs/security.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "### A lost key")
	require.True(t, found)
	_, text, _ = strings.Cut(text, "```sql\n")
	text, _, _ = strings.Cut(text, "```")

	cfg := config(t)
	cfg.Roles.Worker = false
	lost := cfg.Keyring.KeyID()
	first := startStoppable(t, cfg)
	code, answer := call(t, "POST", first.base+"/api/endpoints",
		`{"tenant_id":"acme","url":"https://example.com/","secret_headers":{"authorization":"Bearer t0ken"}}`)
	require.Equal(t, http.StatusCreated, code, answer)
	first.stop()
	require.NoError(t, <-first.done)

	conn, err := pgx.Connect(t.Context(), cfg.Database.URL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), strings.ReplaceAll(text, "0a1b2c3d", lost))
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	cfg.Keyring, err = signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	base := start(t, cfg)
	endpoint := base + "/api/endpoints/" + answer["id"].(string)
	_, answer = call(t, "GET", endpoint, "")
	require.Equal(t, "paused", answer["status"])
	code, answer = call(t, "POST", endpoint+"/rotate-secret", `{}`)
	require.Equal(t, http.StatusOK, code, answer)
	code, answer = call(t, "PATCH", endpoint, `{"status":"enabled","secret_headers":{"authorization":"Bearer n3w"}}`)
	require.Equal(t, http.StatusOK, code, answer)
}
