package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// failing returns an endpoint with one failed delivery of the type a.b, whose next attempt will succeed.
func (c console) failing(t *testing.T) (endpoint string) {
	t.Helper()
	endpoint, ok := c.object(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--retry-schedule", "")["id"].(string)
	require.True(t, ok)
	c.must(t, "events", "send", "acme", "a.b", "1")
	c.await(t, ` a\.b +failed`, "deliveries", "list")
	return endpoint
}

func TestRecover(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	id := c.failing(t)
	c.must(t, "endpoints", "disable", id)
	c.must(t, "events", "send", "acme", "missed.one", "1")
	_, err := c.run(t, "recover", id, "--since", "1h")
	require.Equal(t, exitConflict, codeOf(err), "it is disabled")
	_, err = c.run(t, "recover", id, "--since", "1h", "--dry-run")
	require.Equal(t, exitConflict, codeOf(err), "the same of a dry run")
	c.must(t, "endpoints", "enable", id)

	dry := func(args ...string) string { return c.must(t, append(args, "--since", "1h", "--dry-run")...) }
	require.Equal(t, "would replay 1 delivery of 1 endpoint\n", dry("recover", id))
	require.Equal(t, "would replay 2 deliveries of 1 endpoint\n", dry("recover", id, "--missed"))
	require.Equal(t, "would replay 0 deliveries of 0 endpoints\n", dry("recover", id, "--event-type", "c.*"))
	require.Equal(t, "would replay 1 delivery of 1 endpoint\n", dry("operations", "start", "--tenant", "acme"))
	require.InDelta(t, 1, c.object(t, "operations", "start", "--since", "1h", "--dry-run")["replay_count"], 0)
	require.Equal(t, 1, strings.Count(c.must(t, "operations", "list"), "\n"), "nothing is ordered")

	p := start(t, "recover", id, "--since", "1h", "--missed", "--url", c.base, "--api-key", testAPIKey)
	require.Regexp(t, `^state +completed$`, p.line(t, "state "))
	require.Regexp(t, `^deliveries .*missed`, p.line(t, "deliveries "))
	require.Regexp(t, `^replayed +2$`, p.line(t, "replayed "))
	<-p.done
	require.NoError(t, p.err)
	require.NotContains(t, p.stderr.String(), "\r", "no bar where there is no terminal")
	c.await(t, ` a\.b +succeeded`, "deliveries", "list")
	c.await(t, ` missed\.one +failed`, "deliveries", "list") // its first request is refused
	require.Regexp(t, `(?m) recover +completed +acme +`+id+` `, c.must(t, "operations", "list", "--endpoint", id))
}

func TestOperationsAreSteered(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	id := c.failing(t)
	_, err := c.run(t, "recover", id)
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "--since")
	_, err = c.run(t, "recover", id, "--since", "1h", "--state", "succeeded")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "failed or cancelled")
	_, err = c.run(t, "recover", uuid.NewString(), "--since", "1h")
	require.Equal(t, exitNotFound, codeOf(err))

	// Without --until it goes on for 15 s at least.
	o := c.object(t, "recover", id, "--since", "1h", "--event-type", "a.*,b.c", "--state", "failed", "--no-wait")
	require.Equal(t, []any{"a.*", "b.c"}, o["event_types"])
	require.Equal(t, []any{"failed"}, o["states"])
	require.Equal(t, "running", o["state"])
	operation, ok := o["id"].(string)
	require.True(t, ok)
	require.Regexp(t, `(?m)^state +paused$`, c.must(t, "operations", "pause", operation))
	require.Contains(t, c.must(t, "operations", "list", "--state", "paused", "--tenant", "acme"), operation)
	require.Equal(t, 1, strings.Count(c.must(t, "operations", "list", "--state", "running"), "\n"), "the header alone")
	_, err = c.run(t, "recover", id, "--since", "1h")
	require.Equal(t, exitConflict, codeOf(err), "one at a time")
	require.Regexp(t, `(?m)^state +running$`, c.must(t, "operations", "resume", operation))
	require.Regexp(t, `(?m)^state +cancelled$`, c.must(t, "operations", "cancel", operation))
	require.Regexp(t, `(?m)^event types +a\.\*,b\.c$`, c.must(t, "operations", "show", operation))
	_, err = c.run(t, "operations", "resume", operation)
	require.Equal(t, exitConflict, codeOf(err))
}

// Ctrl-C ends the command and not the operation; what somebody cancels is no success.
func TestRecoverIsInterrupted(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	id := c.failing(t)
	args := []string{"recover", id, "--since", "1h", "--json", "--url", c.base, "--api-key", testAPIKey}
	p := start(t, args...)
	p.code = exitFailed
	running := regexp.MustCompile(`operation (\S+) is running`)
	require.Eventually(t, func() bool { return running.MatchString(p.stderr.String()) }, 60*time.Second, 10*time.Millisecond)
	operation := running.FindStringSubmatch(p.stderr.String())[1]
	require.Equal(t, exitFailed, codeOf(p.end(t)))
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(p.line(t, "{")), &o))
	require.Equal(t, operation, o["id"])
	require.Contains(t, p.stderr.String(), "outhook operations pause "+operation)
	require.Contains(t, p.stderr.String(), "outhook operations cancel "+operation)
	require.Equal(t, "running", c.object(t, "operations", "show", operation)["state"])
	c.must(t, "operations", "cancel", operation)

	p = start(t, args...)
	p.code = exitFailed
	require.Eventually(t, func() bool { return running.MatchString(p.stderr.String()) }, 60*time.Second, 10*time.Millisecond)
	c.must(t, "operations", "cancel", running.FindStringSubmatch(p.stderr.String())[1])
	require.Contains(t, p.line(t, "{"), "cancelled")
	<-p.done
	require.Equal(t, exitFailed, codeOf(p.err))
}

func TestOperationBar(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	bar := operationBar{w: &b}
	bar.show(&client.Operation{State: "running"})
	require.Contains(t, b.String(), "replaying")
	require.NotContains(t, b.String(), "%", "nothing is counted yet")
	total := 4
	bar.show(&client.Operation{State: "running", TotalCount: &total, ReplayedCount: 1, SkippedCount: 1})
	require.Contains(t, b.String(), "50%")
	require.Contains(t, b.String(), "2/4")
	bar.show(&client.Operation{State: "paused", TotalCount: &total, ReplayedCount: 2, SkippedCount: 1})
	require.Contains(t, b.String(), "paused  75%")
	bar.show(&client.Operation{State: "running", TotalCount: &total, ReplayedCount: 5})
	require.Contains(t, b.String(), "5/5", "more matched in the meantime")
	bar.close()
	require.True(t, strings.HasSuffix(b.String(), "\x1b[2K\r"), "it is wiped off: %q", b.String())
}

func TestOperationsStart(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "--fail-first", "1")
	id := c.failing(t)
	_, err := c.run(t, "operations", "start")
	require.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, "--since")
	_, err = c.run(t, "operations", "start", "--since", "1h", "--state", "pending")
	require.Equal(t, exitUsage, codeOf(err))

	o := c.object(t, "operations", "start", "--since", "1h", "--until", "1s", "--tenant", "another", "--event-type", "a.*",
		"--state", "failed,succeeded", "--no-wait")
	require.Equal(t, "replay", o["kind"])
	require.Equal(t, "another", o["tenant_id"])
	require.Equal(t, []any{"failed", "succeeded"}, o["states"])
	require.Equal(t, []any{"a.*"}, o["event_types"])

	_, err = c.run(t, "operations", "start", "--since", "1h", "--tenant", "another", "--endpoint", id)
	require.ErrorContains(t, err, "no endpoint of the tenant")
	out := c.must(t, "operations", "start", "--since", "1h", "--tenant", "acme", "--endpoint", id)
	require.Regexp(t, `(?m)^state +completed$`, out)
	require.Regexp(t, `(?m)^replayed +1$`, out)
	c.await(t, ` a\.b +succeeded`, "deliveries", "list")
}
