package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// svixSide is a server that answers Svix's calls: a source, or what a copy is looked at by.
type svixSide struct {
	t    *testing.T
	base string
}

func newSvixSide(t *testing.T) svixSide {
	t.Helper()
	return svixSide{t, start(t, serveArgs(migrated(t), "--svix-api", "true")...).address(t)}
}

// call makes one of Svix's calls, wants a status and decodes the answer.
func (s svixSide) call(method, path, body string, want int) map[string]any {
	s.t.Helper()
	status, answer := call(s.t, method, s.base+"/svix/api/v1"+path, testAPIKey, body)
	require.Equal(s.t, want, status, "%s %s: %v", method, path, answer)
	return answer
}

// importFrom runs the import from the URL of a server of Svix into another server, and returns what it prints, to both.
func importFrom(t *testing.T, url string, to svixSide, args ...string) (out, messages string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), append([]string{
		"import", "svix", "--url", url, "--token", testAPIKey, "--outhook-url", to.base, "--api-key", testAPIKey,
	}, args...), &stdout, &stderr)
	return stdout.String(), stderr.String(), err
}

func someSecret(b byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 24))
}

// What one server has, another has after it, and a second time changes nothing.
func TestImportFromOurself(t *testing.T) {
	t.Parallel()
	from, to := newSvixSide(t), newSvixSide(t)
	from.call("POST", "/app", `{"name":"ACME","uid":"acme","metadata":{"plan":"gold"}}`, 201)
	bare := from.call("POST", "/app", `{"name":"Without a uid"}`, 201)
	from.call("POST", "/app/acme/endpoint", `{"url":"https://example.com/a","uid":"main","description":"the first","eventTypes":["invoice.paid"],
		"throttleRate":5,"metadata":{"a":"b"},"headers":{"X-Own":"1"},"secret":"`+someSecret(1)+`"}`, 201)
	from.call("POST", "/app/acme/endpoint", `{"url":"https://example.com/b","uid":"off","disabled":true}`, 201)
	from.call("POST", "/app/acme/endpoint", `{"url":"https://example.com/c","uid":"secret","headers":{"Authorization":"Bearer s3cret"}}`, 201)
	id := from.call("POST", "/app/"+bare["id"].(string)+"/endpoint", `{"url":"https://example.org"}`, 201)["id"].(string)

	out, messages, err := importFrom(t, from.base+"/svix", to, "--dry-run")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^create +acme\ncreate +acme/main\ncreate +acme/off\ncreate +acme/secret\n  look: .*authorization.*\n  look: it is paused`, out)
	require.Contains(t, messages, "6 create, 0 unchanged (dry run: nothing was written); 1 to look at")
	require.Empty(t, to.call("GET", "/app", "", 200)["data"])

	out, messages, err = importFrom(t, from.base+"/svix", to)
	require.NoError(t, err)
	require.Contains(t, messages, "6 created, 0 unchanged; 1 to look at")
	require.NotContains(t, out+messages, "s3cret")
	require.NotContains(t, out+messages, "whsec_")
	require.Equal(t, map[string]any{"plan": "gold"}, to.call("GET", "/app/acme", "", 200)["metadata"])
	for _, path := range []string{"/app/acme/endpoint/main", "/app/acme/endpoint/off", "/app/acme/endpoint/secret"} {
		was, is := from.call("GET", path, "", 200), to.call("GET", path, "", 200)
		for _, name := range []string{"id", "createdAt", "updatedAt"} {
			delete(was, name)
			delete(is, name)
		}
		require.Equal(t, was, is)
		require.Equal(t, from.call("GET", path+"/secret", "", 200), to.call("GET", path+"/secret", "", 200))
		require.Equal(t, from.call("GET", path+"/headers", "", 200)["headers"], to.call("GET", path+"/headers", "", 200)["headers"])
	}
	// Ids that a program has stored go on being good.
	label := bare["id"].(string)
	if tenant := from.call("GET", "/app/"+label, "", 200); tenant["uid"] != nil {
		label = tenant["uid"].(string)
	}
	require.Equal(t, "https://example.org", to.call("GET", "/app/"+label+"/endpoint/"+id, "", 200)["url"])

	_, messages, err = importFrom(t, from.base+"/svix", to)
	require.NoError(t, err)
	require.Contains(t, messages, "6 unchanged; 1 to look at")

	// What has changed there is changed here.
	from.call("PATCH", "/app/acme", `{"name":"ACME GmbH"}`, 200)
	from.call("PATCH", "/app/acme/endpoint/main", `{"url":"https://example.com/new","throttleRate":null,"metadata":{"c":"d"}}`, 200)
	from.call("PUT", "/app/acme/endpoint/main/headers", `{"headers":{"X-Two":"2"}}`, 204)
	from.call("POST", "/app/acme/endpoint/main/secret/rotate", `{"key":"`+someSecret(2)+`"}`, 204)
	out, messages, err = importFrom(t, from.base+"/svix", to)
	require.NoError(t, err)
	require.Contains(t, messages, "2 changed, 4 unchanged")
	require.Regexp(t, `(?m)^changed +acme: name\nchanged +acme/main: headers, metadata, rate_limit, url, secret$`, out)
	require.Equal(t, someSecret(2), to.call("GET", "/app/acme/endpoint/main/secret", "", 200)["key"])
	require.Equal(t, map[string]any{"x-two": "2"}, lowerKeys(to.call("GET", "/app/acme/endpoint/main/headers", "", 200)["headers"]))
}

func lowerKeys(headers any) map[string]any {
	out := map[string]any{}
	for name, value := range headers.(map[string]any) {
		out[strings.ToLower(name)] = value
	}
	return out
}

// svixAnswers are a server of Svix's, by its OpenAPI document: applications and endpoints by page, with what old servers
// call otherwise, and with what Outhook has not.
//
//nolint:gochecknoglobals // a constant table
var svixAnswers = map[string]string{
	"/app?limit=250&order=ascending": `{"data":[
		{"id":"app_1srOrx2ZWZBpBUvZwXKQmoEYga2","uid":null,"name":"One","throttleRate":100,"createdAt":"2019-08-24T14:15:22Z","updatedAt":"2019-08-24T14:15:22Z","metadata":{}}
		],"iterator":"app_1srOrx2ZWZBpBUvZwXKQmoEYga2","prevIterator":"-app_1srOrx2ZWZBpBUvZwXKQmoEYga2","done":false}`,
	"/app?iterator=app_1srOrx2ZWZBpBUvZwXKQmoEYga2&limit=250&order=ascending": `{"data":[
		{"id":"app_2srOrx2ZWZBpBUvZwXKQmoEYga3","uid":"two","name":"Two","createdAt":"2019-08-24T14:15:22Z","updatedAt":"2019-08-24T14:15:22Z","metadata":{"a":"b"}}
		],"iterator":"app_2srOrx2ZWZBpBUvZwXKQmoEYga3","prevIterator":"-app_2srOrx2ZWZBpBUvZwXKQmoEYga3","done":true}`,

	"/app/app_1srOrx2ZWZBpBUvZwXKQmoEYga2/endpoint?limit=250&order=ascending": `{"data":[
		{"id":"ep_1srOrx2ZWZBpBUvZwXKQmoEYga2","url":"https://example.com/old","version":1,"filterTypes":["user.signup"],"rateLimit":7,"description":"","disabled":false,"metadata":{},"createdAt":"2019-08-24T14:15:22Z","updatedAt":"2019-08-24T14:15:22Z"}
		],"iterator":"ep_1srOrx2ZWZBpBUvZwXKQmoEYga2","done":true}`,
	"/app/app_1srOrx2ZWZBpBUvZwXKQmoEYga2/endpoint/ep_1srOrx2ZWZBpBUvZwXKQmoEYga2/secret":  `{"key":"` + someSecret(3) + `"}`,
	"/app/app_1srOrx2ZWZBpBUvZwXKQmoEYga2/endpoint/ep_1srOrx2ZWZBpBUvZwXKQmoEYga2/headers": `{"headers":{"X-Foobar":"Bar"},"sensitive":[]}`,

	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint?limit=250&order=ascending": `{"data":[
		{"id":"ep_2srOrx2ZWZBpBUvZwXKQmoEYga2","uid":"019b7cbd-6d4a-7c3e-9c5f-0f3a1e8f7a10","url":"https://example.com/keys","version":1,"eventTypes":null,"description":"","disabled":false,"metadata":{}},
		{"id":"ep_3srOrx2ZWZBpBUvZwXKQmoEYga2","uid":"channels","url":"https://example.com/channels","version":1,"channels":["project_123"],"description":"","disabled":false,"metadata":{}},
		{"id":"ep_4srOrx2ZWZBpBUvZwXKQmoEYga2","uid":"types","url":"https://example.com/types","version":1,"eventTypes":["user-signup"],"description":"","disabled":false,"metadata":{}},
		{"id":"ep_5srOrx2ZWZBpBUvZwXKQmoEYga2","uid":"code","url":"https://example.com/code","version":1,"description":"","disabled":false,"metadata":{}}
		],"iterator":"ep_5srOrx2ZWZBpBUvZwXKQmoEYga2","done":true}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_2srOrx2ZWZBpBUvZwXKQmoEYga2/secret":         `{"key":"whsk_AAECAw=="}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_4srOrx2ZWZBpBUvZwXKQmoEYga2/secret":         `{"key":"` + someSecret(4) + `"}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_3srOrx2ZWZBpBUvZwXKQmoEYga2/secret":         `{"key":"` + someSecret(6) + `"}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_3srOrx2ZWZBpBUvZwXKQmoEYga2/headers":        `{"headers":{},"sensitive":[]}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_5srOrx2ZWZBpBUvZwXKQmoEYga2/secret":         `{"key":"` + someSecret(5) + `"}`,
	"/app/app_2srOrx2ZWZBpBUvZwXKQmoEYga3/endpoint/ep_5srOrx2ZWZBpBUvZwXKQmoEYga2/transformation": `{"code":"function handler(webhook) { return webhook }","enabled":true}`,
}

// svixServer answers as a server of Svix does: each path twice with 429 first. broken makes it refuse the token from the
// second page of applications on.
func svixServer(t *testing.T, broken *atomic.Bool) string {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := svixAnswers[strings.TrimPrefix(r.URL.String(), "/api/v1")]
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("Authorization") != "Bearer "+testAPIKey, broken.Load() && r.URL.Query().Get("iterator") != "":
			w.WriteHeader(http.StatusUnauthorized)
			answer = `{"code":"authentication_failed","detail":"Invalid token"}`
		case asked.Add(1)%2 == 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			answer = `{"code":"rate_limit","detail":"Too many requests"}`
		case !ok && strings.HasSuffix(r.URL.Path, "/headers"):
			answer = `{"headers":{},"sensitive":[]}`
		case !ok && strings.HasSuffix(r.URL.Path, "/transformation"):
			answer = `{"code":null,"enabled":false}`
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			answer = `{"code":"not_found","detail":"Entity not found"}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// What Svix says is read as its document has it. A run that was stopped goes on.
func TestImportFromSvix(t *testing.T) {
	t.Parallel()
	to := newSvixSide(t)
	var broken atomic.Bool
	broken.Store(true)
	url := svixServer(t, &broken)

	_, _, err := importFrom(t, url, to, "--token", "wrong")
	require.ErrorContains(t, err, "Svix refuses the token: Invalid token")
	out, messages, err := importFrom(t, url, to)
	require.ErrorContains(t, err, "Svix refuses the token")
	require.Contains(t, messages, "stopped: --after app_1srOrx2ZWZBpBUvZwXKQmoEYga2 goes on from here")
	require.Contains(t, out, "look: it has a rate of 100 a second at Svix")
	const first = "/app/app_1srOrx2ZWZBpBUvZwXKQmoEYga2/endpoint/ep_1srOrx2ZWZBpBUvZwXKQmoEYga2"
	e := to.call("GET", first, "", 200)
	require.Equal(t, []any{"user.signup"}, e["eventTypes"])
	require.EqualValues(t, 7, e["throttleRate"])
	require.Equal(t, someSecret(3), to.call("GET", first+"/secret", "", 200)["key"])

	broken.Store(false)
	out, messages, err = importFrom(t, url, to, "--after", "app_1srOrx2ZWZBpBUvZwXKQmoEYga2", "--json")
	require.Equal(t, exitFailed, codeOf(err))
	require.Contains(t, messages, "4 created, 0 unchanged, 1 refused; 2 to look at")
	type line = struct {
		Kind, UID, Result  string
		Attention, Refused []string
	}
	var lines []line
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var l line
		require.NoError(t, d.Decode(&l))
		lines = append(lines, l)
	}
	require.Len(t, lines, 5)
	require.Equal(t, line{Kind: "application", Result: "created"}, lines[0])
	require.Equal(t, "ep_2srOrx2ZWZBpBUvZwXKQmoEYga2", lines[1].UID)
	require.Contains(t, strings.Join(lines[1].Attention, "\n"), "signed with a key pair")
	require.Equal(t, line{Kind: "endpoint", UID: "channels", Result: "created"}, lines[2])
	require.Contains(t, lines[3].Refused[0], "event_types[0]")
	require.Contains(t, strings.Join(lines[4].Attention, "\n"), "it has a transformation")
	_, channels := call(t, "GET", to.base+"/api/endpoints/channels?tenant_id=two", testAPIKey, "")
	require.Equal(t, []any{"project_123"}, channels["labels"])
	status, paused := call(t, "GET", to.base+"/api/endpoints/code?tenant_id=two", testAPIKey, "")
	require.Equal(t, 200, status)
	require.Equal(t, "paused", paused["status"])

	_, _, err = importFrom(t, "nowhere", to)
	require.Equal(t, exitUsage, codeOf(err))
}
