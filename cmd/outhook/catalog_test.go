package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/catalog"
)

// catalogFile copies a document of a public API's shape.
func catalogCopy(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../internal/catalog/testdata", name))
	require.NoError(t, err)
	return fileIn(t, t.TempDir(), name, string(text))
}

func fileIn(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// documentOf reads a file as JSON.
func fileJSON(t *testing.T, path string) json.RawMessage {
	t.Helper()
	document, err := catalog.FromYAML([]byte(fileText(t, path)))
	require.NoError(t, err)
	return document
}

// What a team's document says is pushed, compared and pulled: a file that says the same stays as it is, with its comments.
func TestCatalogPushAndPull(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	path := catalogCopy(t, "stripe.json")
	before := fileText(t, path)
	dry := c.must(t, "catalog", "push", path, "--dry-run")
	require.Equal(t, "customer.created: is new\ninvoice.paid: is new\n2 would change, 0 unchanged\n", dry)
	require.Contains(t, c.must(t, "catalog", "push", path), "2 changed, 0 unchanged")
	require.Equal(t, "0 changed, 2 unchanged\n", c.must(t, "catalog", "push", path))
	require.Equal(t, "nothing is different\n", c.must(t, "catalog", "pull", path))
	require.Equal(t, before, fileText(t, path))

	// What would break receivers is refused, with what it is, and exits 1, also of a dry run.
	fileIn(t, filepath.Dir(path), "stripe.json", strings.Replace(before, `"email": {"type": ["string", "null"]},`, "", 1))
	for _, args := range [][]string{{"catalog", "push", path}, {"catalog", "push", path, "--dry-run"}} {
		out, err := c.run(t, args...)
		require.Equal(t, exitFailed, codeOf(err), "%v", args)
		require.Contains(t, out, "customer.created/data/object/email: is gone  BREAKING\n")
	}
	require.Contains(t, c.must(t, "catalog", "show", "customer.created"), `"email"`)
	require.Contains(t, c.must(t, "catalog", "push", path, "--allow-breaking", "--note", "GDPR"), "BREAKING")
	require.Regexp(t, `(?m)^version 2 +\S+Z BREAKING GDPR$`, c.must(t, "catalog", "show", "customer.created"))
	require.Equal(t, true, c.object(t, "catalog", "push", path, "--dry-run")["dry_run"])

	// Pulled anew, as JSON, as YAML, into a document with more in it, and to standard output, it says the same.
	pushed := fileJSON(t, path)
	folder := t.TempDir()
	for _, name := range []string{"new.json", "new.yaml"} {
		require.Contains(t, c.must(t, "catalog", "pull", filepath.Join(folder, name)), "wrote ")
		require.True(t, catalog.Equal(pushed, fileJSON(t, filepath.Join(folder, name))), name)
	}
	require.True(t, catalog.Equal(pushed, json.RawMessage(strings.TrimSpace(c.must(t, "catalog", "pull", "-")))))
	api := fileIn(t, folder, "api.yaml", "openapi: 3.1.0\ninfo: {title: API, version: '1'}\npaths: {/a: {get: {}}}\n")
	c.must(t, "catalog", "pull", api)
	require.Contains(t, fileText(t, api), "/a:")
	require.Contains(t, fileText(t, api), "invoice.paid:")
	require.Equal(t, "0 changed, 2 unchanged\n", c.must(t, "catalog", "push", api))
}

// A folder with a schema for each type is pushed and pulled, file by file.
func TestCatalogFolder(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	folder := t.TempDir()
	for _, name := range []string{"order.placed.json", "order.lost.json"} {
		text, err := os.ReadFile(filepath.Join("../../internal/catalog/testdata/files", name))
		require.NoError(t, err)
		fileIn(t, folder, name, string(text))
	}
	require.Contains(t, c.must(t, "catalog", "push", folder), "2 changed")
	require.Equal(t, "nothing is different\n", c.must(t, "catalog", "pull", folder))
	c.must(t, "catalog", "set", "order.placed", "--state", "deprecated")
	require.Equal(t, "wrote "+filepath.Join(folder, "order.placed.json")+"\n", c.must(t, "catalog", "pull", folder))
	require.Contains(t, fileText(t, filepath.Join(folder, "order.placed.json")), `"deprecated": true`)

	other := filepath.Join(t.TempDir(), "events") + "/"
	c.must(t, "catalog", "pull", other)
	for _, name := range []string{"order.placed.json", "order.lost.json"} {
		require.True(t, catalog.Equal(fileJSON(t, filepath.Join(folder, name)), fileJSON(t, filepath.Join(other, name))), name)
	}

	for path, want := range map[string]string{
		filepath.Join(folder, "absent.yaml"): "no such file", t.TempDir(): "no file called like an event type",
		fileIn(t, t.TempDir(), "x.yaml", "a: [1"): "reading",
	} {
		_, err := c.run(t, "catalog", "push", path)
		require.Equal(t, exitUsage, codeOf(err), path)
		require.ErrorContains(t, err, want)
	}
	bad := fileIn(t, t.TempDir(), "bad.json", `{"openapi":"3.1.0","webhooks":{"a b":{}}}`)
	_, err := c.run(t, "catalog", "push", bad)
	require.ErrorContains(t, err, "must be an event type")
}

// Types are listed, shown, changed, and their examples sent.
func TestCatalogTypes(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.must(t, "catalog", "push", catalogCopy(t, "stripe.json"))
	list := c.must(t, "catalog", "list")
	require.Regexp(t, `(?m)^TYPE +VERSION +STATE +SHOWN +ENFORCE +BROKEN +TITLE$`, list)
	require.Regexp(t, `(?m)^invoice\.paid +1 +active +public +warn +- +Occurs whenever`, list)
	require.NotContains(t, c.must(t, "catalog", "list", "--state", "deprecated"), "invoice.paid")

	shown := c.must(t, "catalog", "show", "invoice.paid")
	require.Regexp(t, `(?m)^group +Invoices$`, shown)
	require.Contains(t, shown, "\nexample\n{")
	guarded := c.must(t, "catalog", "set", "invoice.paid", "--enforce", "guard")
	require.Regexp(t, `(?m)^guard +\(\(\$\."data"\.type\(\) == "object"`, guarded)
	for _, args := range [][]string{{"catalog", "set", "invoice.paid"}, {"catalog", "set", "invoice.paid", "--enforce", "all"}} {
		_, err := c.run(t, args...)
		require.Equal(t, exitUsage, codeOf(err), "%v", args)
	}
	_, err := c.run(t, "catalog", "show", "no.type")
	require.Equal(t, exitNotFound, codeOf(err))

	// An example is sent as an event, or as a test.
	c.must(t, "endpoints", "create", c.receiver, "--tenant", "acme", "--uid", "main")
	sent := c.must(t, "trigger", "invoice.paid", "--tenant", "acme", "--set", "data.object.id=in_77", "--set", "livemode=false",
		"--labels", "eu,beta", "--header", "x-source=billing")
	require.Regexp(t, `^\S+  stored with 1 delivery\n$`, sent)
	event := c.must(t, "events", "show", strings.Fields(sent)[0])
	require.Contains(t, event, `"amount_paid":1.0e3`)
	require.Contains(t, event, `"id":"in_77"`)
	require.Contains(t, event, `"livemode":false`)
	require.Regexp(t, `(?m)^labels +eu,beta$`, event)
	require.Regexp(t, `(?m)^header +x-source: billing$`, event)
	tested := c.object(t, "endpoints", "test", "main", "--tenant", "acme", "--type", "invoice.paid")
	require.Contains(t, c.must(t, "events", "show", tested["event_id"].(string)), `"object":"event"`)

	for _, args := range [][]string{
		{"trigger", "invoice.paid", "--tenant", "acme", "--example", "2"},
		{"trigger", "customer.created", "--tenant", "acme"},
		{"trigger", "invoice.paid", "--tenant", "acme", "--set", "=1"},
		{"trigger", "invoice.paid", "--tenant", "acme", "--set", "id.x=1"},
	} {
		_, err := c.run(t, args...)
		require.Equal(t, exitUsage, codeOf(err), "%v", args)
	}
	_, err = c.run(t, "trigger", "invoice.paid", "--tenant", "acme", "--set", "data.object.amount_paid=a")
	require.ErrorContains(t, err, "must be integer at /data/object/amount_paid")
	_, err = c.run(t, "trigger", "no.type", "--tenant", "acme")
	require.Equal(t, exitNotFound, codeOf(err))

	_, err = c.run(t, "catalog", "delete", "invoice.paid")
	require.Equal(t, exitUsage, codeOf(err))
	require.Equal(t, "deleted invoice.paid\n", c.must(t, "catalog", "delete", "invoice.paid", "--yes"))
	_, err = c.run(t, "catalog", "show", "invoice.paid")
	require.Equal(t, exitNotFound, codeOf(err))
}
