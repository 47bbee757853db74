package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// applyConsole is a server and a file of endpoints.
type applyConsole struct {
	console

	file string
}

func newApplyConsole(t *testing.T) applyConsole {
	t.Helper()
	return applyConsole{console{base: start(t, serveArgs(migrated(t))...).address(t)}, filepath.Join(t.TempDir(), "endpoints.yaml")}
}

func (c applyConsole) write(t *testing.T, yaml string) {
	t.Helper()
	require.NoError(t, os.WriteFile(c.file, []byte(yaml), 0o600))
}

func (c applyConsole) apply(t *testing.T, args ...string) string {
	t.Helper()
	return c.must(t, append([]string{"apply", c.file}, args...)...)
}

// audited returns how many changes the audit trail has.
func (c applyConsole) audited(t *testing.T) int {
	t.Helper()
	api, err := client.New(c.base, testAPIKey)
	require.NoError(t, err)
	page, err := api.ListAudit(t.Context(), client.ListAuditParams{Limit: 200})
	require.NoError(t, err)
	return len(page.Items)
}

const twoEndpoints = `
x-shared: &shared
  timeout_ms: 5000
  headers: {X-Team: billing}
endpoints:
  - <<: *shared
    tenant_id: acme
    uid: main
    url: https://example.com/webhooks
    event_types: [invoice.*]
    metadata: {since: 2026-01-02}
    secret_headers: {X-Token: "Bearer ${APPLY_TOKEN}"}
  - tenant_id: globex
    uid: main
    url: https://example.org/webhooks
    retry_schedule: fast
    rate_limit: {requests: 5, per: minute}
    secret: ${APPLY_SECRET}
    status: paused
`

func TestApplyTwiceIsOnce(t *testing.T) {
	t.Setenv("APPLY_TOKEN", "token-one")
	t.Setenv("APPLY_SECRET", "whsec_"+strings.Repeat("A", 44))
	c := newApplyConsole(t)
	c.write(t, twoEndpoints)

	would := c.apply(t, "--dry-run")
	require.Regexp(t, `(?s)^create +acme/main\n.*  headers: \{"X-Team": ?"billing"\}\n.*  secret_headers: \(secret, not shown\)\n.*create +globex/main\n`, would)
	require.Contains(t, would, `status: "paused"`)
	require.NotContains(t, would, "token-one")
	require.NotContains(t, would, "whsec_")
	require.Zero(t, c.audited(t), "a dry run writes nothing")

	made := c.apply(t)
	require.Regexp(t, `^created +acme/main\n  secret: whsec_\S+ \(keep it.*\)\ncreated +globex/main\n$`, made, "a secret that was given is not repeated")
	show := c.object(t, "endpoints", "show", "main", "--tenant", "acme")
	require.Equal(t, map[string]any{"since": "2026-01-02", "outhook.apply": "default"}, show["metadata"])
	require.Equal(t, "paused", c.object(t, "endpoints", "show", "main", "--tenant", "globex")["status"])

	entries := c.audited(t)
	require.Equal(t, "unchanged  acme/main\nunchanged  globex/main\n", c.apply(t))
	require.Equal(t, "unchanged  acme/main\nunchanged  globex/main\n", c.apply(t, "--dry-run"))
	require.Equal(t, entries, c.audited(t), "what is as it should be is not audited")

	t.Setenv("APPLY_TOKEN", "token-two")
	c.write(t, strings.NewReplacer("example.com/webhooks", "example.com/hooks", "status: paused", "status: enabled").Replace(twoEndpoints))
	require.Equal(t, "change     acme/main\n  secret_headers: (secret, not shown)\n"+
		"  url: \"https://example.com/webhooks\" -> \"https://example.com/hooks\"\n"+
		"change     globex/main\n  status: \"paused\" -> \"enabled\"\n", c.apply(t, "--dry-run"))
	require.Equal(t, "changed    acme/main: secret_headers, url\nchanged    globex/main: status\n", c.apply(t))
	require.Equal(t, "unchanged  acme/main\nunchanged  globex/main\n", c.apply(t))
}

func TestApplyTriesAllAndSaysWhatIsRefused(t *testing.T) { //nolint:paralleltest // redirects standard input
	c := newApplyConsole(t)
	out, err := c.tryFed(t, `
endpoints:
  - {uid: one, url: "https://example.com"}
  - uid: two
    url: https://user:secret@example.com
    headers:
      Host: x
  - uid: three
    url: https://example.com
    event_typs: [a]
  - uid: four
    url: https://example.com
    secret: ${APPLY_NOT_SET}
  - url: https://example.com
  - {uid: 5, url: "https://example.com"}
  - {uid: six, url: "https://example.com", status: off}
  - {uid: one, url: "https://example.com"}
  - {uid: last, url: "https://example.com"}
`, "apply", "-", "--tenant", "acme", "--prune")
	require.Equal(t, exitFailed, codeOf(err))

	require.Regexp(t, `^created +acme/one\n`, out)
	require.Regexp(t, `(?m)^created +acme/last$`, out)
	for _, want := range []string{
		"  stdin:5: url ", "  stdin:6: headers.Host ",
		"  stdin:10: there is no such member: event_typs (did you mean event_types?)\n",
		"  stdin:13: secret: the variable APPLY_NOT_SET is not set\n", "  stdin:14: uid is required",
		"  stdin:15: uid must be a text", "  stdin:16: status must be", "  stdin:17: this endpoint has an entry already: stdin:3\n",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "user:secret")

	out, err = c.tryFed(t, "endpoints: [{tenant_id: acme, uid: nine, url: nowhere}]", "apply", "-", "--json", "--dry-run")
	require.Equal(t, exitFailed, codeOf(err))
	var line applied
	require.NoError(t, json.Unmarshal([]byte(out), &line))
	require.Equal(t, applyRefused, line.Result)
	require.True(t, line.DryRun)
}

func TestApplyPrunesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	c := newApplyConsole(t)
	c.must(t, "endpoints", "put", "by-hand", "https://example.com", "--tenant", "acme")
	const three = `
endpoints:
  - {tenant_id: acme, uid: a, url: "https://example.com"}
  - {tenant_id: acme, uid: b, url: "https://example.com"}
  - {tenant_id: globex, uid: a, url: "https://example.com"}
`
	c.write(t, "set: other\nendpoints: [{tenant_id: acme, uid: theirs, url: 'https://example.com'}]")
	c.apply(t)
	c.write(t, three)
	c.apply(t)

	c.write(t, `endpoints: [{tenant_id: acme, uid: a, url: "https://example.com"}]`)
	require.Equal(t, "unchanged  acme/a\n", c.apply(t), "nothing is deleted unasked")
	require.Equal(t, "unchanged  acme/a\ndelete     acme/b\n", c.apply(t, "--prune", "--dry-run"))
	require.Equal(t, "unchanged  acme/a\ndeleted    acme/b\n", c.apply(t, "--prune"))
	for name, tenant := range map[string]string{"by-hand": "acme", "theirs": "acme", "a": "globex"} {
		c.must(t, "endpoints", "show", name, "--tenant", tenant)
	}

	c.write(t, `endpoints: [{tenant_id: acme, uid: a, url: nowhere}]`)
	_, err := c.run(t, "apply", c.file, "--prune", "--tenant", "globex")
	require.Equal(t, exitFailed, codeOf(err))
	c.must(t, "endpoints", "show", "a", "--tenant", "globex")

	c.write(t, `endpoints: []`)
	_, err = c.run(t, "apply", c.file, "--prune")
	require.ErrorContains(t, err, "--tenant")
	require.Equal(t, exitUsage, codeOf(err))
	require.Equal(t, "deleted    globex/a\n", c.apply(t, "--prune", "--tenant", "globex"))
}

// A key that is bound to a tenant needs no tenant_id, and reaches nobody else's endpoints.
func TestApplyWithTheKeyOfATenant(t *testing.T) {
	t.Parallel()
	c := newApplyConsole(t)
	c.write(t, "endpoints: [{tenant_id: acme, uid: a, url: 'https://example.com'}, {tenant_id: globex, uid: b, url: 'https://example.com'}]")
	c.apply(t)

	api, err := client.New(c.base, testAPIKey)
	require.NoError(t, err)
	tenant := "acme"
	key, err := api.CreateKey(t.Context(), client.NewKey{Name: "acme", Scope: "tenant", TenantID: &tenant}, client.CreateKeyParams{})
	require.NoError(t, err)
	run := func(args ...string) (string, error) {
		return output(t, append([]string{"apply", c.file, "--url", c.base, "--api-key", key.Key}, args...)...)
	}

	c.write(t, "endpoints: [{uid: new, url: 'https://example.com'}]")
	for _, args := range [][]string{{"--prune", "--dry-run"}, {"--prune"}} {
		out, err := run(args...)
		require.NoError(t, err)
		require.Regexp(t, `^created? +acme/new\n(.*\n)+deleted? +acme/a\n$`, out)
		require.NotContains(t, out, "globex")
	}
	c.must(t, "endpoints", "show", "b", "--tenant", "globex")

	c.write(t, "endpoints: [{tenant_id: globex, uid: b, url: 'https://example.org'}, {uid: new, url: 'https://example.com'}]")
	out, err := run()
	require.Equal(t, exitFailed, codeOf(err))
	require.Regexp(t, `(?s)^refused +globex/b\n.*unchanged +acme/new\n$`, out)

	_, err = output(t, "apply", c.file, "--url", c.base, "--api-key", "wrong")
	require.Equal(t, exitKey, codeOf(err), "with no valid key nothing is tried")
}

func TestApplyFileSaysWhereItIsWrong(t *testing.T) {
	t.Parallel()
	parse := func(text string) (*applyFile, error) {
		return parseApplyFile("f", text, "", func(name string) string { return map[string]string{"A": "1"}[name] })
	}
	for text, want := range map[string]string{
		"":                              "f: it must be a mapping",
		"[]":                            "f: it must be a mapping",
		"a: [":                          "f: line 1: ",
		"set: x":                        "f: endpoints is missing",
		"endpoints: 5":                  "f:1: endpoints must be a list",
		"endpoints: []\nendpoints: []":  "f:2: there is no such member, or it is given twice: endpoints",
		"endpoints: []\nset: ''":        "f:2: set must be a name",
		"endpoints: []\nendpoint: []":   "f:2: there is no such member",
		"endpoints: []\n---\nset: x":    "f: it must be one YAML document",
		"endpoints: []\nx-a: &a [*b]\n": "f: unknown anchor",
	} {
		_, err := parse(text)
		require.ErrorContains(t, err, want, text)
	}

	for text, want := range map[string]string{
		"endpoints:\n- 5":                                      "f:2: an endpoint must be a mapping",
		"endpoints:\n- uid: a\n  uid: b":                       "f:3: uid is given twice",
		"endpoints:\n- uid: a\n  timeout_ms: .inf":             "f:3: this is no text, number, truth value or null",
		"endpoints:\n- <<: 5\n  uid: a":                        "f:2: << takes a mapping",
		"endpoints:\n- uid: a\n  metadata: &m {a: *m}":         "f:3: the file's aliases make it too large",
		"endpoints:\n- uid: a\n  metadata: {? [a] : b}":        "f:3: a name must be a text",
		"endpoints:\n- {uid: a, metadata: {outhook.apply: x}}": "f:2: metadata must not have outhook.apply",
	} {
		f, err := parse(text)
		require.NoError(t, err, text)
		require.NotEmpty(t, f.entries[0].refused, text)
		require.Contains(t, f.entries[0].refused[0], want)
	}

	f, err := parse("endpoints:\n- {uid: a, secret: '$${A}${A}', description: '${A}', timeout_ms: 0x10, event_types: [yes, 'no']}")
	require.NoError(t, err)
	body, err := json.Marshal(f.entries[0].members)
	require.NoError(t, err)
	require.JSONEq(t, `{"uid":"a","secret":"${A}1","description":"${A}","timeout_ms":16,"event_types":["yes","no"]}`, string(body))

	_, err = readApplyFile(filepath.Join(t.TempDir(), "none.yaml"), "", os.Getenv)
	require.Equal(t, exitUsage, codeOf(err))
	large := filepath.Join(t.TempDir(), "large.yaml")
	require.NoError(t, os.WriteFile(large, make([]byte, maxApplyBytes+1), 0o600))
	_, err = readApplyFile(large, "", os.Getenv)
	require.ErrorContains(t, err, "larger than 8388608 bytes")
}
