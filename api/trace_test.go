package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceOfARequestIsStoredWithItsEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	traced := func(id any) int {
		return b.count(`SELECT count(*) FROM outhook.events WHERE id = $1 AND traceparent = $2`, id, traceparent)
	}
	const one = `{"tenant_id":"acme","type":"a.b","payload":1}`

	r := b.requireObject(b.do("POST", "/api/events", one, "traceparent", traceparent), 202)
	require.Equal(t, 1, traced(r["id"]))

	r = b.requireObject(b.do("POST", "/api/events/batch", `{"events":[`+one+`,`+one+`]}`, "traceparent", traceparent), 202)
	for _, result := range r["results"].([]any) {
		require.Equal(t, 1, traced(result.(object)["id"]))
	}

	worked := make(chan error, 1)
	go func() { worked <- b.work(t.Context()) }()
	r = b.requireObject(b.do("POST", "/api/endpoints/"+endpoint.String()+"/test", "", "traceparent", traceparent), 200)
	require.NoError(t, <-worked)
	require.Equal(t, 1, traced(r["event_id"]))

	// What is none is no reason to refuse an event.
	for _, header := range []string{"", "nonsense", "00-" + traceparent, "\xff\xfe"} {
		r = b.requireObject(b.do("POST", "/api/events", one, "traceparent", header), 202)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.events WHERE id = $1 AND traceparent IS NULL`, r["id"]))
	}
}

// What webhooks lead to one by another comes to an end: each is one deeper than the one before.
func TestDepthOfARequestIsStoredAndBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const one = `{"tenant_id":"acme","type":"a.b","payload":1}`
	for path, body := range map[string]string{"/api/events": one, "/api/events/batch": `{"events":[` + one + `]}`} {
		require.Equal(t, 202, b.do("POST", path, body, "outhook-depth", "8").status)
		require.Equal(t, 202, b.do("POST", path, body, "outhook-depth", "1", "traceparent", traceparent).status)
		require.Contains(t, b.requireProblem(b.do("POST", path, body, "outhook-depth", "9"), 508).Detail, "9 webhooks in a row")
		b.requireProblem(b.do("POST", path, body, "outhook-depth", "many"), 422)
	}
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.events WHERE traceparent = ';depth=8'`))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.events WHERE traceparent = $1`, traceparent+";depth=1"))
	require.Equal(t, 4, b.count(`SELECT count(*) FROM outhook.events`))
}

func TestRequestsOfAGroupKeepTheirOwnTraces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 30
	together(n, func(i int) {
		trace := ""
		if i%2 == 0 {
			trace = traceparent
		}
		_, _ = b.try("POST", "/api/events", `{"tenant_id":"acme","type":"a.b","payload":`+string(rune('0'+i%2))+`}`, "traceparent", trace)
	})
	require.Equal(t, n, b.count(`SELECT count(*) FROM outhook.events
		WHERE CASE payload::text WHEN '0' THEN traceparent = $1 ELSE traceparent IS NULL END`, traceparent))
}
