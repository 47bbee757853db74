package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// listed returns what tells a list's items apart, and the answer.
func (b *testBundle) listed(path string) (items []string, r response) {
	b.t.Helper()
	r = b.do("GET", path, "")
	for _, item := range b.requireObject(r, 200)["items"].([]any) {
		o := item.(object)
		items = append(items, fmt.Sprint(o["id"], o["event_id"], o["endpoint_id"], o["number"]))
	}
	return items, r
}

// pages reads a list by its Link headers, as a client does that knows RFC 8288 and URLs.
func (b *testBundle) pages(path string) (items []string) {
	b.t.Helper()
	base, err := url.Parse("https://outhook.example.com/behind/a/proxy" + path)
	require.NoError(b.t, err)
	for at := base; ; {
		some, r := b.listed(strings.TrimPrefix(at.RequestURI(), "/behind/a/proxy"))
		items = append(items, some...)
		link := r.header.Get("Link")
		next, _ := decode[object](b.t, r)["next_cursor"].(string)
		require.Equal(b.t, next != "", link != "")
		if link == "" {
			return items
		}
		m := regexp.MustCompile(`^<([^<>"\s]+)>; rel="next"$`).FindStringSubmatch(link)
		require.NotNil(b.t, m, link)
		to, err := url.Parse(m[1])
		require.NoError(b.t, err)
		at = at.ResolveReference(to)
		require.Equal(b.t, next, at.Query().Get("cursor"))
		require.Equal(b.t, base.Host+base.Path, at.Host+at.Path)
	}
}

// Every list has pages in both orders, links to the next one, and a cursor that belongs to it.
func TestListsHaveOrdersAndLinks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	b.newEndpoint("acme", "")
	b.newEndpoint("other", "")
	var event uuid.UUID
	for range 3 {
		event = b.newEvent("acme", "a.b")
		b.newKey("tenant", "acme")
		b.requireObject(b.do("POST", "/api/operations", `{"since":"2026-01-02T03:04:05Z","tenant_id":"acme"}`), 202)
	}
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		SELECT $1, $2, n, now() + n * interval '1 ms', 'unknown' FROM generate_series(1, 5) AS n`, event, endpoint)
	revisions := "/api/endpoints/" + endpoint.String() + "/revisions"
	for _, status := range []string{"paused", "enabled"} {
		b.requireObject(b.do("PATCH", "/api/endpoints/"+endpoint.String(), `{"status":"`+status+`"}`), 200)
	}
	delivery := "/api/deliveries/" + event.String() + "/" + endpoint.String()
	lists := map[string]string{ // and their default order
		"/api/events": "desc", "/api/events?tenant_id=acme&type=a.*": "desc", "/api/deliveries": "desc", "/api/deliveries?tenant_id=acme": "desc",
		"/api/deliveries?endpoint_id=" + endpoint.String(): "desc", "/api/endpoints": "asc", "/api/keys": "asc", "/api/audit": "desc",
		"/api/operations": "desc", "/api/events/" + event.String() + "/attempts": "asc", delivery + "/attempts": "asc",
		revisions: "desc",
	}
	cursors := map[string]string{}
	for path, order := range lists {
		with := func(parameters string) string {
			if strings.Contains(path, "?") {
				return path + "&" + parameters
			}
			return path + "?" + parameters
		}
		all, r := b.listed(path)
		require.GreaterOrEqual(t, len(all), 3, path)
		require.Empty(t, r.header.Get("Link"))
		require.Equal(t, all, b.pages(with("limit=1")), path)
		require.Equal(t, all, b.pages(with("limit=2&order="+order)), path)
		other := map[string]string{"asc": "desc", "desc": "asc"}[order]
		reversed := slices.Clone(all)
		slices.Reverse(reversed)
		require.Equal(t, reversed, b.pages(with("limit=2&order="+other)), path)

		_, r = b.listed(with("limit=1"))
		cursor := decode[object](t, r)["next_cursor"].(string)
		cursors[path] = cursor
		b.listed(with("limit=2&order=" + order + "&cursor=" + cursor)) // another size, and the default order said
		b.requireFault(b.do("GET", with("order="+other+"&cursor="+cursor), ""), 422, "query.cursor", "another list")
		if !strings.Contains(path, "tenant_id") && strings.Count(path, "/") == 2 {
			b.requireFault(b.do("GET", with("tenant_id=acme&cursor="+cursor), ""), 422, "query.cursor", "another list")
		}
		b.requireFault(b.do("GET", with("order=s3cret"), ""), 422, "query.order", "")
	}
	for path := range lists {
		for from, cursor := range cursors {
			if from != path {
				join := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
				b.requireFault(b.do("GET", path+join+"cursor="+cursor, ""), 422, "query.cursor", "next_cursor")
			}
		}
	}
}

// HEAD is answered wherever GET is: with its status and headers, without its body, for one run of its work.
func TestHEAD(t *testing.T) {
	t.Parallel()
	m := setupMatrix(t)
	o := m.newObjects(ownTenant)
	paths := []string{"/livez", "/readyz", "/docs", "/openapi.json", "/api/events/" + uuid.NewString(), "/api/events?limit=0", "/nothing", "/api/events?limit=1"}
	entries := matrix()
	for _, item := range m.api.OpenAPI().Paths {
		if item.Get != nil {
			paths = append(paths, entries[item.Get.OperationID].path(o))
		}
	}
	for _, path := range paths {
		before := m.count("SELECT count(*) FROM outhook.audit_entries")
		get := m.do("GET", path, "", "X-Request-Id", "x")
		each := m.count("SELECT count(*) FROM outhook.audit_entries") - before
		head := m.do("HEAD", path, "", "X-Request-Id", "x")
		require.Equal(t, before+2*each, m.count("SELECT count(*) FROM outhook.audit_entries"), path)
		require.Equal(t, get.status, head.status, path)
		require.Empty(t, head.body, path)
		if strings.HasPrefix(path, "/api/stats") || path == "/api/attempts" || path == "/api/workers" ||
			strings.Contains(path, "/preview?") {
			continue // whose sizes, times and cursors are of the moment
		}
		for _, header := range []http.Header{get.header, head.header} {
			header.Del("Date")
		}
		if head.header.Get("Content-Length") == "" {
			get.header.Del("Content-Length") // a long answer's is not known before it is written
		}
		require.Equal(t, get.header, head.header, path)
	}
	require.Equal(t, 405, m.do("HEAD", "/api/deliveries/x/y/replay", "").status)
	require.Equal(t, 401, m.as("wrong", "HEAD", "/api/events", "").status)
}

func TestListsFilter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	acme, other := b.newEndpoint("acme", ""), b.newEndpoint("other", "")
	ids := map[string]string{}
	for _, e := range []struct{ tenant, eventType, key string }{
		{"acme", "invoice", "k0"}, {"acme", "invoice.paid", "k1"}, {"acme", "invoice.paid.late", "k2"}, {"acme", "invoices.x", "k3"}, {"other", "invoice.paid", "k1"},
	} {
		r := b.do("POST", "/api/events", `{"tenant_id":"`+e.tenant+`","type":"`+e.eventType+`","payload":{},"idempotency_key":"`+e.key+`"}`)
		ids[e.tenant+" "+e.eventType] = b.requireObject(r, 202)["id"].(string)
	}
	attempt := func(name string, endpoint uuid.UUID, number int, outcome string, status any, state string, reason any) {
		b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
			VALUES ($1, $2, $3, now(), $4::text::outhook.attempt_outcome, $5)`, ids[name], endpoint, number, outcome, status)
		b.exec(`UPDATE outhook.deliveries SET state = $3::text::outhook.delivery_state, reason = $4, attempt_count = $5, next_attempt_at = NULL,
			completed_at = CASE WHEN $3 <> 'pending' THEN now() END WHERE event_id = $1 AND endpoint_id = $2`, ids[name], endpoint, state, reason, number)
	}
	attempt("acme invoice", acme, 1, "rejected", 500, "pending", nil)
	attempt("acme invoice", acme, 2, "succeeded", 200, "succeeded", nil)
	attempt("acme invoice.paid", acme, 1, "rejected", 500, "failed", "exhausted")
	attempt("acme invoice.paid.late", acme, 1, "timed_out", nil, "failed", "worker_died")
	attempt("other invoice.paid", other, 1, "rejected", 410, "failed", "gone")
	names := map[string]string{}
	for name, id := range ids {
		names[id] = name
	}
	shown := func(path string) (got []string) {
		t.Helper()
		for _, item := range b.requireObject(b.do("GET", path, ""), 200)["items"].([]any) {
			o := item.(object)
			id, ok := o["event_id"].(string)
			if !ok {
				id = o["id"].(string)
			}
			got = append(got, names[id])
		}
		slices.Sort(got)
		return got
	}
	for path, want := range map[string][]string{
		"/api/events?type=invoice":                                {"acme invoice"},
		"/api/events?type=invoice.*":                              {"acme invoice.paid", "acme invoice.paid.late", "other invoice.paid"},
		"/api/events?type=invoice.paid.*&tenant_id=acme":          {"acme invoice.paid.late"},
		"/api/events?type=nothing.*":                              nil,
		"/api/events?tenant_id=acme&idempotency_key=k1":           {"acme invoice.paid"},
		"/api/events?tenant_id=acme&idempotency_key=k1&type=x":    nil,
		"/api/events?tenant_id=acme&idempotency_key=k1&order=asc": {"acme invoice.paid"},
		"/api/events?tenant_id=acme&idempotency_key=unknown":      nil,

		"/api/deliveries?type=invoice.*":                                       {"acme invoice.paid", "acme invoice.paid.late", "other invoice.paid"},
		"/api/deliveries?type=invoice.paid&tenant_id=acme":                     {"acme invoice.paid"},
		"/api/deliveries?reason=gone":                                          {"other invoice.paid"},
		"/api/deliveries?reason=gone&tenant_id=acme":                           nil,
		"/api/deliveries?outcome=rejected":                                     {"acme invoice.paid", "other invoice.paid"},
		"/api/deliveries?outcome=timed_out,succeeded&tenant_id=acme":           {"acme invoice", "acme invoice.paid.late"},
		"/api/deliveries?status_code=500":                                      {"acme invoice.paid"},
		"/api/deliveries?status_code=410&endpoint_id=" + other.String():        {"other invoice.paid"},
		"/api/deliveries?state=pending":                                        {"acme invoices.x"},
		"/api/deliveries?tenant_id=acme&endpoint_id=" + other.String():         nil,
		"/api/deliveries?tenant_id=acme&event_id=" + ids["acme invoice"]:       {"acme invoice"},
		"/api/deliveries?event_id=" + ids["other invoice.paid"]:                {"other invoice.paid"},
		"/api/deliveries?tenant_id=acme&event_id=" + ids["other invoice.paid"]: nil,
	} {
		require.Equal(t, want, shown(path), path)
	}
	numbers := func(path string) (got []any) {
		t.Helper()
		for _, item := range b.requireObject(b.do("GET", path, ""), 200)["items"].([]any) {
			got = append(got, item.(object)["number"])
		}
		return got
	}
	event := "/api/events/" + ids["acme invoice"] + "/attempts"
	delivery := "/api/deliveries/" + ids["acme invoice"] + "/" + acme.String() + "/attempts"
	for _, path := range []string{event, delivery} {
		require.Equal(t, []any{1.0, 2.0}, numbers(path))
		require.Equal(t, []any{1.0}, numbers(path+"?outcome=rejected"))
		require.Equal(t, []any{2.0}, numbers(path+"?status_code=200"))
		require.Empty(t, numbers(path+"?outcome=blocked"))
	}
	require.Empty(t, numbers(event+"?endpoint_id="+other.String()))
	b.requireProblem(b.do("GET", "/api/deliveries/"+ids["acme invoice"]+"/"+other.String()+"/attempts", ""), 404)
	require.Equal(t, []string{"acme invoice.paid", "other invoice.paid"},
		slices.Compact(shown("/api/attempts?since=2026-01-02T03:04:05Z&outcome=rejected&type=invoice.*")))
	require.Equal(t, []string{"other invoice.paid"}, shown("/api/attempts?since=2026-01-02T03:04:05Z&status_code=410"))

	for path, location := range map[string]string{
		"/api/events?idempotency_key=k1":                       "query.tenant_id",
		"/api/events?tenant_id=acme&idempotency_key=s3cret%00": "query.idempotency_key",
		"/api/events?type=*":                                   "query.type",
		"/api/events?type=s3cret*":                             "query.type",
		"/api/deliveries?reason=s3cret":                        "query.reason",
		"/api/deliveries?outcome=s3cret":                       "query.outcome[0]",
		"/api/deliveries?status_code=99":                       "query.status_code",
		"/api/deliveries?event_id=s3cret":                      "query.event_id",
		event + "?endpoint_id=s3%20cret":                       "query.endpoint_id",
	} {
		r := b.do("GET", path, "")
		b.requireFault(r, 422, location, "")
		require.NotContains(t, string(r.body), "s3cret")
	}

	// A key that is bound to a tenant need not name it, and finds nothing of another.
	key, _ := b.newKey("read", "acme")
	for path, want := range map[string]int{
		"/api/events?idempotency_key=k1": 1, "/api/events?idempotency_key=k1&tenant_id=other": 0, "/api/deliveries?status_code=410": 0,
		"/api/deliveries?endpoint_id=" + other.String(): 0, "/api/deliveries?event_id=" + ids["other invoice.paid"]: 0,
	} {
		require.Len(t, b.requireObject(b.as(key, "GET", path, ""), 200)["items"], want, path)
	}
}

// queries keeps what the lists ask the database.
type queries struct {
	mu   sync.Mutex
	list []pgx.TraceQueryStartData
}

// TraceQueryStart keeps a query.
func (q *queries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "-- name: List") || strings.HasPrefix(data.SQL, "-- name: Find") {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.list = append(q.list, data)
	}
	return ctx
}

// TraceQueryEnd does nothing.
func (q *queries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (q *queries) taken() []pgx.TraceQueryStartData {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// scanned is what EXPLAIN says of a node; its keys have spaces.
type scanned struct {
	NodeType     string  `json:"Node Type"`              //nolint:tagliatelle // Postgres' name
	RelationName string  `json:"Relation Name"`          //nolint:tagliatelle // Postgres' name
	ActualRows   float64 `json:"Actual Rows"`            //nolint:tagliatelle // Postgres' name
	ActualLoops  float64 `json:"Actual Loops"`           //nolint:tagliatelle // Postgres' name
	Removed      float64 `json:"Rows Removed by Filter"` //nolint:tagliatelle // Postgres' name
	Plans        []scanned
}

// most returns the most rows that are read of one table.
func (s scanned) most() float64 {
	rows := 0.0
	if s.RelationName != "" {
		rows = (s.ActualRows + s.Removed) * s.ActualLoops
	}
	for _, child := range s.Plans {
		rows = max(rows, child.most())
	}
	return rows
}

// A filter that nothing matches reads a bounded part of the log in one statement, and the client goes on from there: it
// finds what there is, however far away.
func TestListsReadABoundedPart(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	cfg := pool.Config().Copy()
	seen := &queries{}
	cfg.ConnConfig.Tracer = seen
	traced, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(traced.Close)
	b := setupOn(t, traced)
	endpoint := b.newEndpoint("acme", "")
	oldest := b.newEvent("acme", "rare.thing").String()
	const rows, most = 40_000, 5_000
	b.exec(`WITH e AS (INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
			SELECT v.id, outhook.uuid_v7_time(v.id), 'acme', 'a.b', '{}' FROM (
				SELECT outhook.uuid_v7(clock_timestamp() + interval '1 s', i) AS id FROM generate_series(1, $2::integer) AS i) AS v RETURNING id)
		INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at) SELECT e.id, $1, 0, now() FROM e`, endpoint, rows)
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome)
		SELECT d.event_id, d.endpoint_id, 1, now(), 'rejected' FROM outhook.deliveries AS d WHERE d.job_id = 0`)
	b.exec(`ANALYZE outhook.events, outhook.deliveries, outhook.delivery_attempts, outhook.endpoints`)

	for _, path := range []string{
		"/api/events?limit=50", "/api/events?type=rare.*", "/api/events?type=rare.*&tenant_id=acme", "/api/events?type=rare.*&order=asc&tenant_id=acme",
		"/api/deliveries?limit=50", "/api/deliveries?reason=gone", "/api/deliveries?reason=gone&order=asc", "/api/deliveries?type=rare.*",
		"/api/deliveries?type=rare.*&tenant_id=acme", "/api/deliveries?type=rare.*&tenant_id=acme&order=asc",
		"/api/deliveries?status_code=200&endpoint_id=" + endpoint.String(), "/api/deliveries?outcome=blocked&tenant_id=acme",
		"/api/deliveries?tenant_id=acme&limit=50",
	} {
		seen.taken()
		b.requireObject(b.do("GET", path, ""), 200)
		list := seen.taken()
		require.NotEmpty(t, list)
		for _, q := range list {
			require.LessOrEqual(t, b.explain(q), float64(most+1), path)
		}
	}

	require.Equal(t, []string{fmt.Sprint(oldest, nil, nil, nil)}, b.pages("/api/events?type=rare.*"))
	for _, filter := range []string{"", "&tenant_id=acme", "&endpoint_id=" + endpoint.String()} {
		require.Equal(t, []string{fmt.Sprint(nil, oldest, endpoint.String(), nil)}, b.pages("/api/deliveries?type=rare.*"+filter))
		require.Empty(t, b.pages("/api/deliveries?reason=gone&order=asc"+filter))
	}
}

// explain runs a list's query again and returns the most rows that it reads of a table.
func (b *testBundle) explain(q pgx.TraceQueryStartData) float64 {
	b.t.Helper()
	var text []byte
	err := pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.t.Context(), "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		return tx.QueryRow(b.t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+q.SQL, q.Args...).Scan(&text)
	})
	require.NoError(b.t, err)
	var plans []struct{ Plan scanned }
	require.NoError(b.t, json.Unmarshal(text, &plans))
	return plans[0].Plan.most()
}
