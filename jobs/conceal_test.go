package jobs_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/signature"
)

// credentials are what an endpoint's receiver knows, and nobody else may see.
type credentials struct {
	token, pin string
	secrets    []signature.Secret // both live
}

// guarded makes an endpoint in the middle of a rotation, with secret headers.
func (b *testBundle) guarded(t *testing.T) (uuid.UUID, credentials) {
	t.Helper()
	id, old := b.endpoint(t)
	c := credentials{token: `s3cret/tok+en="&%41\x<end>`, pin: "47+1", secrets: []signature.Secret{old, signature.NewSecret()}}
	b.exec(t, `UPDATE outhook.endpoint_secrets SET expires_at = now() + interval '1 hour' WHERE endpoint_id = $1`, id)
	keyID, sealed := b.keyring.Seal(c.secrets[1].Bytes(), id[:])
	require.NoError(t, db.New().InsertEndpointSecret(b.ctx, b.pool, id, keyID, sealed))
	headers, err := b.keyring.SealHeaders(map[string]string{"Authorization": "Bearer " + c.token, "X-Pin": c.pin}, id[:])
	require.NoError(t, err)
	require.NoError(t, db.New().SetSecretHeaders(b.ctx, b.pool, headers, id))
	return id, c
}

// dump is what a receiver can say of a request, with all that it knows itself.
func dump(r *http.Request, c credentials) string {
	var b strings.Builder
	for name := range r.Header {
		b.WriteString(name + ": " + r.Header.Get(name) + "\r\n")
	}
	for _, s := range c.secrets {
		b.WriteString("secret: " + s.Reveal() + " " + hex.EncodeToString(s.Bytes()) + "\r\n")
	}
	return b.String()
}

func asJSON(s string) string {
	text, err := json.Marshal(map[string]string{"got": s})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Receivers echo what they got, in an encoding of theirs. Of what is kept nothing may hold a credential: the answers are shown
// to those who may only read.
func TestCredentialsInAnAnswerAreNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, known := b.guarded(t)
	echoes := map[string]func(string) string{
		"AsIs":       func(s string) string { return s },
		"JSON":       asJSON,
		"JSONInJSON": func(s string) string { return asJSON(asJSON(s)) },
		"Percent":    url.PathEscape,
		"Form":       url.QueryEscape,
		"HTML":       html.EscapeString,
		"Hex":        func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HexUpper":   func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"Base64":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"Base64URL":  func(s string) string { return "x" + base64.RawURLEncoding.EncodeToString([]byte("ab"+s)) },
		"Base64JSON": func(s string) string { return asJSON(base64.StdEncoding.EncodeToString([]byte(asJSON(s)))) },
	}
	var order []string
	for name := range echoes {
		order = append(order, name)
	}
	var n atomic.Int64
	b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
		echo := echoes[order[int(n.Add(1)-1)%len(order)]]
		w.Header().Set("Content-Type", "text/plain; token="+url.QueryEscape(known.token))
		w.Header().Set("Server", asJSON(r.Header.Get("Webhook-Signature")))
		w.Header().Set("X-Request-Id", strings.Repeat("x", 240)+r.Header.Get("Authorization"))
		w.Write([]byte(echo(dump(r, known))))
	})
	for range order {
		b.enqueue(t, `{}`)
	}
	b.start(t, b.config(t))

	b.awaitAttempts(t, id, len(order))
	for _, kept := range b.keptAnswers(t, id) {
		require.Contains(t, kept.body, "[redacted]")
		requireConcealed(t, b, known, kept.body)
		requireConcealed(t, b, known, kept.headers)
		require.Contains(t, kept.headers, `"content-type": "text/plain; token=[redacted]"`)
		require.Contains(t, kept.headers, `"x-request-id": "`+strings.Repeat("x", 240)+`[redacted]"`)
	}
}

// Wherever a credential stands when what is kept of a body ends, nothing of it is kept.
func TestACredentialAtTheEndOfWhatIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, known := b.guarded(t)
	var n atomic.Int64
	b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1) - 1)
		text := []string{
			r.Header.Get("Authorization"), r.Header.Get("Webhook-Signature"), known.secrets[i%2].Reveal(), "x-pin: " + known.pin,
		}[i%4]
		before := 1024 - (i/4)*3
		if (i/4)%2 > 0 {
			text = base64.StdEncoding.EncodeToString([]byte(text))
		}
		if w.Header().Set("Content-Length", "4000"); (i/4)%3 > 0 {
			w.Header().Del("Content-Length") // of one in three the connection breaks
		}
		w.Write([]byte(strings.Repeat("-", before) + text))
	})
	const events = 60
	for range events {
		b.enqueue(t, `{}`)
	}
	b.start(t, b.config(t))

	b.awaitAttempts(t, id, events)
	for _, kept := range b.keptAnswers(t, id) {
		require.NotContains(t, kept.body, "Bea")
		requireConcealed(t, b, known, kept.body)
	}
}

type keptAnswer struct{ body, headers string }

func (b *testBundle) keptAnswers(t *testing.T, endpointID uuid.UUID) (kept []keptAnswer) {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, `SELECT coalesce(response_body, ''), coalesce(response_headers::text, '')
		FROM outhook.delivery_attempts WHERE endpoint_id = $1`, endpointID)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var k keptAnswer
		require.NoError(t, rows.Scan(&k.body, &k.headers))
		kept = append(kept, k)
	}
	require.NoError(t, rows.Err())
	return kept
}

func (b *testBundle) awaitAttempts(t *testing.T, endpointID uuid.UUID, n int) {
	t.Helper()
	var count int
	eventually(t, func() bool {
		err := b.pool.QueryRow(b.ctx, `SELECT count(*) FROM outhook.delivery_attempts WHERE endpoint_id = $1`, endpointID).Scan(&count)
		require.NoError(t, err)
		return count >= n
	}, func() any { return count })
}

// requireConcealed reads a text in the ways of the receivers above and looks for the credentials.
func requireConcealed(t *testing.T, b *testBundle, c credentials, text string) {
	t.Helper()
	forbidden := []string{c.token, c.token[:6], `Pin: ` + c.pin[:1], `pin: ` + c.pin[:1]}
	for _, s := range c.secrets {
		forbidden = append(forbidden, s.Reveal()[6:12], string(s.Bytes()), hex.EncodeToString(s.Bytes())[:12])
	}
	for _, r := range b.receiver.received() {
		for one := range strings.SplitSeq(r.header.Get("Webhook-Signature"), " ") {
			forbidden = append(forbidden, one[3:9])
		}
	}
	for _, reading := range readings(text, 3) {
		for _, f := range forbidden {
			require.NotContains(t, reading, f, text)
		}
	}
}

func readings(text string, depth int) []string {
	list := []string{text}
	if depth == 0 {
		return list
	}
	path, _ := url.PathUnescape(text)
	form, _ := url.QueryUnescape(text)
	for _, r := range []string{path, form, html.UnescapeString(text), strings.ReplaceAll(text, `\`, "")} {
		if r != text {
			list = append(list, readings(r, depth-1)...)
		}
	}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(`[]{}":=,;`, r) }) {
		for skip := range min(4, len(part)) {
			run := part[skip : skip+(len(part)-skip)/4*4]
			if raw, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(run)); err == nil && len(raw) > 8 {
				list = append(list, readings(string(raw), depth-1)...)
			}
		}
		if raw, err := hex.DecodeString(part[:len(part)/2*2]); err == nil && len(raw) > 8 {
			list = append(list, string(raw))
		}
	}
	return list
}
