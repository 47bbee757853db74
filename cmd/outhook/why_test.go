package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// order gives an order to River UI, as a person does by its buttons.
func (c console) order(t *testing.T, method, path string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.base+"/riverui"+path, nil)
	require.NoError(t, err)
	req.SetBasicAuth("anybody", testAPIKey)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
}

// Whoever asks why a delivery does not arrive is told the one cause, with real workers, or none.
func TestWhyAndWorkers(t *testing.T) {
	t.Parallel()
	database := migrated(t)
	args := slices.Clip(serveArgs(database, "--roles"))
	api := start(t, append(args, "api")...)
	c := console{base: api.address(t)}
	answer := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	free := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(free)
	endpoint := textOf(t, c.object(t, "endpoints", "create", receiver.URL, "--tenant", "acme", "--uid", "main", "--attempt-timeout", "30s"), "id")
	send := func() string { return textOf(t, c.object(t, "events", "send", "acme", "a", "1"), "id") }

	event := send()
	require.Regexp(t, `(?m)^endpoint +`+endpoint+`\nstate +pending\nbecause +no_live_worker\nthat is +no worker process is alive`, c.must(t, "why", event))
	require.Regexp(t, `(?s)^no worker process lives.*\ndeliver +1 +\d+ s +0 +0\n`, c.must(t, "workers"))

	start(t, append(args, "worker")...)
	c.await(t, `because +sending\nthat is +the worker \S+ has had it since \S+Z: attempt 1\n`, "why", event, endpoint)
	require.Regexp(t, `(?sm)^WORKER .*\n\S+ +\S+Z +deliver +1 +\S+Z$`, c.must(t, "workers"))
	c.await(t, `(?m)^pacer +\S+ +\S+Z$`, "workers")

	c.order(t, http.MethodPut, "/api/queues/deliver/pause")
	waits := send()
	require.Regexp(t, `because +queue_paused\nthat is +the queue that it goes through was paused by a person`, c.must(t, "why", waits, endpoint))
	require.Regexp(t, `(?m)^the queue deliver is paused since \S+Z, with 1 due: see .outhook paused., or River UI, whose Resume ends that$`, c.must(t, "workers"))
	out, err := output(t, "doctor", "--database-url", database)
	require.NoError(t, err, out)
	require.Regexp(t, `(?m)^paused_queues +1  nothing of them is worked until River UI's Resume$`, out)
	c.order(t, http.MethodPut, "/api/queues/deliver/resume")

	free()
	c.await(t, `because +settled\nthat is +it was delivered at \S+Z by attempt 1, which succeeded with status 204\n`, "why", waits)
	c.must(t, "endpoints", "pause", endpoint)
	waits = send()
	require.Regexp(t, `because +endpoint_paused\nthat is +its endpoint was paused by OUTHOOK_API_KEY at \S+Z: the delivery waits`, c.must(t, "why", waits))
	require.Equal(t, "endpoint_paused", c.object(t, "why", waits)["because"])
	require.Equal(t, "the event's tenant has no such endpoint\n", c.must(t, "why", waits, "00000000-0000-0000-0000-000000000000"))
	c.must(t, "endpoints", "create", receiver.URL, "--tenant", "acme", "--uid", "later")
	require.Regexp(t, `state +none\nbecause +created_later\nthat is +the endpoint was created at \S+Z, .+ after the event\n`, c.must(t, "why", waits, "later"))
	keyed := textOf(t, c.object(t, "events", "send", "acme", "a", "1", "--idempotency-key", "order-7"), "id")
	require.Regexp(t, `^the idempotency key is taken since \S+Z by the event `+keyed+` \(a\): .*\n\nendpoint `, c.must(t, "why", "order-7", "--tenant", "acme"))
	_, err = c.run(t, "why", "order-8", "--tenant", "acme")
	require.Equal(t, exitNotFound, codeOf(err))
	_, err = c.run(t, "why", "00000000-0000-0000-0000-000000000000")
	require.Equal(t, exitNotFound, codeOf(err))
}

// What the API knows of an endpoint, of who did what and of an erasure, the command line shows.
func TestTheCommandLineShowsWhatTheAPIKnows(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	id := textOf(t, c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--retry-schedule", "",
		"--set", `rate_limit={"requests":7,"per":"minute","burst":2}`, "--set", "max_in_flight=3", "--set", `secret_headers={"Authorization":"x"}`), "id")
	c.must(t, "events", "send", "acme", "a", "1")
	c.await(t, `(?m)^health +healthy\nfailures +1 since \S+Z\nlast failure +\S+Z \(status 500\)\nlast success +-$`, "endpoints", "show", id)
	shown := c.must(t, "endpoints", "show", id)
	require.Regexp(t, `(?m)^status +enabled since \S+Z$`, shown)
	require.Regexp(t, `(?m)^lane +limited since \S+Z \(it has a rate limit\)$`, shown)
	require.Regexp(t, `(?m)^requests at a time +3\nrate limit +7 per minute, bursts of 2$`, shown)
	require.Regexp(t, `(?m)^updated +\S+Z\nsecret headers +authorization$`, shown)
	require.Regexp(t, `(?m)^ID +UID +TENANT +STATUS +HEALTH +LANE .*\n`+id+` +- +acme +enabled +healthy, 1 failed +limited +all +http`, c.must(t, "endpoints", "list"))

	c.must(t, "endpoints", "pause", id)
	require.Regexp(t, `(?m)^\S+Z +OUTHOOK_API_KEY +update-endpoint +acme +endpoint `+id+` +127\.0\.0\.1 +members=\["status"\] status="paused"$`,
		c.must(t, "audit", "list", "--object", id, "--action", "update-endpoint", "--since", "1h"))
	require.NotContains(t, c.must(t, "audit", "list", "--until", "1h"), id)
	require.Equal(t, "create-endpoint", c.object(t, "audit", "list", "--order", "asc", "--limit", "1")["action"])

	_, err := c.run(t, "erasures", "start", "acme")
	require.ErrorContains(t, err, "--yes")
	erasure := textOf(t, c.object(t, "erasures", "start", "acme", "--yes"), "id")
	require.Regexp(t, `(?m)^id +`+erasure+`\ntenant +acme\nstate +running\nordered +\S+Z\ncompleted +-$`, c.must(t, "erasures", "show", erasure))
}
