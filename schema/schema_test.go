package schema_test

import (
	"encoding/json"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/schema"
)

func folder(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// Documents and schemas of a folder, as JSON and YAML, say what payloads must be.
func TestRead(t *testing.T) {
	t.Parallel()
	set, err := schema.Read(folder(map[string]string{
		"events/invoice.paid.json":    `{"type":"object","required":["id"],"properties":{"id":{"$ref":"#/$defs/id"}},"$defs":{"id":{"type":"string"}}}`,
		"events/order.lost.yaml":      "type: object\nproperties:\n  n: {type: integer}\n",
		"events/openapi.yaml":         "openapi: 3.1.0\nwebhooks:\n  user.left: {post: {requestBody: {content: {application/json: {schema: {type: 'null'}}}}}}\n",
		"events/deeper/not.read.json": `{"type":"text"}`,
		"events/README.md":            "nothing",
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"invoice.paid", "order.lost", "user.left"}, set.Types())
	require.NoError(t, set.Check("invoice.paid", json.RawMessage(`{"id":"1"}`)))
	require.EqualError(t, set.Check("invoice.paid", json.RawMessage(`{"id":1}`)), "must be string at /id")
	require.EqualError(t, set.Check("order.lost", json.RawMessage(`{"n":"secret"}`)), "must be integer at /n")
	require.EqualError(t, set.Check("user.left", json.RawMessage(`{}`)), "must be null at its root")
	require.NoError(t, set.Check("not.described", json.RawMessage(`{}`)))

	_, err = schema.Read(os.DirFS("../internal/catalog/testdata/files"))
	require.NoError(t, err)
	for want, files := range map[string]map[string]string{
		"there are none":              {"README.md": "x"},
		"is described twice":          {"a.b.json": "{}", "doc.yaml": "openapi: 3.1.0\nwebhooks: {a.b: {}}"},
		"two files of a.b":            {"a.b.json": "{}", "a.b.yaml": "{}"},
		"must be an event type":       {"a-b.json": "{}"},
		"nothing is fetched":          {"a.json": `{"$ref":"other.json"}`},
		"none of JSON Schema 2020-12": {"a.json": `{"type":"text"}`},
		"a.json: reading YAML":        {"a.json": `{"type":`},
	} {
		_, err := schema.Read(folder(files))
		require.ErrorContains(t, err, want)
	}
}

// A payload that breaks its schema is refused before any SQL: the transaction is not even looked at.
func TestWithSchemas(t *testing.T) {
	t.Parallel()
	set, err := schema.Read(folder(map[string]string{"a.b.json": `{"type":"object","required":["n"]}`}))
	require.NoError(t, err)
	ctx := outhook.WithSchemas(t.Context(), set)
	events := []outhook.Event{
		{TenantID: "acme", Type: "other", Payload: json.RawMessage(`1`)}, {TenantID: "acme", Type: "a.b", Payload: json.RawMessage(`{"secret":1}`)},
	}
	_, err = outhook.EnqueueMany(ctx, nil, events)
	require.EqualError(t, err, "event 1: payload breaks the schema of its type: must have n at its root")
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	_, err = outhook.EnqueueManySQL(ctx, nil, events)
	require.ErrorIs(t, err, outhook.ErrInvalidEvent)
	require.Panics(t, func() { _, _ = outhook.EnqueueMany(t.Context(), nil, events) }, "without schemas the transaction is asked")
}
