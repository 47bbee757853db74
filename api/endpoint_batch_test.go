package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

func TestPostEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxEndpoints = 3 })
	post := func(items ...string) response {
		return b.do("POST", "/api/endpoints/batch", `{"endpoints":[`+strings.Join(items, ",")+`]}`)
	}
	const good = `{"tenant_id":"acme","url":"https://example.com"}`
	got := b.requireObject(post(good, `{"tenant_id":"globex","url":"https://example.org","uid":"b","rate_limit":{"requests":1}}`), 201)["endpoints"].([]any)
	require.Len(t, got, 2)
	require.Equal(t, "b", got[1].(object)["uid"])
	id := uuid.MustParse(got[1].(object)["id"].(string))
	require.Equal(t, []string{got[1].(object)["secret"].(string)}, b.openSecrets(id))
	require.Equal(t, 2, b.count("SELECT count(*) FROM outhook.audit_entries WHERE action = 'create-endpoints'"))

	p := b.requireProblem(post(good, `{"tenant_id":"acme","url":"ftp://x","timeout_ms":1}`, `1`, `{"url":"https://example.com","x":1}`), 422)
	var places []string
	for _, e := range p.Errors {
		places = append(places, e.Location)
	}
	require.Equal(t, []string{
		"body.endpoints[1].url", "body.endpoints[1].timeout_ms", "body.endpoints[2]", "body.endpoints[3].x", "body.endpoints[3].tenant_id",
	}, places)
	b.requireFault(post(good, `{"tenant_id":"globex","url":"https://example.com","uid":"b"}`), 409, "body.endpoints[1].uid", "unique")
	b.requireFault(post(good, good, good), 409, "body.endpoints[2]", "one too many")
	b.requireFault(post(), 422, "body.endpoints", "at least one")
	b.requireFault(post(slices.Repeat([]string{good}, 101)...), 422, "body.endpoints", "at most 100")
	b.requireFault(b.do("POST", "/api/endpoints/batch", `{"endpoints":{}}`), 422, "body.endpoints", "array")
	require.Equal(t, 2, b.count("SELECT count(*) FROM outhook.endpoints"), "all or none")
	key, _ := b.newKey("tenant", "acme")
	b.requireFault(b.as(key, "POST", "/api/endpoints/batch", `{"endpoints":[`+good+`,{"tenant_id":"globex","url":"https://a"}]}`), 403, "body.endpoints[1].tenant_id", "bound")
}
