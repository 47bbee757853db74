package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// console is a running server with a receiver, and runs commands against it.
type console struct {
	base     string
	receiver string
	listener *process
}

func newConsole(t *testing.T, listenArgs ...string) console {
	t.Helper()
	server := start(t, serveArgs(migrated(t))...)
	listener := start(t, append([]string{"listen", "--address", "127.0.0.1:0"}, listenArgs...)...)
	return console{base: server.address(t), receiver: field(listener.line(t, "receiving on"), 2), listener: listener}
}

func (c console) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return output(t, append(args, "--url", c.base, "--api-key", testAPIKey)...)
}

func (c console) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(t, args...)
	require.NoError(t, err, "%v", args)
	return out
}

// object runs a command with --json and returns what it prints.
func (c console) object(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(c.must(t, append(args, "--json")...)), &m))
	return m
}

// await runs a command until its output matches.
func (c console) await(t *testing.T, pattern string, args ...string) {
	t.Helper()
	var out string
	var err error
	for began := time.Now(); time.Since(began) < 60*time.Second; <-time.After(50 * time.Millisecond) {
		if out, err = c.run(t, args...); err == nil && regexp.MustCompile(pattern).MatchString(out) {
			return
		}
	}
	require.Fail(t, "it never said so", "%v: %v\n%s\nand not %s", args, err, out, pattern)
}

func TestDailyWork(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	created := c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--event-types", "invoice.*,order.paid",
		"--retry-schedule", "", "--retry-jitter", "0.25", "--header", "X-Team=a;b=c", "--metadata", "owner=ann", "--attempt-timeout", "5s", "--description", "Ann's")
	require.Regexp(t, `^whsec_`, created["secret"])
	require.Equal(t, map[string]any{"X-Team": "a;b=c"}, created["headers"])
	require.InDelta(t, 5000, created["timeout_ms"], 0)
	require.InDelta(t, 0.25, created["retry_jitter"], 0)
	id, ok := created["id"].(string)
	require.True(t, ok)
	require.Regexp(t, `(?m)^ID +UID +TENANT +STATUS .*\n`+id+` +- +acme +enabled +healthy +shared +invoice\.\*,order\.paid +http`, c.must(t, "endpoints", "list"))
	require.Regexp(t, `(?m)^retry schedule +one attempt only\nretry jitter +0.25$`, c.must(t, "endpoints", "show", id))
	require.Regexp(t, `(?m)^retry jitter +0$`, c.must(t, "endpoints", "update", id, "--retry-jitter", "0"))
	require.Regexp(t, `(?m)^retry jitter +the server's$`, c.must(t, "endpoints", "update", id, "--set", "retry_jitter=null"))

	// An event that fails, is shown, replayed and succeeds. Its payload's bytes stay as they are.
	sent := c.object(t, "events", "send", "acme", "invoice.paid", `{"amount" : 1.50, "html": "<b>"}`, "--idempotency-key", "k")
	event, ok := sent["id"].(string)
	require.True(t, ok)
	require.Contains(t, c.must(t, "events", "send", "acme", "invoice.paid", `{"amount" : 1.50, "html": "<b>"}`, "--idempotency-key", "k"), "duplicate")
	c.await(t, event+` +`+id+` +acme +invoice.paid +failed +exhausted +1`, "deliveries", "list", "--state", "failed", "--tenant", "acme", "--since", "1h")
	require.Contains(t, c.must(t, "replay", event, id), "pending")
	c.await(t, `(?m)^state +succeeded$`, "deliveries", "show", event, id)
	require.Regexp(t, `(?s) 1 .*rejected +500.* 2 .*succeeded +204`, c.must(t, "attempts", event))
	shown := c.must(t, "events", "show", event)
	require.Contains(t, shown, `{"amount" : 1.50, "html": "<b>"}`)
	require.Contains(t, shown, "rejected")
	require.Contains(t, c.must(t, "events", "show", event, "--json"), `"payload":{"amount" : 1.50, "html": "<b>"}`)
	_, err := c.run(t, "deliveries", "cancel", event, id)
	require.Equal(t, exitConflict, codeOf(err))

	// A change; a test event; a pause, in which deliveries wait; the end.
	require.Contains(t, c.must(t, "endpoints", "update", id, "--description", "new", "--set", "retry_schedule=null"), "the server's")
	out, err := c.run(t, "endpoints", "test", id) // its first request is refused
	require.Equal(t, exitFailed, codeOf(err))
	require.Contains(t, out, "rejected")
	require.Contains(t, c.must(t, "endpoints", "pause", id), "paused")
	c.must(t, "events", "send", "acme", "order.paid", "1")
	c.await(t, `order.paid +pending`, "deliveries", "list", "--endpoint", id)
	require.Contains(t, c.must(t, "endpoints", "enable", id), "enabled")
	c.await(t, `order.paid +succeeded|order.paid +pending +- +1 `, "deliveries", "list", "--endpoint", id)
	rotated := c.must(t, "endpoints", "rotate-secret", id, "--overlap", "1h")
	require.Regexp(t, `^secret    whsec_\S+\nprevious  signs until \S+Z\n$`, rotated)
	secrets := c.must(t, "endpoints", "secret", id)
	require.Regexp(t, `^whsec_\S+  current\nwhsec_\S+  signs until \S+Z\n$`, secrets)
	require.Contains(t, rotated, strings.Fields(secrets)[0], "the new one is the current one")
	_, err = c.run(t, "endpoints", "rotate-secret", id)
	require.Equal(t, exitConflict, codeOf(err), "two are live")
	require.Contains(t, c.must(t, "endpoints", "rotate-secret", id, "--force", "--overlap", "0s"), "has ended")
	require.Contains(t, c.must(t, "endpoints", "disable", id), "disabled")
	_, err = c.run(t, "endpoints", "delete", id)
	require.ErrorContains(t, err, "--yes")
	require.Contains(t, c.must(t, "endpoints", "delete", id, "--yes"), "deleted")
	_, err = c.run(t, "endpoints", "show", id)
	require.Equal(t, exitNotFound, codeOf(err))
}

func TestEndpointsByUID(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	created := c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--uid", "main", "--header", "X-A=1", "--metadata", "plan=gold")
	require.Equal(t, "main", created["uid"])
	require.Regexp(t, `(?m)^uid +main$`, c.must(t, "endpoints", "show", "main", "--tenant", "acme"))
	_, err := c.run(t, "endpoints", "show", "main")
	require.ErrorContains(t, err, "tenant_id is required with an endpoint's uid")
	require.Regexp(t, `(?s)header X-A +1\nheader X-B +2\n`, c.must(t, "endpoints", "update", "main", "--tenant", "acme", "--header", "X-B=2"))

	put := c.object(t, "endpoints", "put", "main", c.receiver, "--tenant", "acme", "--metadata", "plan=gold", "--description", "d")
	require.Equal(t, created["id"], put["id"])
	require.Empty(t, put["headers"])
	other := c.object(t, "endpoints", "put", "other", c.receiver, "--tenant", "acme")
	require.Regexp(t, `^whsec_`, other["secret"])
	listed := c.must(t, "endpoints", "list", "--metadata", "plan=gold", "--status", "enabled", "--event-type", "a")
	require.Regexp(t, `(?m)^\S+ +main +acme `, listed)
	require.NotContains(t, listed, "other")

	sent := c.object(t, "events", "send", "acme", "a", "1")
	event, ok := sent["id"].(string)
	require.True(t, ok)
	c.await(t, `(?m)^state +succeeded$`, "deliveries", "show", event, "main", "--tenant", "acme")
	c.await(t, `(?s)succeeded +204`, "deliveries", "show", event, "main", "--tenant", "acme")
	require.Contains(t, c.must(t, "replay", event, "main", "--tenant", "acme"), "pending")
	require.Contains(t, c.must(t, "endpoints", "delete", "main", "--tenant", "acme", "--yes"), "deleted")
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	tail := start(t, "tail", "--url", c.base, "--api-key", testAPIKey, "--since", "1m", "--interval", "50ms")
	onlyGood := start(t, "tail", "--url", c.base, "--api-key", testAPIKey, "--since", "1m", "--interval", "50ms", "--outcome", "succeeded", "--json")
	created := c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--retry-schedule", "1s")
	sent := c.object(t, "events", "send", "acme", "invoice.paid", "1")
	require.Regexp(t, `rejected +500 .*#1 +acme +invoice.paid +`+sent["id"].(string)+` +`+created["id"].(string), tail.line(t, "rejected"))
	require.NotContains(t, tail.line(t, "succeeded"), "\x1b", "no colour where there is no terminal")
	require.Contains(t, onlyGood.line(t, "{"), `"number":2`)
	once := c.must(t, "tail", "--since", "1m", "--once")
	require.Equal(t, 2, strings.Count(once, "\n"))
	c.await(t, `(?m)^attempts rejected +1$`, "stats")
	c.await(t, `(?m)^deliveries succeeded +1$`, "stats", "--tenant", "acme")
}

// A tail outlives its server's absence and prints nothing twice.
func TestTailReconnects(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	args := serveArgs(url)
	server := start(t, args...)
	base := server.address(t)
	tail := start(t, "tail", "--url", base, "--api-key", testAPIKey, "--since", "1m", "--interval", "50ms")
	listener := start(t, "listen", "--address", "127.0.0.1:0")
	c := console{base: base, receiver: field(listener.line(t, "receiving on"), 2)}
	c.must(t, "endpoints", "create", c.receiver, "--tenant", "acme")
	c.must(t, "events", "send", "acme", "a.first", "1")
	tail.line(t, "a.first")
	require.NoError(t, server.end(t))
	require.Eventually(t, func() bool { return strings.Contains(tail.stderr.String(), "trying again") }, 60*time.Second, 20*time.Millisecond)
	again := append(append([]string{}, args...), "--listen", strings.TrimPrefix(base, "http://"))
	start(t, again...).address(t)
	c.must(t, "events", "send", "acme", "a.second", "1")
	require.Contains(t, tail.line(t, "a."), "a.second")
	require.Contains(t, tail.stderr.String(), "connected again")
}

func TestTailColours(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	printTail(&b, client.FollowedAttempt{Outcome: "succeeded"}, true)
	printTail(&b, client.FollowedAttempt{Outcome: "blocked"}, true)
	require.Contains(t, b.String(), "\x1b[32msucceeded  \x1b[0m")
	require.Contains(t, b.String(), "\x1b[31mblocked    \x1b[0m")
}

func TestListsTurnPages(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	batch := strings.TrimSuffix(strings.Repeat(`{"tenant_id": "acme", "type": "a.b", "payload": 1},`, 450), ",")
	status, _ := call(t, http.MethodPost, c.base+"/api/events/batch", testAPIKey, `{"events": [`+batch+`]}`)
	require.Equal(t, http.StatusAccepted, status)
	for limit, lines := range map[string]int{"0": 450, "3": 3, "201": 201, "200": 200} {
		out := c.must(t, "events", "list", "--limit", limit, "--json")
		require.Equal(t, lines, strings.Count(out, "\n"), limit)
		require.Equal(t, lines, strings.Count(out, `"id"`), limit)
	}
	require.Equal(t, 51, strings.Count(c.must(t, "events", "list"), "\n"))
	require.Equal(t, "ID  CREATED  TENANT  TYPE  DELIVERIES\n", c.must(t, "events", "list", "--tenant", "nobody"))
}

func TestPayloadsComeFromFiles(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	file := filepath.Join(t.TempDir(), "payload.json")
	require.NoError(t, os.WriteFile(file, []byte("{\"a\":  1}\n"), 0o600))
	sent := c.object(t, "events", "send", "acme", "a.b", "@"+file)
	require.Contains(t, c.must(t, "events", "show", sent["id"].(string)), `{"a":  1}`)
	_, err := c.run(t, "events", "send", "acme", "a.b", "hello")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "not JSON")
	_, err = c.run(t, "events", "send", "acme", "a b", "1")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "type")
}

func TestClientErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved/api/events" {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
			return
		}
		_, _ = w.Write([]byte("<html>"))
	}))
	t.Cleanup(strange.Close)
	server := start(t, serveArgs(migrated(t), "--roles", "api")...)
	for _, tc := range []struct {
		url, key string
		code     int
		want     string
	}{
		{server.address(t), "", exitKey, "OUTHOOK_API_KEY"},
		{server.address(t), "not-the-key-of-this-server", exitKey, "not valid"},
		{"http://127.0.0.1:1", testAPIKey, exitUnavailable, "no answer from http://127.0.0.1:1"},
		{"127.0.0.1:8080", testAPIKey, exitUsage, "OUTHOOK_URL"},
		{strange.URL, testAPIKey, exitUnavailable, "check OUTHOOK_URL"},
		{strange.URL + "/moved", testAPIKey, exitFailed, "301"},
	} {
		_, err := output(t, "events", "list", "--url", tc.url, "--api-key", tc.key)
		require.Equal(t, tc.code, codeOf(err), "%v", err)
		require.ErrorContains(t, err, tc.want)
		require.NotContains(t, err.Error(), testAPIKey)
	}
	_, err := output(t, "events", "list", "--since", "yesterday")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "90m or 7d")
}

// cutting puts a proxy before the console's server that lets the first request through and cuts the connection in the
// place of its answer; and counts the requests.
func (c console) cutting(t *testing.T) (console, *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(c.base)
	require.NoError(t, err)
	var requests atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(*http.Response) error {
			if requests.Add(1) == 1 {
				return errors.New("cut")
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(proxy.Close)
	c.base = proxy.URL
	return c, &requests
}

// A command whose first answer got lost is carried out once and succeeds, whatever it does.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var endpoint, event string
	for _, tc := range []struct {
		name string
		args func() []string
	}{
		{"create", func() []string { return []string{"endpoints", "create", c.receiver, "--tenant", "acme"} }},
		{"send", func() []string { return []string{"events", "send", "acme", "a.b", "1"} }},
		{"show", func() []string { return []string{"endpoints", "show", endpoint} }},
		{"update", func() []string { return []string{"endpoints", "update", endpoint, "--description", "x"} }},
		{"test", func() []string { return []string{"endpoints", "test", endpoint} }},
		{"rotate", func() []string { return []string{"endpoints", "rotate-secret", endpoint} }},
		{"replay", func() []string { return []string{"deliveries", "replay", event + "/" + endpoint} }},
		{"recover", func() []string { return []string{"recover", endpoint, "--since", "1h", "--no-wait"} }},
	} {
		cut, requests := c.cutting(t)
		out := cut.must(t, append(tc.args(), "--json")...)
		require.EqualValues(t, 2, requests.Load(), tc.name)

		var answer struct {
			ID string `json:"id"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
		switch tc.name {
		case "create":
			endpoint = answer.ID
			require.Equal(t, 1, strings.Count(c.must(t, "endpoints", "list", "--json"), "\n"), "exactly one is made")
			require.Contains(t, out, "whsec_", "and its secret is not lost")
		case "send":
			event = answer.ID
			require.Equal(t, 1, strings.Count(c.must(t, "events", "list", "--json"), "\n"))
			c.await(t, ` a\.b +succeeded`, "deliveries", "list")
		}
	}

	require.Equal(t, 1, strings.Count(c.must(t, "events", "list", "--type", "outhook.test", "--json"), "\n"))
	require.Equal(t, 2, strings.Count(c.must(t, "endpoints", "secret", endpoint), "\n"), "rotated once")
	require.Equal(t, 1, strings.Count(c.must(t, "operations", "list", "--json"), "\n"))

	// An event that we have sent twice ourselves is no duplicate.
	cut, _ := c.cutting(t)
	require.Contains(t, cut.must(t, "events", "send", "acme", "a.b", "2"), "stored with 1 delivery")
}

// One delivery, or a list of them from the arguments and from another command.
func TestReplayMany(t *testing.T) { //nolint:paralleltest // standard input is the process's
	c := newConsole(t)
	endpoint, ok := c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--uid", "main")["id"].(string)
	require.True(t, ok)
	for range 3 {
		c.must(t, "events", "send", "acme", "a.b", "1")
	}
	listed := ""
	require.Eventually(t, func() bool {
		listed = c.must(t, "deliveries", "list", "--state", "succeeded", "--order", "asc", "--json")
		return strings.Count(listed, "\n") == 3
	}, 60*time.Second, 50*time.Millisecond)
	var events []string
	for _, m := range regexp.MustCompile(`"event_id":"([^"]+)"`).FindAllStringSubmatch(listed, -1) {
		events = append(events, m[1])
	}
	// By its endpoint's uid, as replay does it.
	require.Regexp(t, `(?m)^state +pending$`, c.must(t, "deliveries", "replay", events[0], "main", "--tenant", "acme"))
	c.await(t, `(?m)^attempts +2$`, "deliveries", "show", events[0], endpoint)

	// From the arguments: what is there twice, and what is not there. A dry run orders nothing.
	unknown := uuid.NewString()
	would := c.must(t, "deliveries", "replay", "--dry-run", events[1], endpoint)
	require.Regexp(t, `(?m)^`+events[1]+` +`+endpoint+` +would replay +-$`, would)
	out, err := c.run(t, "deliveries", "replay", events[0]+"/"+endpoint, events[1]+"/"+endpoint, events[1]+"/"+endpoint, unknown+"/"+endpoint)
	require.Equal(t, exitFailed, codeOf(err))
	require.Regexp(t, `(?s)^EVENT +ENDPOINT +RESULT +WHY NOT\n`+
		events[0]+` +`+endpoint+` +replayed +-\n`+events[1]+` +`+endpoint+` +replayed +-\n`+unknown+` +`+endpoint+` +not_found +\w.*\n$`, out)
	c.await(t, `(?m)^attempts +3$`, "deliveries", "show", events[0], endpoint)
	c.await(t, `(?m)^attempts +2$`, "deliveries", "show", events[1], endpoint)

	// From standard input: as the list prints it, and as a person writes it.
	out = c.fed(t, listed+"\n "+events[2]+"\t"+strings.ToUpper(endpoint)+"\n", "replay", "-", "--json")
	require.Equal(t, 3, strings.Count(out, `"replayed":true`))
	require.Equal(t, 3, strings.Count(out, "\n"))
	for i, attempts := range []string{"4", "3", "2"} {
		c.await(t, `(?m)^attempts +`+attempts+`$`, "deliveries", "show", events[i], endpoint)
	}

	for arg, want := range map[string]string{
		"x": "EVENT/ENDPOINT", events[0]: "EVENT/ENDPOINT", events[0] + "/main": "EVENT/ENDPOINT",
		`{"event_id":"` + events[0] + `"}`: "EVENT/ENDPOINT", "{": "no JSON object",
	} {
		_, err := c.run(t, "deliveries", "replay", arg)
		require.Equal(t, exitUsage, codeOf(err), arg)
		require.ErrorContains(t, err, want)
	}
	_, err = c.run(t, "deliveries", "replay", events[0]+"/"+endpoint, "--tenant", "acme")
	require.Equal(t, exitUsage, codeOf(err))
}

// Of a list that is longer than a request may be, each is ordered once.
func TestReplayOfThousands(t *testing.T) { //nolint:paralleltest // standard input is the process's
	c := newConsole(t)
	const many = 2*replaysAtOnce + 1
	var in strings.Builder
	for range many {
		event, err := uuid.NewV7() // of today, as they are read together
		require.NoError(t, err)
		in.WriteString(event.String() + "/" + uuid.NewString() + "\n")
	}
	out, err := c.tryFed(t, in.String(), "deliveries", "replay", "-", "--json")
	require.Equal(t, exitFailed, codeOf(err))
	require.Equal(t, many, strings.Count(out, `"code":"not_found"`))

	_, err = c.tryFed(t, in.String()+"oops\n", "deliveries", "replay", "-")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "line 2002 of standard input")
	require.ErrorContains(t, err, "ordered before it: 2000")
}

// fed runs a command that reads this from standard input.
func (c console) fed(t *testing.T, in string, args ...string) string {
	t.Helper()
	out, err := c.tryFed(t, in, args...)
	require.NoError(t, err)
	return out
}

func (c console) tryFed(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in")
	require.NoError(t, os.WriteFile(file, []byte(in), 0o600))
	f, err := os.Open(file)
	require.NoError(t, err)
	defer func(stdin *os.File) { os.Stdin, err = stdin, f.Close() }(os.Stdin)
	os.Stdin = f
	return c.run(t, args...)
}

func TestTablesHoldNoControlCharacters(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	fields(&b, "name", "a\x1b[2Jb\nc\u202e")
	require.Equal(t, "name  a\ufffd[2Jb\ufffdc\ufffd\n", b.String())
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"end":                                 "endpoints",
		"endpoints z":                         "",
		"endpoints e":                         "enable",
		"deliveries list --st":                "--state --status-code",
		"deliveries list --state ":            "pending succeeded failed cancelled",
		"deliveries list --state failed --li": "--limit",
		"completion ":                         "bash zsh fish",
		"bench-":                              "",
		"serve --no-r":                        "--no-river-ui",
	} {
		out, err := output(t, append([]string{"complete", "--"}, strings.Split(line, " ")...)...)
		require.NoError(t, err)
		require.Equal(t, strings.Fields(want), strings.Fields(out), line)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := output(t, "completion", shell)
		require.NoError(t, err)
		require.Contains(t, out, "outhook complete --")
	}
	_, err := output(t, "completion", "tcsh")
	require.Equal(t, exitUsage, codeOf(err))
}

// In a real bash, with this program as the command outhook.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	executable, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(executable, filepath.Join(dir, "outhook")))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `source <(outhook completion bash)
		COMP_WORDS=(outhook deliveries list --state f); COMP_CWORD=4; _outhook; printf '%s\n' "${COMPREPLY[@]}"
		COMP_WORDS=(outhook endpoints ""); COMP_CWORD=2; _outhook; printf '%s ' "${COMPREPLY[@]}"`)
	cmd.Env = append(os.Environ(), runMain+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "failed\nlist show history create put update pause enable disable preview-filter test secret rotate-secret delete ", string(out))
}
