package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestEndpointsAreFiltered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	add := func(members string) string { return b.newEndpoint("acme", members).String() }
	plain := add("")
	gold := add(`,"metadata":{"plan":"gold","region":"eu","a.b":"c=d"},"event_types":["invoice.*","order.paid"],"uid":"gold","labels":["eu","a.b:c"]`)
	paused := add(`,"metadata":{"plan":"gold"},"event_types":["invoice.paid"]`)
	disabled := add(`,"event_types":["user.*"]`)
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+paused, `{"status":"paused"}`).status)
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+disabled, `{"status":"disabled"}`).status)
	require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+gold, `{"url":"https://HOOKS.example.com:8443/x@y"}`).status)
	b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, consecutive_failures, failing_since)
		VALUES ($1, 'failing', 3, now()), ($2, 'failing', 3, now()), ($3, 'healthy', 0, NULL)`, paused, disabled, plain)

	for query, want := range map[string][]string{
		"status=paused":                               {paused},
		"status=enabled&tenant_id=acme":               {plain, gold},
		"health=failing":                              {paused},
		"health=disabled":                             {disabled},
		"health=healthy":                              {plain, gold},
		"url_host=hooks.EXAMPLE.com":                  {gold},
		"url_host=hooks.example.com:8443":             {gold},
		"url_host=hooks.example.com:443":              nil,
		"url_host=example.com":                        {plain, paused, disabled},
		"url_host=.*":                                 nil,
		"event_type=invoice.paid":                     {plain, gold, paused},
		"event_type=invoice.a.b":                      {plain, gold},
		"event_type=user.made&status=disabled":        {disabled},
		"metadata[plan]=gold":                         {gold, paused},
		"metadata%5Bplan%5D=gold&metadata[region]=eu": {gold},
		"metadata[a.b]=c%3Dd":                         {gold},
		"metadata[plan]=silver":                       nil,
		"label=eu":                                    {gold},
		"label=a.b:c&uid=gold":                        {gold},
		"label=us":                                    nil,
		"uid=gold":                                    {gold},
		"uid=none":                                    nil,
		"id=" + plain + "," + disabled:                {plain, disabled},
		"id=" + plain + "," + gold + "&status=paused": nil,
		"id=" + gold + "," + uuid.NewString():         {gold},
		"metadata[plan]=gold&status=paused&limit=1&health=failing": {paused},
	} {
		var got []string
		for _, item := range b.requireObject(b.do("GET", "/api/endpoints?"+query, ""), 200)["items"].([]any) {
			got = append(got, item.(object)["id"].(string))
		}
		require.Equal(t, want, got, query)
	}
	for query, location := range map[string]string{
		"status=asleep": "query.status", "health=ill": "query.health", "metadata[a]=b&metadata[a]=c": "query", "metadata[a]=%00": "query.metadata",
		"event_type=%00": "query.event_type", "metadata=gold": "query", "id=" + gold + ",x": "query.id",
	} {
		p := b.requireProblem(b.do("GET", "/api/endpoints?"+query, ""), 422)
		require.Contains(t, p.Errors[0].Location, location, query)
	}
}
