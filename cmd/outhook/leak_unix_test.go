//go:build unix

package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// marks are texts that occur nowhere else, by what they are in.
type marks map[string]string

func newMarks(names ...string) marks {
	m := make(marks)
	for _, name := range names {
		m[name] = "mark" + rand.Text()[:20]
	}
	return m
}

// in returns the names of the marks that a text holds, plain or encoded, in any case.
func (m marks) in(text string) (found []string) {
	text = strings.ToLower(text)
	for name, mark := range m {
		for _, form := range []string{mark, hex.EncodeToString([]byte(mark)), base64.RawStdEncoding.EncodeToString([]byte(mark))} {
			if strings.Contains(text, strings.ToLower(form)) {
				found = append(found, name)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// leakTest is an API and a worker, each a process that logs all it can, on a database behind a proxy, with marked secrets.
type leakTest struct {
	marks    marks
	direct   *pgxpool.Pool // as the owner, past the proxy
	proxy    *toxiproxy.Proxy
	api      *worker
	worker   *worker
	receiver *httptest.Server
	key      string // of the API
	secret   string // of every endpoint
}

// These marks may be kept in these columns. Nothing else may be anywhere.
func mayKeep() map[string][]string {
	return map[string][]string{
		"events.payload":                     {"payload"},
		"endpoints.url":                      {"path", "query", "userinfo"},
		"endpoints.headers":                  {"header"},
		"delivery_attempts.response_headers": {"answer"},
		"delivery_attempts.response_body":    {"answer"},
		"report_attempts.response_headers":   {"answer"},
		"report_attempts.response_body":      {"answer"},
	}
}

func newLeakTest(t *testing.T) *leakTest {
	t.Helper()
	b := &leakTest{marks: newMarks("payload", "path", "query", "userinfo", "header", "secret header", "answer", "wrong", "database password")}
	owner := migrated(t)
	var err error
	b.direct, err = pgxpool.New(t.Context(), owner)
	require.NoError(t, err)
	t.Cleanup(b.direct.Close)
	u, err := url.Parse(asServer(t, owner))
	require.NoError(t, err)
	name := u.User.Username()
	b.exec(t, `ALTER ROLE `+name+` PASSWORD '`+b.marks["database password"]+`'`)
	b.proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "postgres", "127.0.0.1:0", u.Host)
	require.NoError(t, b.proxy.Start())
	t.Cleanup(b.proxy.Stop)
	u.User, u.Host = url.UserPassword(name, b.marks["database password"]), b.proxy.Listen

	b.receiver = httptest.NewServer(http.HandlerFunc(b.receive))
	t.Cleanup(b.receiver.Close)
	raw := make([]byte, 64)
	_, _ = rand.Read(raw)
	encryptionKey := base64.StdEncoding.EncodeToString(raw[:32])
	b.secret = "whsec_" + base64.StdEncoding.EncodeToString(raw[32:])
	b.key = rand.Text() + rand.Text()
	maps.Copy(b.marks, marks{
		"encryption key": strings.TrimRight(encryptionKey, "="), "encryption key's bytes": string(raw[:32]),
		"secret": strings.TrimPrefix(strings.TrimRight(b.secret, "="), "whsec_"), "secret's bytes": string(raw[32:]), "bootstrap key": b.key,
	})
	args := []string{"--log-level", "debug", "--api-key", b.key, "--retry-schedule", "1s", "--failed-logins", "0", "--metrics-listen", "127.0.0.1:0"}
	b.api = spawnServe(t, u.String(), encryptionKey, append(args, "--roles", "api")...)
	b.worker = spawnServe(t, u.String(), encryptionKey, append(args, "--roles", "worker")...)
	return b
}

func (b *leakTest) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.direct.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// receive answers in the way that the first part of the path asks for, and says something marked.
func (b *leakTest) receive(w http.ResponseWriter, r *http.Request) {
	answer := b.marks["answer"]
	_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not noticed
	raw := map[string]string{
		"no-http": answer + "\r\n\r\n", "bad-status": "HTTP/1.1 " + answer + "\r\n\r\n", "bad-version": "HTTP/" + answer + " 200 OK\r\n\r\n",
		"bad-header": "HTTP/1.1 200 OK\r\n" + answer + "\r\n\r\n", "bad-length": "HTTP/1.1 200 OK\r\nContent-Length: " + answer + "\r\n\r\n",
		"bad-encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + answer + "\r\n\r\n", "bad-chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + answer + "\r\n",
		"cut": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + answer,
	}
	kind := strings.Split(r.URL.Path, "/")[1]
	if text, ok := raw[kind]; ok {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
		return
	}
	w.Header().Set("X-Answer", answer)
	w.Header().Set("Server", answer)
	w.Header().Set("Content-Type", "text/"+answer)
	w.Header().Set("Set-Cookie", "a="+answer)
	switch kind {
	case "hang":
		<-r.Context().Done()
		return
	case "redirect":
		w.Header().Set("Location", "http://127.0.0.1:1/"+answer)
		w.WriteHeader(http.StatusFound)
	case "slow-down":
		w.Header().Set("Retry-After", answer)
		w.WriteHeader(http.StatusTooManyRequests)
	case "error":
		w.WriteHeader(http.StatusInternalServerError)
	case "gone":
		w.WriteHeader(http.StatusGone)
	}
	_, _ = io.WriteString(w, "it says "+answer)
}

// endpoint makes an endpoint of acme with everything marked. A target that the API would refuse is written past it.
func (b *leakTest) endpoint(t *testing.T, target string, past bool) (id string) {
	t.Helper()
	given := target
	if past {
		given = b.receiver.URL
	}
	body, err := json.Marshal(map[string]any{
		"tenant_id": "acme", "url": given, "secret": b.secret, "timeout_ms": 1000, "headers": map[string]string{"x-custom": b.marks["header"]},
		"secret_headers": map[string]string{"authorization": "Bearer " + b.marks["secret header"], "x-secret": b.marks["secret header"]},
	})
	require.NoError(t, err)
	status, answer := call(t, http.MethodPost, b.api.url()+"/api/endpoints", b.key, string(body))
	require.Equal(t, http.StatusCreated, status, answer)
	id = answer["id"].(string)
	if past {
		b.exec(t, `UPDATE outhook.endpoints SET url = $2 WHERE id::text = $1`, id, target)
	}
	return id
}

// endpoints makes one for each way in which a delivery can fail, and one where none does.
func (b *leakTest) endpoints(t *testing.T) {
	t.Helper()
	secretPath := "/" + b.marks["path"] + "?token=" + b.marks["query"]
	for _, kind := range []string{
		"fine", "error", "redirect", "slow-down", "gone", "hang", "no-http", "bad-status", "bad-version", "bad-header", "bad-length",
		"bad-encoding", "bad-chunk", "cut",
	} {
		b.endpoint(t, b.receiver.URL+"/"+kind+secretPath, false)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	user := "user:" + b.marks["userinfo"] + "@"
	host := strings.TrimPrefix(b.receiver.URL, "http://")
	for _, target := range []string{
		"http://" + closed.Addr().String() + secretPath,
		"http://10.1.2.3" + secretPath,
		"http://no-such-host.invalid" + secretPath,
		"https://" + host + secretPath,
		// As the API would refuse them.
		"http://" + user + host + "/fine" + secretPath,
		"http://" + user + "10.1.2.3" + secretPath,
		"http://" + user + host + "/%zz" + secretPath,
		"http://" + user + host + ":no-port" + secretPath,
		"ftp://" + user + host + secretPath,
	} {
		b.endpoint(t, target, true)
	}
	b.exec(t, `UPDATE outhook.endpoint_secrets SET sealed = 'broken' WHERE endpoint_id::text = $1`, b.endpoint(t, b.receiver.URL+"/fine"+secretPath, false))
	b.exec(t, `UPDATE outhook.endpoints SET headers = jsonb_build_object('x-custom', $2 || chr(10) || $2) WHERE id::text = $1`,
		b.endpoint(t, b.receiver.URL+"/fine"+secretPath, false), b.marks["header"])
	status, answer := call(t, http.MethodPost, b.api.url()+"/api/endpoints", b.key, `{"tenant_id": "outhook.operator", "url": "`+b.receiver.URL+`/fine`+secretPath+`"}`)
	require.Equal(t, http.StatusCreated, status, answer)
}

// post posts a marked event until it is accepted, and returns the other answers.
func (b *leakTest) post(t *testing.T, id string) (refusals string) {
	t.Helper()
	body := fmt.Sprintf(`{"tenant_id": "acme", "type": "a.b", "idempotency_key": %q, "payload": {"%[2]s": "%[2]s"}}`, id, b.marks["payload"])
	require.Eventually(t, func() bool {
		status, answer := b.send(t, http.MethodPost, "/api/events", b.key, "application/json", body)
		if status >= http.StatusBadRequest {
			refusals += answer
		}
		return status < http.StatusBadRequest
	}, 90*time.Second, 100*time.Millisecond)
	return refusals
}

// send sends a request to the API and returns the whole answer.
func (b *leakTest) send(t *testing.T, method, target, key, contentType, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.api.url()+target, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Traceparent", b.marks["wrong"])
	req.Header.Set("X-Forwarded-For", b.marks["wrong"])
	res, err := testClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, fmt.Sprint(res.Header, string(text))
}

// wrongRequests sends requests that are wrong in a marked place, and checks that no answer repeats it.
func (b *leakTest) wrongRequests(t *testing.T) {
	t.Helper()
	m := b.marks["wrong"]
	const asJSON, none = "application/json", "00000000-0000-7000-8000-000000000000"
	endpoint := func(member string) string {
		return `{"tenant_id": "acme", "url": "https://example.com/", ` + member + `}`
	}
	for _, r := range []struct{ method, target, key, contentType, body string }{
		{"GET", "/api/events", m, asJSON, ""},
		{"GET", "/api/events?since=" + m, b.key, asJSON, ""},
		{"GET", "/api/events?limit=" + m, b.key, asJSON, ""},
		{"GET", "/api/events?cursor=" + m, b.key, asJSON, ""},
		{"GET", "/api/events/" + m, b.key, asJSON, ""},
		{"GET", "/api/endpoints/" + m, b.key, asJSON, ""},
		{"GET", "/api/endpoints?status=" + m, b.key, asJSON, ""},
		{"GET", "/api/deliveries/" + m + "/" + m, b.key, asJSON, ""},
		{"GET", "/api/deliveries?state=" + m, b.key, asJSON, ""},
		{"GET", "/api/operations/" + m, b.key, asJSON, ""},
		{"GET", "/api/attempts?since=" + m, b.key, asJSON, ""},
		{"GET", "/api/" + m + "?" + m, b.key, asJSON, ""},
		{"DELETE", "/api/events?" + m, b.key, asJSON, ""},
		{"DELETE", "/api/keys/" + m, b.key, asJSON, ""},
		{"POST", "/api/keys", b.key, asJSON, `{"name": "` + m + `", "scope": "` + m + `"}`},
		{"POST", "/api/events", m, asJSON, `{"payload": "` + m + `"}`},
		{"POST", "/api/events", b.key, "text/" + m, m},
		{"POST", "/api/events", b.key, asJSON, m},
		{"POST", "/api/events", b.key, asJSON, `{"payload": "` + m},
		{"POST", "/api/events", b.key, asJSON, `{"tenant_id": "acme", "type": "` + m + ` !", "payload": {"a": "` + m + `"}}`},
		{"POST", "/api/events", b.key, asJSON, `{"tenant_id": "acme", "type": "a.b", "payload": {"` + m + `": ` + m + `}}`},
		{"POST", "/api/events", b.key, asJSON, `{"tenant_id": "acme", "type": "a.b", "payload": "` + strings.Repeat(m, 50_000) + `"}`},
		{"POST", "/api/events", b.key, asJSON, `{"tenant_id": "acme\u0000` + m + `", "type": "a.b", "payload": 1, "idempotency_key": "` + strings.Repeat(m, 50) + `"}`},
		{"POST", "/api/events/batch", b.key, asJSON, `{"events": [{"type": "` + m + ` !", "payload": "` + m + `"}]}`},
		{"POST", "/api/endpoints", b.key, asJSON, `{"tenant_id": "acme", "url": "https://u:` + m + `@example.com/` + m + `?` + m + `"}`},
		{"POST", "/api/endpoints", b.key, asJSON, `{"tenant_id": "acme", "url": "` + m + `:// ` + m + `"}`},
		{"POST", "/api/endpoints", b.key, asJSON, `{"tenant_id": "acme", "url": "http://10.0.0.1/%zz` + m + `"}`},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"secret": "whsec_` + m + `"`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"secret": "` + m + `"`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"headers": {"x-a": "` + m + `\n"}`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"headers": {"authorization": "` + m + `"}`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"secret_headers": {"authorization": "` + m + `\n"}`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"secret_headers": ["` + m + `"]`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"retry_schedule": ["` + m + `"]`)},
		{"POST", "/api/endpoints", b.key, asJSON, endpoint(`"event_types": ["` + m + ` !"]`)},
		{"PATCH", "/api/endpoints/" + none, b.key, asJSON, `{"url": "` + m + `"}`},
		{"POST", "/api/endpoints/" + none + "/rotate-secret", b.key, asJSON, `{"secret": "` + m + `"}`},
		{"GET", "/riverui/" + m + "?" + m, m, asJSON, ""},
	} {
		status, answer := b.send(t, r.method, r.target, r.key, r.contentType, r.body)
		require.GreaterOrEqual(t, status, http.StatusBadRequest, r)
		require.Empty(t, b.marks.in(answer), "%s %s\n%.300s\n%s", r.method, r.target, r.body, answer)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.api.url(), "http://")) //nolint:noctx // on loopback
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, m+" "+m+" "+m+"\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Empty(t, b.marks.in(string(answer)))
}

// metrics returns the metrics of a process.
func (b *leakTest) metrics(t *testing.T, p *worker) string {
	t.Helper()
	_, rest, _ := strings.Cut(p.log.String(), `"metrics_address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	require.NoError(t, err)
	res, err := testClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	return string(text)
}

// stored returns the marks in each column of the schema, as the owner reads it.
func (b *leakTest) stored(t *testing.T) map[string][]string {
	t.Helper()
	rows, err := b.direct.Query(t.Context(), `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'outhook'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition`)
	require.NoError(t, err)
	relations, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	found := make(map[string][]string)
	for _, relation := range relations {
		rows, err := b.direct.Query(t.Context(), `SELECT c.key, string_agg(c.value, E'\n') FROM outhook.`+relation+` AS r, jsonb_each_text(to_jsonb(r)) AS c GROUP BY c.key`)
		require.NoError(t, err)
		var column string
		var text *string
		_, err = pgx.ForEachRow(rows, []any{&column, &text}, func() error {
			if text == nil {
				return nil
			}
			if names := b.marks.in(*text); len(names) > 0 {
				found[relation+"."+column] = names
			}
			return nil
		})
		require.NoError(t, err, relation)
		require.NoError(t, rows.Err(), relation)
	}
	return found
}

// Everything that must stay secret is marked, everything goes wrong that can, and nothing of it is in any output, in any
// answer to a wrong request, or in any column but those that are for it.
func TestNothingSecretLeaks(t *testing.T) {
	t.Parallel()
	b := newLeakTest(t)
	made, err := output(t, "keys", "create", "leak", "--scope", "admin", "--database-url", b.direct.Config().ConnString())
	require.NoError(t, err)
	b.marks["key"] = strings.TrimSpace(made)
	status, _ := call(t, http.MethodGet, b.api.url()+"/api/events", b.marks["key"], "")
	require.Equal(t, http.StatusOK, status)
	b.endpoints(t)
	b.wrongRequests(t)
	answers := b.post(t, "before")

	tried := func(events int) func() bool {
		return func() bool {
			return count(t, b.direct, `SELECT count(*) FROM outhook.deliveries WHERE attempt_count > 0 OR state <> 'pending'`) >= events*15
		}
	}
	require.Eventually(t, tried(1), 2*time.Minute, 50*time.Millisecond)
	b.proxy.Stop()
	status, answer := b.send(t, http.MethodPost, "/api/events", b.key, "application/json",
		`{"tenant_id": "acme", "type": "a.b", "payload": "`+b.marks["payload"]+`", "idempotency_key": "`+b.marks["wrong"]+`"}`)
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	answers += answer
	_, answer = b.send(t, http.MethodGet, "/readyz", b.key, "", "")
	answers += answer
	require.Eventually(t, func() bool { return strings.Contains(b.worker.log.String(), "refused") }, time.Minute, 50*time.Millisecond)
	require.NoError(t, b.proxy.Start())
	answers += b.post(t, "after")
	require.Eventually(t, tried(2), 2*time.Minute, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		return count(t, b.direct, `SELECT count(*) FROM outhook.deliveries WHERE state = 'failed'`) > 10
	}, 2*time.Minute, 50*time.Millisecond)

	for _, p := range []*worker{b.api, b.worker} {
		metrics := b.metrics(t, p)
		require.Contains(t, metrics, "outhook_")
		require.Empty(t, b.marks.in(metrics))
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait())
		for line := range strings.Lines(p.log.String()) {
			require.Empty(t, b.marks.in(line), line)
		}
	}
	require.Contains(t, b.worker.log.String(), `"msg":"attempt"`)
	require.Contains(t, b.api.log.String(), `"level":"DEBUG"`)
	require.NotEmpty(t, answers)
	require.Empty(t, b.marks.in(answers), answers)
	require.Equal(t, mayKeep(), b.stored(t))
}

// A user, a host and a database are named when the database can't be reached, and nothing more.
func TestWrongDatabasePasswordIsNotShown(t *testing.T) {
	t.Parallel()
	m := newMarks("password", "option")
	for _, target := range []string{
		"postgres://nobody:" + m["password"] + "@127.0.0.1:1/none",
		"postgres://nobody:" + m["password"] + "@127.0.0.1:1/none?sslmode=" + m["option"],
		"postgres://nobody:" + m["password"] + "@127.0.0.1:no-port/none",
		"host=127.0.0.1 port=1 user=nobody password=" + m["password"],
		"postgres://nobody:" + m["password"] + "%zz@127.0.0.1:1/none",
	} {
		_, err := output(t, serveArgs(target)...)
		require.Error(t, err)
		require.NotContains(t, m.in(err.Error()), "password", err)
	}
}
