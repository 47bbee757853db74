package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// secrets returns what GET …/secret shows.
func (b *testBundle) secrets(id uuid.UUID) (list []struct {
	Secret    string     `json:"secret"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
},
) {
	b.t.Helper()
	r := b.do("GET", "/api/endpoints/"+id.String()+"/secret", "")
	require.Equal(b.t, 200, r.status, "%s", r.body)
	require.Equal(b.t, "no-store", r.header.Get("Cache-Control"))
	list = decode[struct {
		Secrets []struct {
			Secret    string     `json:"secret"`
			CreatedAt time.Time  `json:"created_at"`
			ExpiresAt *time.Time `json:"expires_at"`
		}
	}](b.t, r).Secrets
	return list
}

func (b *testBundle) rotate(id uuid.UUID, body string) response {
	b.t.Helper()
	return b.do("POST", "/api/endpoints/"+id.String()+"/rotate-secret", body)
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("BothSignUntilTheOverlapEnds", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		before := b.secrets(id)
		require.Len(t, before, 1)
		require.Nil(t, before[0].ExpiresAt)
		got := b.requireObject(b.rotate(id, ""), 200)
		after := b.secrets(id)
		require.Len(t, after, 2)
		require.Equal(t, got["secret"], after[0].Secret)
		require.Nil(t, after[0].ExpiresAt)
		require.Equal(t, before[0].Secret, after[1].Secret)
		require.WithinDuration(t, time.Now().Add(24*time.Hour), *after[1].ExpiresAt, 5*time.Minute)
		require.Equal(t, got["previous_expires_at"], after[1].ExpiresAt.Format(time.RFC3339Nano))
		parsed, err := signature.ParseSecret(after[0].Secret)
		require.NoError(t, err)
		require.Len(t, parsed.Bytes(), 32)
	})

	t.Run("AThirdNeedsForce", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		first := b.secrets(id)[0].Secret
		require.Equal(t, 200, b.rotate(id, `{"overlap_seconds":3600}`).status)
		second := b.secrets(id)[0].Secret
		p := b.requireProblem(b.rotate(id, `{}`), 409)
		require.Contains(t, p.Detail, "force")
		require.Len(t, b.secrets(id), 2)
		require.Equal(t, 200, b.rotate(id, `{"force":true}`).status)
		live := b.secrets(id)
		require.Len(t, live, 2)
		require.Equal(t, second, live[1].Secret)
		require.NotContains(t, b.openSecrets(id), first, "erased")
	})

	t.Run("WithoutOverlapTheOldOneIsErased", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		first := b.secrets(id)[0].Secret
		got := b.requireObject(b.rotate(id, `{"overlap_seconds":0}`), 200)
		require.Nil(t, got["previous_expires_at"])
		require.Len(t, b.secrets(id), 1)
		require.NotContains(t, b.openSecrets(id), first)
	})

	t.Run("AnExpiredOneIsNotCountedAndIsErased", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		first := b.secrets(id)[0].Secret
		require.Equal(t, 200, b.rotate(id, ``).status)
		b.exec(`UPDATE outhook.endpoint_secrets SET expires_at = now() WHERE endpoint_id = $1 AND expires_at IS NOT NULL`, id)
		require.Len(t, b.secrets(id), 1)
		require.Equal(t, 200, b.rotate(id, ``).status)
		require.Len(t, b.secrets(id), 2)
		require.NotContains(t, b.openSecrets(id), first)
	})

	t.Run("TakesTheUsersSecret", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		secret := signature.NewSecret().Reveal()
		got := b.requireObject(b.rotate(id, `{"secret":"`+secret+`"}`), 200)
		require.Equal(t, secret, got["secret"])
		require.Equal(t, secret, b.secrets(id)[0].Secret)
		b.requireProblem(b.rotate(id, `{"secret":"`+secret+`","force":true}`), 409)
	})

	t.Run("OneAtATime", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		statuses := make(chan int, 8)
		for range cap(statuses) {
			go func() {
				r, err := b.try("POST", "/api/endpoints/"+id.String()+"/rotate-secret", "")
				if err != nil {
					r.status = 0
				}
				statuses <- r.status
			}()
		}
		count := map[int]int{}
		for range cap(statuses) {
			count[<-statuses]++
		}
		require.Equal(t, map[int]int{200: 1, 409: 7}, count)
		require.Len(t, b.secrets(id), 2)
	})

	t.Run("RefusesWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("rotate", "")
		for body, want := range map[string][2]string{
			`{"overlap_seconds":-1}`:           {"body.overlap_seconds", "0 to 2592000"},
			`{"overlap_seconds":2592001}`:      {"body.overlap_seconds", "0 to 2592000"},
			`{"overlap_seconds":"1d"}`:         {"body.overlap_seconds", "whole number"},
			`{"force":1}`:                      {"body.force", "true or false"},
			`{"secret":"whsec_c2hvcnQ="}`:      {"body.secret", "24 to 64"},
			`{"secret":"s3cret-not-base"}`:     {"body.secret", "24 to 64"},
			`{"grace":1}`:                      {"body.grace", "unknown"},
			`{"force":true,"force":false}`:     {"body.force", "twice"},
			`{"secret":"` + ofBytes(23) + `"}`: {"body.secret", "24 to 64"},
			`{"secret":"` + ofBytes(65) + `"}`: {"body.secret", "24 to 64"},
		} {
			r := b.rotate(id, body)
			b.requireFault(r, 422, want[0], want[1])
			require.NotContains(t, string(r.body), "s3cret")
		}
		for _, n := range []int{24, 64} {
			require.Equal(t, 200, b.rotate(id, `{"force":true,"secret":"`+ofBytes(n)+`"}`).status)
		}
		gone := b.newEndpoint("rotate", "")
		require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+gone.String(), "").status)
		b.requireProblem(b.rotate(gone, ``), 404)
		b.requireProblem(b.do("GET", "/api/endpoints/"+gone.String()+"/secret", ""), 404)
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.endpoint_secrets WHERE endpoint_id = $1`, gone))
	})
}

// ofBytes returns a secret's text form of n bytes.
func ofBytes(n int) string {
	s, err := signature.SecretFromBytes([]byte(strings.Repeat("k", max(24, min(n, 64)))))
	if err != nil {
		panic(err)
	}
	switch n {
	case 23:
		return "whsec_a2tra2tra2tra2tra2tra2tra2tra2s="
	case 65:
		return "whsec_" + strings.Repeat("a2tr", 21) + "a2s="
	}
	return s.Reveal()
}

func TestSecretHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stored := func(id uuid.UUID) (raw string) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT secret_headers::text FROM outhook.endpoints WHERE id = $1`, id).Scan(&raw))
		return raw
	}
	open := func(id uuid.UUID) map[string]string {
		headers, err := b.keyring.OpenHeaders([]byte(stored(id)), id[:])
		require.NoError(t, err)
		return headers
	}
	r := b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com",
		"headers":{"x-plain":"p"},"secret_headers":{"Authorization":"Bearer s3cret","X-Token":"s3cret-2"}}`)
	got := b.requireObject(r, 201)
	require.NotContains(t, string(r.body), "s3cret")
	require.Equal(t, []any{"authorization", "x-token"}, got["secret_header_names"])
	id := uuid.MustParse(got["id"].(string))
	require.NotContains(t, stored(id), "s3cret")
	require.Equal(t, map[string]string{"authorization": "Bearer s3cret", "x-token": "s3cret-2"}, open(id))

	path := "/api/endpoints/" + id.String()
	for _, r := range []response{b.do("GET", path, ""), b.do("GET", "/api/endpoints", ""), b.do("PATCH", path, `{"description":"d"}`)} {
		require.Equal(t, 200, r.status)
		require.NotContains(t, string(r.body), "s3cret")
		require.Contains(t, string(r.body), "x-token")
	}
	require.Len(t, open(id), 2, "a change of something else leaves them")

	got = b.requireObject(b.do("PATCH", path, `{"secret_headers":{"AUTHORIZATION":"Basic s3cret"}}`), 200)
	require.Equal(t, []any{"authorization", "x-token"}, got["secret_header_names"])
	require.Equal(t, map[string]string{"authorization": "Basic s3cret", "x-token": "s3cret-2"}, open(id), "merged")
	got = b.requireObject(b.do("PATCH", path, `{"secret_headers":{"X-Token":null,"x-none":null}}`), 200)
	require.Equal(t, []any{"authorization"}, got["secret_header_names"])
	require.Equal(t, map[string]string{"authorization": "Basic s3cret"}, open(id))
	for body, want := range map[string][2]string{
		`{"headers":{"Authorization":"Bearer s3cret"}}`:                {"body.headers.Authorization", "secret_headers"},
		`{"headers":{"authorization":"Bearer s3cret"}}`:                {"body.headers.authorization", "secret_headers"},
		`{"secret_headers":{"x-plain":"s3cret"}}`:                      {"body.headers.x-plain", "one value"},
		`{"secret_headers":{"x-a":"s3cret\r\nx-b: c"}}`:                {"body.secret_headers.x-a", "ASCII"},
		`{"secret_headers":{"authorization":"s3cret\n"}}`:              {"body.secret_headers.authorization", "ASCII"},
		`{"secret_headers":{"authorization":"a","Authorization":"b"}}`: {"body.secret_headers", "twice"},
		`{"secret_headers":["s3cret"]}`:                                {"body.secret_headers", "object"},
	} {
		r := b.do("PATCH", path, body)
		p := b.requireProblem(r, 422)
		require.Contains(t, p.Errors[0].Location, want[0], body)
		require.Contains(t, p.Errors[0].Message, want[1], body)
		require.NotContains(t, string(r.body), "s3cret")
	}
	for _, member := range []string{"headers", "secret_headers"} {
		for _, name := range []string{
			"Host", "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Proxy-Authorization",
			"Proxy-Connection", "Content-Type", "content-length", "Content-Encoding", "Webhook-Id", "webhook-signature", "Outhook-Attempt",
			"Cookie", "User-Agent", "a b", "", "é", "x:y",
		} {
			b.requireProblem(b.do("PATCH", path, fmt.Sprintf(`{%q:{%q:"v"}}`, member, name)), 422)
		}
	}
	require.Equal(t, map[string]string{"authorization": "Basic s3cret"}, open(id))

	got = b.requireObject(b.do("PATCH", path, `{"secret_headers":null}`), 200)
	require.Equal(t, []any{}, got["secret_header_names"])
	require.Equal(t, "{}", stored(id))
	require.Equal(t, 200, b.do("PATCH", path, `{"secret_headers":{"x-token":"s3cret"}}`).status)
	require.Equal(t, 204, b.do("DELETE", path, "").status)
	require.Equal(t, "{}", stored(id), "erased with the endpoint")
	require.NotContains(t, b.log.String(), "s3cret")
}

// A credential is given to one receiver: it does not follow its endpoint to another host by itself.
func TestSecretHeadersStayWithTheirHost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", `,"secret_headers":{"authorization":"Bearer s3cret"}`)
	path := "/api/endpoints/" + id.String()
	change := func(url, more string) response {
		return b.do("PATCH", path, fmt.Sprintf(`{"url":%q%s}`, url, more))
	}
	require.Equal(t, 200, change("https://example.com:8443/first", `,"secret_headers":{"authorization":"Bearer s3cret"}`).status)
	for _, same := range []string{"https://EXAMPLE.com:8443/second", "https://example.com:8443?a=b"} {
		require.Equal(t, 200, change(same, "").status, same)
	}
	for _, other := range []string{
		"https://example.com/second", "https://example.com:443/", "https://example.org:8443/", "https://www.example.com:8443/",
	} {
		b.requireFault(change(other, ""), 422, "body.secret_headers", "another scheme, host or port")
		b.requireFault(change(other, `,"headers":{"x-a":"b"}`), 422, "body.secret_headers", "give each of them again")
	}
	require.Equal(t, 200, change("https://example.org/", `,"secret_headers":{"authorization":"Bearer other"}`).status)
	require.Equal(t, 200, change("https://example.org:443/a", "").status, "the port of the scheme")
	require.Equal(t, 200, change("https://example.net/", `,"secret_headers":null`).status)
	require.Equal(t, 200, change("https://example.com/", "").status, "there is none")
	require.NotContains(t, b.log.String(), "s3cret")
}

func TestAChangeOfNothingIsNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := "/api/endpoints/" + b.newEndpoint("acme", "").String()
	before := b.requireObject(b.do("GET", path, ""), 200)
	require.Equal(t, before, b.requireObject(b.do("PATCH", path, `{}`), 200))
	var entries int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM outhook.audit_entries WHERE action = 'update-endpoint'`).Scan(&entries))
	require.Zero(t, entries)
}
