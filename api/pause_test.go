package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := func() []any { return b.requireObject(b.do("GET", "/api/pauses", ""), 200)["pauses"].([]any) }
	require.Empty(t, list())

	first := b.requireObject(b.do("POST", "/api/pauses", `{"tenant_id":"acme","reason":"a move"}`), 200)
	require.Equal(t, "acme", first["tenant_id"])
	require.Equal(t, "OUTHOOK_API_KEY", first["paused_by"])
	require.Equal(t, "a move", first["reason"])
	require.Equal(t, first, b.requireObject(b.do("POST", "/api/pauses", `{"tenant_id":"acme","reason":"another"}`), 200), "it stays as it is")
	all := b.requireObject(b.do("POST", "/api/pauses", `{"all":true,"tenant_id":null,"reason":"the network"}`), 200)
	require.Nil(t, all["tenant_id"])
	require.Equal(t, []any{all, first}, list())
	require.Equal(t, 4, b.count(`SELECT count(*) FROM outhook.river_queue WHERE paused_at IS NOT NULL AND name LIKE 'deliver%'`))

	// Each ends by itself, and once.
	ended := b.requireObject(b.do("POST", "/api/pauses/resume", `{"all":true}`), 200)
	require.Equal(t, all, ended["ended"])
	require.Equal(t, []any{first}, list())
	require.Zero(t, b.count(`SELECT count(*) FROM outhook.river_queue WHERE paused_at IS NOT NULL`))
	require.Nil(t, b.requireObject(b.do("POST", "/api/pauses/resume", `{"all":true}`), 200)["ended"])
	require.Nil(t, b.requireObject(b.do("POST", "/api/pauses/resume", `{"tenant_id":"globex"}`), 200)["ended"])
	require.NotNil(t, b.requireObject(b.do("POST", "/api/pauses/resume", `{"tenant_id":"acme"}`), 200)["ended"])
	require.Empty(t, list())

	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'pause-deliveries' AND object_id = 'acme' AND detail ? 'reason'`))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.audit_entries WHERE action = 'resume-deliveries' AND object_type = 'deliveries' AND object_id = 'all'`))
	again := b.requireObject(b.do("POST", "/api/pauses", `{"tenant_id":"acme","reason":"later"}`), 200)
	require.Equal(t, "later", again["reason"])
	require.Greater(t, again["paused_at"], first["paused_at"])
}

func TestAPauseSaysOfWhatAndWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, fault := range map[string][2]string{
		`{"reason":"x"}`:                                           {"body", "must have either tenant_id, or all, which is true"},
		`{"all":false,"reason":"x"}`:                               {"body", "must have either tenant_id, or all, which is true"},
		`{"all":true,"tenant_id":"acme","reason":"x"}`:             {"body", "must have either tenant_id, or all, which is true"},
		`{"tenant_id":"acme"}`:                                     {"body.reason", "must have 1 to 255 characters"},
		`{"all":true,"reason":""}`:                                 {"body.reason", "must have 1 to 255 characters"},
		`{"all":true,"reason":"` + strings.Repeat("ä", 256) + `"}`: {"body.reason", "must have 1 to 255 characters"},
	} {
		b.requireFault(b.do("POST", "/api/pauses", body), 422, fault[0], fault[1])
	}
	b.requireObject(b.do("POST", "/api/pauses", `{"all":true,"reason":"`+strings.Repeat("ä", 255)+`"}`), 200)
	b.requireFault(b.do("POST", "/api/pauses/resume", `{}`), 422, "body", "must have either tenant_id, or all, which is true")
	require.Equal(t, 422, b.do("POST", "/api/pauses/resume", `{"all":true,"reason":"x"}`).status)
}

// To its tenant a pause is the operator's.
func TestWhySaysWhoHasPausedATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenantKey, _ := b.newKey("tenant", ownTenant)
	b.newEndpoint(ownTenant, "")
	event := b.newEvent(ownTenant, "a")
	b.requireObject(b.do("POST", "/api/pauses", `{"tenant_id":"`+ownTenant+`","reason":"a move"}`), 200)
	require.Equal(t, "OUTHOOK_API_KEY", b.why(adminKey, event, "")[0]["by"])
	require.Equal(t, "operator", b.why(tenantKey, event, "")[0]["by"])
	require.Contains(t, b.why(tenantKey, event, "")[0]["text"], "have been paused by operator since")
}
