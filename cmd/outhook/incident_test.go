package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// endpoint makes an endpoint of the tenant acme, and sends it an event.
func (c console) endpoint(t *testing.T, url string, more ...string) (id, event string) {
	t.Helper()
	id = textOf(t, c.object(t, slices.Concat([]string{"endpoints", "create", url, "--tenant", "acme"}, more)...), "id")
	return id, c.event(t)
}

func (c console) event(t *testing.T) string {
	t.Helper()
	return textOf(t, c.object(t, "events", "send", "acme", "a", "1"), "id")
}

// Whoever asks about an event that did not arrive is told the cause in words, by this one command.
func TestAnIncidentIsNamedByOneCommand(t *testing.T) {
	t.Parallel()
	for name, incident := range map[string]func(*testing.T) (c console, event, words string){
		"FailingReceiver": failingReceiver, "DeadReceiver": deadReceiver, "UsedUp": usedUp, "PausedEndpoint": pausedEndpoint,
		"DisabledEndpoint": disabledEndpoint, "NoWorker": noWorker, "DeadWorker": deadWorker, "WrongKey": wrongKey, "Lane": inLane,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, event, words := incident(t)
			c.await(t, `(?m)^that is +`+words, "why", event)
		})
	}
}

func failingReceiver(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t, "--status", "500")
	_, event = c.endpoint(t, c.receiver, "--retry-schedule", "1h")
	return c, event, `it waits for try 2 of 2, due at \S+Z; attempt 1 was rejected with status 500$`
}

func deadReceiver(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, event = c.endpoint(t, gone.URL, "--retry-schedule", "1h")
	return c, event, `it waits for try 2 of 2, due at \S+Z; attempt 1 did not reach the endpoint \(connection refused: by 127\.0\.0\.1:\d+\)$`
}

func usedUp(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t, "--status", "404")
	_, event = c.endpoint(t, c.receiver, "--retry-schedule", "")
	return c, event, `it failed at \S+Z after 1 attempt, which was rejected with status 404: ` +
		`its retry schedule is used up; replay it when the endpoint works again\. Advice: there is nothing at the URL's path`
}

func pausedEndpoint(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t)
	id, _ := c.endpoint(t, c.receiver)
	c.must(t, "endpoints", "pause", id)
	return c, c.event(t), `its endpoint was paused by OUTHOOK_API_KEY at \S+Z: the delivery waits until somebody enables the endpoint$`
}

func disabledEndpoint(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t, "--status", "410")
	_, event = c.endpoint(t, c.receiver)
	return c, event, `it failed at \S+Z after 1 attempt, which was rejected with status 410: ` +
		`the endpoint answered 410 and was disabled\. Advice: the receiver wants nothing any more`
}

func noWorker(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = console{base: start(t, serveArgs(migrated(t), "--roles", "api")...).address(t)}
	_, event = c.endpoint(t, "http://127.0.0.1:9/")
	return c, event, "no worker process is alive \\(none was ever seen\\): start `outhook serve` with the role worker$"
}

// A worker that has ended takes nothing along.
func deadWorker(t *testing.T) (c console, event, words string) {
	t.Helper()
	database := migrated(t)
	args := slices.Clip(serveArgs(database, "--roles"))
	c = console{base: start(t, append(args, "api")...).address(t)}
	w := start(t, append(args, "worker")...)
	w.address(t)
	receiver, got := receiveAll(t)
	_, _ = c.endpoint(t, receiver)
	next(t, got)
	seen(t, database)
	require.NoError(t, w.end(t))
	return c, c.event(t), "no worker process is alive \\(the last was seen at \\S+Z\\): start `outhook serve` with the role worker$"
}

// seen waits until it is noted that a worker lives, as it is within seconds.
func seen(t *testing.T, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()

	require.Eventually(t, func() bool {
		var noted bool
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM outhook.leases WHERE name = 'workers')`).Scan(&noted)
		return err == nil && noted
	}, 60*time.Second, 10*time.Millisecond)
}

// The API has got a new key before the workers. Whoever starts with the wrong one is told which is missing.
func wrongKey(t *testing.T) (c console, event, words string) {
	t.Helper()
	database, older, newer := migrated(t), signature.NewKey(), signature.NewKey()
	with := func(keys, role string) []string {
		args := serveArgs(database, "--roles", role)
		args[slices.Index(args, "--encryption-key")+1] = keys
		return args
	}
	start(t, with(older, "worker")...).address(t)
	c = console{base: start(t, with(newer+","+older, "api")...).address(t)}
	_, event = c.endpoint(t, "http://127.0.0.1:9/")

	ring, err := signature.ParseKeyring(newer)
	require.NoError(t, err)
	_, err = output(t, with(older, "worker")...)
	require.ErrorContains(t, err, ring.KeyID())
	out, err := output(t, "doctor", "--database-url", database, "--encryption-key", older)
	require.Equal(t, exitFailed, codeOf(err))
	require.Regexp(t, `(?m)^missing_encryption_keys +1  VIOLATED\n +`+ring.KeyID(), out)
	return c, event, "a worker took it and could not send it: no key of the worker's OUTHOOK_ENCRYPTION_KEY opens " +
		"the endpoint's secrets; `outhook doctor` with the same variable names the missing key. It is tried again every few seconds$"
}

func inLane(t *testing.T) (c console, event, words string) {
	t.Helper()
	c = newConsole(t)
	c.endpoint(t, c.receiver, "--set", `rate_limit={"requests":1,"per":"minute","burst":1}`)
	c.event(t)
	return c, c.event(t), `it waits for its turn in its endpoint's lane, which has been limited since \S+Z \(it has a rate limit\): 1 delivery is ahead of it, ` +
		`and at most \d+ requests may be under way, 1 per minute$`
}

// A tenant's own key is told what is its own affair, and of a worker's trouble only that it is none of its endpoint's.
func TestATenantIsNotToldWhatIsWrongWithWorkers(t *testing.T) {
	t.Parallel()
	c, event, words := wrongKey(t)
	c.await(t, `(?m)`+words, "why", event)
	status, answer := call(t, http.MethodPost, c.base+"/api/keys", testAPIKey, `{"name": "acme's", "scope": "read", "tenant_id": "acme"}`)
	require.Equal(t, http.StatusCreated, status, answer)
	key := textOf(t, answer, "key")
	out, err := output(t, "why", event, "--url", c.base, "--api-key", key, "--json")
	require.NoError(t, err)
	var told map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &told))
	require.Equal(t, "given_back", told["because"])
	require.NotRegexp(t, `(?i)key|OUTHOOK_|secret`, told["text"])
	require.True(t, strings.HasPrefix(textOf(t, told, "text"), "a worker took it and could not send it: that is no fault of its endpoint"))
}
