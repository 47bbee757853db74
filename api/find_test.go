package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// finds returns what a key finds, each as its kind, by what, its id, its tenant, its label and its link; and whether there is more.
func (b *testBundle) finds(key, q string, more ...string) (list []string, andMore bool) {
	b.t.Helper()
	query := url.Values{"q": {q}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	got := b.requireObject(b.as(key, "GET", "/api/find?"+query.Encode(), ""), 200)
	list = []string{}
	for _, item := range got["items"].([]any) {
		o := item.(object)
		list = append(list, fmt.Sprint(o["kind"], " ", o["by"], " ", o["id"], " ", o["tenant_id"], " ", o["label"], " ", o["link"]))
	}
	return list, got["more"].(bool)
}

func TestFind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := func(tenant, address, uid string) string {
		t.Helper()
		body := `{"tenant_id":"` + tenant + `","url":"` + address + `"`
		if uid != "" {
			body += `,"uid":"` + uid + `"`
		}
		return b.requireObject(b.do("POST", "/api/endpoints", body+"}"), 201)["id"].(string)
	}
	first := endpoint("acme", "https://Hooks.ACME.example:8443/in/?token=s3cret", "main")
	second := endpoint("globex", "https://hooks.acme.example", "main")
	sixth := endpoint("acme", "https://[2001:db8::1]/six", "")
	keyed := b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"invoice.paid","payload":{},"idempotency_key":"order-7"}`), 202)["id"].(string)
	other := b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"globex","type":"a","payload":{},"idempotency_key":"order-7"}`), 202)["id"].(string)
	operation := b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":"acme"}`), 202)["id"].(string)
	everybodys := b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z"}`), 202)["id"].(string)
	b.requireObject(b.do("PUT", "/api/tenants/noted%2Fonly", `{"name":"Noted"}`), 201)
	b.newEvent("events only", "a")
	b.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes) VALUES (now() - interval '300 days', 'long ago', 'a', 1, 0, 0, 0)`)

	anEvent := "event id " + keyed + " acme invoice.paid /api/events/" + keyed
	atFirst := first + " acme Hooks.ACME.example:8443/in /api/endpoints/" + first
	atSecond := second + " globex hooks.acme.example /api/endpoints/" + second
	for q, want := range map[string][]string{
		keyed: {anEvent}, strings.ToUpper(keyed): {anEvent}, " " + keyed + "\n": {anEvent}, "webhook-id: " + keyed: {anEvent},
		`"webhook-id":"` + keyed + `"`: {}, `Webhook-Id="` + keyed + `"`: {anEvent}, `'` + keyed + `'`: {anEvent}, keyed[:35]: {},
		first: {"endpoint id " + atFirst}, operation: {"operation id " + operation + " acme replay /api/operations/" + operation},
		everybodys: {"operation id " + everybodys + " <nil> replay /api/operations/" + everybodys},
		"main":     {"endpoint uid " + atFirst, "endpoint uid " + atSecond},
		"Main":     {}, "mai": {},

		"hooks.acme.example":                   {"endpoint host " + atFirst, "endpoint host " + atSecond},
		"HOOKS.acme.example:8443":              {"endpoint host " + atFirst},
		"hooks.acme.example:443":               {},
		"http://hooks.acme.example/else?where": {"endpoint host " + atFirst, "endpoint host " + atSecond},
		"acme.example":                         {}, "hooks.acme": {},
		"[2001:db8::1]":             {"endpoint host " + sixth + " acme [2001:db8::1]/six /api/endpoints/" + sixth},
		"https://[2001:DB8::1]:443": {},

		"acme":        {"tenant tenant_id acme acme  /api/endpoints?tenant_id=acme"},
		"noted/only":  {"tenant tenant_id noted/only noted/only Noted /api/tenants/noted%2Fonly"},
		"events only": {"tenant tenant_id events only events only  /api/events?tenant_id=events+only"},
		"long ago":    {"tenant tenant_id long ago long ago  /api/events?tenant_id=long+ago"},
		"acm":         {}, "ACME": {}, "nobody": {}, "%": {}, "' OR 1=1 --": {}, uuid.NewString(): {},
		"order-7": {}, // each tenant may have its own
	} {
		got, more := b.finds(adminKey, q)
		require.Equal(t, want, got, q)
		require.False(t, more, q)
	}

	// With a tenant, or with its key, its own and nothing else; an idempotency key, too.
	acme, _ := b.newKey("read", "acme")
	for _, ask := range []func(q string) []string{
		func(q string) []string { list, _ := b.finds(adminKey, q, "tenant_id", "acme"); return list },
		func(q string) []string { list, _ := b.finds(acme, q); return list },
		func(q string) []string { list, _ := b.finds(acme, q, "tenant_id", "acme"); return list },
	} {
		require.Equal(t, []string{strings.Replace(anEvent, "event id", "event idempotency_key", 1)}, ask("order-7"))
		require.Equal(t, []string{anEvent}, ask(keyed))
		require.Equal(t, []string{"endpoint uid " + atFirst}, ask("main"))
		require.Equal(t, []string{"endpoint host " + atFirst}, ask("hooks.acme.example"))
		require.Equal(t, []string{"operation id " + operation + " acme replay /api/operations/" + operation}, ask(operation))
		require.Len(t, ask("acme"), 1)
		for _, foreign := range []string{other, second, everybodys, "globex", "noted/only", "events only", "long ago"} {
			require.Empty(t, ask(foreign), foreign)
		}
	}
	absent := b.as(acme, "GET", "/api/find?q=nobody", "")
	for _, query := range []string{"q=globex", "q=" + other, "q=order-7&tenant_id=globex", "q=main&tenant_id=globex", "q=globex&tenant_id=globex"} {
		require.Equal(t, string(absent.body), string(b.as(acme, "GET", "/api/find?"+query, "").body), query)
	}

	// What is one thing is found once, what is several each time.
	b.requireObject(b.do("PUT", "/api/tenants/"+keyed, "{}"), 201)
	b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":{},"idempotency_key":"`+keyed+`"}`), 202)
	got, _ := b.finds(adminKey, keyed)
	require.Len(t, got, 2, "an event's id may be a tenant's label")
	got, _ = b.finds(adminKey, keyed, "tenant_id", "acme")
	require.Len(t, got, 2, "and another event's idempotency key")
	endpoint("acme", "https://main", "")
	got, _ = b.finds(acme, "main")
	require.Len(t, got, 2, "one by its uid, one by its host")

	require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+first, "").status)
	require.Equal(t, 204, b.do("DELETE", "/api/tenants/noted%2Fonly", "").status)
	for _, q := range []string{first, "hooks.acme.example", "noted/only"} {
		got, _ := b.finds(adminKey, q)
		require.NotContains(t, strings.Join(got, "\n"), first)
		require.NotContains(t, strings.Join(got, "\n"), "noted/only")
	}
	for query, at := range map[string]string{
		"": "query.q", "q=": "query.q", "q=" + strings.Repeat("x", 257): "query.q", "q=a%00": "query.q", "q=%ff": "query.q",
		"q=a&tenant_id=%00": "query.tenant_id",
	} {
		b.requireFault(b.do("GET", "/api/find?"+query, ""), http.StatusUnprocessableEntity, at, "")
	}
}

func TestFindIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, uid) SELECT outhook.uuid_v7(clock_timestamp(), i), 't' || i, 'https://hooks.example/' || i, 'main'
		FROM generate_series(10, 21) AS i`)
	for _, q := range []string{"main", "hooks.example"} {
		got, more := b.finds(adminKey, q)
		require.Len(t, got, 10)
		require.True(t, more)
		require.Contains(t, got[0], " t10 ", "in the order of their tenants")
		got, more = b.finds(adminKey, q, "tenant_id", "t12")
		require.Len(t, got, 1)
		require.False(t, more)
	}
}

// Whatever there is, a look costs the same: each statement finds its rows by an index.
func TestFindReadsByIndexes(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	cfg := pool.Config().Copy()
	seen := &queries{}
	cfg.ConnConfig.Tracer = seen
	traced, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	b := setupOn(t, traced)

	const rows = 100_000
	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url, uid) SELECT outhook.uuid_v7(clock_timestamp(), i), 't' || i % 5000,
		CASE WHEN i % 2 = 0 THEN 'https://hooks.example/' || i ELSE 'https://h' || i || '.example:8443/' END, 'u' || i FROM generate_series(1, $1::integer) AS i`, rows)
	b.exec(`INSERT INTO outhook.events (id, created_at, tenant_id, type, payload) SELECT v.id, outhook.uuid_v7_time(v.id), 't' || v.i % 5000, 'a.b', '{}'
		FROM (SELECT i, outhook.uuid_v7(clock_timestamp(), i) AS id FROM generate_series(1, $1::integer) AS i) AS v`, rows)
	b.exec(`INSERT INTO outhook.event_keys (tenant_id, idempotency_key, event_id, created_at) SELECT e.tenant_id, 'k' || e.id, e.id, now() FROM outhook.events AS e`)
	b.exec(`INSERT INTO outhook.tenants (id, tenant_id) SELECT outhook.uuid_v7(clock_timestamp(), i), 't' || i FROM generate_series(1, $1::integer) AS i`, rows)
	b.exec(`INSERT INTO outhook.usage_hours (hour, tenant_id, type, events, deliveries, attempts, payload_bytes)
		SELECT date_trunc('hour', now()) - make_interval(hours => i / 1000), 't' || i % 1000, 'a', 1, 1, 1, 1 FROM generate_series(0, $1::integer - 1) AS i`, rows)
	b.exec(`INSERT INTO outhook.operations (id, kind, state, states, since, until, completed_at) SELECT outhook.uuid_v7(clock_timestamp(), i), 'replay', 'completed', '{failed}', now(), now(), now()
		FROM generate_series(1, $1::integer) AS i`, rows)
	var event, endpoint string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT id::text FROM outhook.events LIMIT 1`).Scan(&event))
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT id::text FROM outhook.endpoints WHERE uid = 'u7'`).Scan(&endpoint))

	most, mostAt := 0, ""
	for _, statistics := range []string{"none", "true"} {
		if statistics == "true" {
			b.exec(`ANALYZE outhook.events, outhook.event_keys, outhook.endpoints, outhook.tenants, outhook.usage_hours, outhook.operations`)
		}
		for _, q := range []string{event, endpoint, "u7", "nothing", "hooks.example", "h7.example:8443", "k" + event, "t7", "t99999", "nobody"} {
			for _, tenant := range []string{"", "t7", "nobody"} {
				seen.taken()
				b.finds(adminKey, q, "tenant_id", tenant)
				list := seen.taken()
				require.NotEmpty(t, list)
				for _, asked := range list {
					name, _, _ := strings.Cut(strings.TrimPrefix(asked.SQL, "-- name: "), " ")
					at := fmt.Sprintf("%s of %q, tenant %q, statistics %s", name, q, tenant, statistics)
					pages := b.pagesOf(asked)
					require.LessOrEqual(t, pages, 80, at)
					if pages > most {
						most, mostAt = pages, at
					}
				}
			}
		}
	}
	t.Logf("at most %d pages: %s", most, mostAt)
}

// pagesOf runs a query of a look again, as it does, and returns how many pages of the database it reads.
func (b *testBundle) pagesOf(q pgx.TraceQueryStartData) (pages int) {
	b.t.Helper()
	err := pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		for _, setting := range []string{"plan_cache_mode = force_custom_plan", "enable_hashjoin = off", "enable_mergejoin = off", "enable_seqscan = off"} {
			if _, err := tx.Exec(b.t.Context(), "SET LOCAL "+setting); err != nil {
				return err
			}
		}
		var text []byte
		if err := tx.QueryRow(b.t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+q.SQL, q.Args...).Scan(&text); err != nil {
			return err
		}
		require.NotContains(b.t, string(text), "Seq Scan")
		plans := decode[[]struct{ Plan map[string]any }](b.t, response{body: text})
		for _, kind := range []string{"Shared Hit Blocks", "Shared Read Blocks"} {
			n, _ := plans[0].Plan[kind].(float64)
			pages += int(n)
		}
		return nil
	})
	require.NoError(b.t, err)
	return pages
}
