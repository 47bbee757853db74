package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// nodeDir holds the script that drives Chromium; npm ci installs its library.
const nodeDir = "../../jobs/testdata/node"

// pages is what Chromium saw of River UI: the text of three pages, and all data that they loaded.
type pages struct {
	Queues, Jobs, Job, Data string
	Errors                  []string
}

// browse opens River UI in Chromium.
func browse(t *testing.T, base, event string) (seen pages) {
	t.Helper()
	node, nodeErr := exec.LookPath("node")
	chromium, chromiumErr := exec.LookPath("chromium")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "playwright-core"))
	dbtest.RequireTool(t, "Node, Chromium, or npm ci in jobs/testdata/node,", nodeErr == nil && chromiumErr == nil && missing == nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "browse.mjs", chromium, base+"/riverui", testAPIKey, event)
	cmd.Dir, cmd.Stderr = nodeDir, t.Output()
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &seen), "%s", out)
	return seen
}

func TestRiverUIShowsJobsAndNoSecrets(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	p := start(t, serveArgs(migrated(t))...)
	base := p.address(t)
	_, endpoint := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver.URL+
		`/Marked1?token=Marked2", "headers": {"x-token": "Marked3"}, "description": "Marked4"}`)
	secret := textOf(t, endpoint, "secret")
	_, event := call(t, http.MethodPost, base+"/api/events", testAPIKey,
		`{"tenant_id": "acme", "type": "invoice.paid", "payload": {"name": "Marked5"}, "idempotency_key": "Marked6"}`)
	id := textOf(t, event, "id")
	require.Eventually(t, func() bool {
		_, answer := call(t, http.MethodGet, base+"/api/deliveries/"+id+"/"+textOf(t, endpoint, "id"), testAPIKey, "")
		return answer["state"] == "succeeded"
	}, 20*time.Second, 50*time.Millisecond)

	seen := browse(t, base, id)
	require.Empty(t, seen.Errors)
	require.Regexp(t, `(?m)^deliver\b`, seen.Queues)
	require.Contains(t, seen.Queues, "deliver_bulk")
	require.Contains(t, seen.Jobs, "deliver")
	require.Contains(t, seen.Job, id)
	require.Contains(t, seen.Job, textOf(t, endpoint, "id"))
	require.Contains(t, seen.Data, id)
	for _, text := range []string{seen.Queues, seen.Jobs, seen.Job, seen.Data} {
		require.NotContains(t, text, "Marked")
		require.NotContains(t, text, strings.TrimPrefix(secret, "whsec_"))
		require.NotContains(t, text, receiver.URL)
	}
}

func TestRiverUIIsForAdminsOfThisOrigin(t *testing.T) {
	t.Parallel()
	base := start(t, serveArgs(migrated(t))...).address(t)
	for _, test := range []struct {
		method, path, key, site string
		want                    int
	}{
		{http.MethodGet, "/riverui/", testAPIKey, "", http.StatusOK},
		{http.MethodGet, "/riverui/api/queues", testAPIKey, "cross-site", http.StatusOK},
		{http.MethodGet, "/riverui/", "", "", http.StatusUnauthorized},
		{http.MethodGet, "/riverui/", "wrong", "", http.StatusUnauthorized},
		{http.MethodPut, "/riverui/api/queues/deliver/pause", testAPIKey, "cross-site", http.StatusForbidden},
		{http.MethodPut, "/riverui/api/queues/deliver/pause", testAPIKey, "same-origin", http.StatusOK},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path, nil)
		require.NoError(t, err)
		if test.key != "" {
			req.SetBasicAuth("anybody", test.key)
		}
		req.Header.Set("Sec-Fetch-Site", test.site)
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, test.want, res.StatusCode, "%+v", test)
	}
}

// Cancel ends the delivery, and a deleted job comes back, when reconcile or a person's doctor looks.
func TestRiverUIButtonsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	args := serveArgs(url)
	base := start(t, append(args, "--roles", "api")...).address(t)
	listener := start(t, "listen", "--address", "127.0.0.1:0")
	status, endpoint := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey,
		`{"tenant_id": "acme", "url": "`+field(listener.line(t, "receiving on"), 2)+`"}`)
	require.Equal(t, http.StatusCreated, status)
	var ids [2]string
	for i := range ids {
		_, event := call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id": "acme", "type": "invoice.paid", "payload": 1}`)
		ids[i] = textOf(t, event, "id")
	}
	press := func(button, jobID string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/riverui/api/jobs/"+button, strings.NewReader(`{"ids": ["`+jobID+`"]}`))
		require.NoError(t, err)
		req.SetBasicAuth("anybody", testAPIKey)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	press("cancel", "1")
	press("delete", "2")
	out, err := output(t, "doctor", "--database-url", url)
	require.ErrorIs(t, err, exitError(1))
	require.Contains(t, out, ids[0])
	require.Contains(t, out, ids[1])
	out, err = output(t, "doctor", "--repair", "--database-url", url)
	require.ErrorIs(t, err, exitError(1))
	require.Regexp(t, `(?m)^no_live_worker +1  VIOLATED$`, out)
	require.Equal(t, 1, strings.Count(out, "VIOLATED"), out)
	require.Contains(t, out, "repaired 1 of deliveries_of_cancelled_jobs\n")
	require.Contains(t, out, "repaired 1 of deliveries_without_job\n")

	start(t, append(args, "--roles", "worker")...)
	listener.line(t, "attempt 1")
	require.Eventually(t, func() bool {
		_, answer := call(t, http.MethodGet, base+"/api/deliveries/"+ids[1]+"/"+textOf(t, endpoint, "id"), testAPIKey, "")
		return answer["state"] == "succeeded"
	}, 20*time.Second, 50*time.Millisecond)
	_, answer := call(t, http.MethodGet, base+"/api/deliveries/"+ids[0]+"/"+textOf(t, endpoint, "id"), testAPIKey, "")
	require.Equal(t, "cancelled", answer["state"])
	require.Equal(t, "operator", answer["reason"])
	require.InDelta(t, 0, answer["attempt_count"], 0)
}

func TestRiverUICanBeOff(t *testing.T) {
	t.Parallel()
	base := start(t, serveArgs(migrated(t), "--no-river-ui")...).address(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/riverui/", nil)
	require.NoError(t, err)
	req.SetBasicAuth("anybody", testAPIKey)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

func textOf(t *testing.T, answer map[string]any, name string) string {
	t.Helper()
	text, ok := answer[name].(string)
	require.True(t, ok, "%s in %v", name, answer)
	return text
}
