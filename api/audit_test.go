package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (b *testBundle) audit(key, query string) []object {
	b.t.Helper()
	r := b.as(key, "GET", "/api/audit"+query, "")
	require.Equal(b.t, 200, r.status, "%s", r.body)
	return decode[struct{ Items []object }](b.t, r).Items
}

func TestAuditTrail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, id := b.newKey("tenant", "acme")
	endpoint := b.newEndpoint("acme", "").String()
	other := b.newEndpoint("globex", "").String()
	patch := func(body string) {
		require.Equal(t, 200, b.as(key, "PATCH", "/api/endpoints/"+endpoint, body, "X-Request-Id", "r-17").status)
	}
	patch(`{"url": "https://example.com/Marked?token=Marked", "headers": {"x-token": "Marked"}, "metadata": {"a": "Marked"}}`)
	patch(`{"status": "paused"}`)
	patch(`{"status": "paused", "timeout_ms": 2000}`)

	t.Run("NamesMembersAndNoValues", func(t *testing.T) {
		t.Parallel()
		entries := b.audit(adminKey, "?object_id="+endpoint)
		require.Len(t, entries, 4)
		for i, want := range []object{
			{"members": []any{"timeout_ms"}},
			{"members": []any{"status"}, "status": "paused"},
			{"members": []any{"headers", "metadata", "url"}},
			{},
		} {
			require.Equal(t, want, entries[i]["detail"])
			require.Equal(t, "acme", entries[i]["tenant_id"])
			require.Equal(t, "endpoint", entries[i]["object_type"])
		}
		require.Equal(t, "tenant of acme", entries[0]["actor"])
		require.Equal(t, id.String(), entries[0]["key_id"])
		require.Equal(t, "127.0.0.1", entries[0]["source_address"])
		require.Equal(t, "r-17", entries[0]["request_id"])
		require.Equal(t, "create-endpoint", entries[3]["action"])
		require.Equal(t, "OUTHOOK_API_KEY", entries[3]["actor"])
		require.Zero(t, b.count("SELECT count(*) FROM outhook.report_audit AS a WHERE a::text LIKE '%Marked%'"))
	})

	t.Run("TellsATenantNothingOfTheOperator", func(t *testing.T) {
		t.Parallel()
		entries := b.audit(key, "")
		require.Len(t, entries, 5, "its endpoint, and that it was given a key")
		for _, e := range entries {
			if e["action"] == "update-endpoint" {
				require.Equal(t, "tenant of acme", e["actor"])
				require.Equal(t, "127.0.0.1", e["source_address"])
				continue
			}
			require.Equal(t, "operator", e["actor"])
			for _, name := range []string{"key_id", "source_address", "request_id"} {
				require.Nil(t, e[name], name)
			}
		}
		require.Empty(t, b.audit(key, "?object_id="+other))
		require.Empty(t, b.audit(key, "?tenant_id=globex"))
	})

	t.Run("IsFilteredAndPaged", func(t *testing.T) {
		t.Parallel()
		require.Len(t, b.audit(adminKey, "?action=create-endpoint"), 2)
		require.Len(t, b.audit(adminKey, "?tenant_id=globex"), 1)
		require.Len(t, b.audit(adminKey, "?key_id="+id.String()), 3)
		require.Empty(t, b.audit(adminKey, "?until=2020-01-01T00:00:00Z"))
		require.Len(t, b.audit(adminKey, "?since=2020-01-01T00:00:00Z"), 6)
		var ids []string
		for cursor := any(""); cursor != nil; {
			page := decode[object](t, b.do("GET", "/api/audit?limit=4&cursor="+cursor.(string), ""))
			for _, item := range page["items"].([]any) {
				ids = append(ids, item.(object)["id"].(string))
			}
			cursor = page["next_cursor"]
		}
		require.Len(t, ids, 6)
		require.True(t, slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }), "newest first")
	})
}

// An order that can't be noted is not carried out: each operation that the matrix says is audited.
func TestNothingChangesWithoutItsEntry(t *testing.T) {
	t.Parallel()
	m := setupMatrix(t)
	m.describe("of.the.matrix.gone")
	o := m.newObjects(ownTenant)
	m.exec("ALTER TABLE outhook.audit_entries ADD CHECK (false) NOT VALID")
	var count int
	for path, item := range m.api.OpenAPI().Paths {
		for method, op := range methods(item) {
			if e := matrix()[op.OperationID]; e.audited != "" {
				count++
				m.refused(method+" "+path, 500, func() response { return m.call(adminKey, method, e, o) })
			}
		}
	}
	require.GreaterOrEqual(t, count, 8)
}
