package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Members of objects are merged, in PATCH (RFC 7396).
func TestMergePatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", `,"headers":{"X-A":"1","x-b":"2"},"metadata":{"a":"1","A":"2"}`)
	path := "/api/endpoints/" + id.String()
	patch := func(body string) object {
		t.Helper()
		return b.requireObject(b.do("PATCH", path, body, "Content-Type", "application/merge-patch+json"), 200)
	}
	require.Equal(t, object{"x-a": "3", "x-b": "2"}, patch(`{"headers":{"x-a":"3"}}`)["headers"], "a header's name has no case")
	require.Equal(t, object{"x-b": "2", "x-c": "4"}, patch(`{"headers":{"X-A":null,"x-c":"4"}}`)["headers"])
	require.Equal(t, object{"a": "1", "A": "3", "b": ""}, patch(`{"metadata":{"A":"3","b":""}}`)["metadata"])
	require.Equal(t, object{"A": "3"}, patch(`{"metadata":{"a":null,"b":null,"none":null}}`)["metadata"])
	require.Equal(t, object{"A": "3"}, patch(`{"metadata":{}}`)["metadata"])
	require.Empty(t, patch(`{"metadata":null,"headers":null}`)["metadata"])

	var many []string
	for i := range 20 {
		many = append(many, `"m`+string(rune('a'+i))+`":""`)
	}
	require.Len(t, patch(`{"metadata":{` + strings.Join(many, ",") + `}}`)["metadata"], 20)
	b.requireFault(b.do("PATCH", path, `{"metadata":{"one":"more"}}`), 422, "body.metadata", "20")
	require.Len(t, patch(`{"metadata":{"ma":null,"one":"more"}}`)["metadata"], 20)
}

// A change of the host needs each secret header again, also if they are merged.
func TestAMergeThatMovesGivesAllSecretHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := "/api/endpoints/" + b.newEndpoint("acme", `,"secret_headers":{"x-a":"s3cret","x-b":"s3cret"}`).String()
	move := func(headers string) response {
		return b.do("PATCH", path, `{"secret_headers":`+headers+`,"url":"https://example.org"}`)
	}
	for _, part := range []string{`{}`, `{"x-a":"new"}`, `{"x-a":null}`, `{"x-a":"new","x-c":"new"}`} {
		b.requireFault(move(part), 422, "body.secret_headers", "give each of them again")
	}
	got := b.requireObject(move(`{"X-A":"new","x-b":null,"x-c":"new"}`), 200)
	require.Equal(t, []any{"x-a", "x-c"}, got["secret_header_names"])
}
