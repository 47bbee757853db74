package svix_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// patterns returns the calls that there are, as a function in a file has them.
func patterns(t *testing.T, name, function string) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	require.NoError(t, err)
	consts := map[string]string{
		"endpoint": "/app/{app}/endpoint/{endpoint}", "message": "/app/{app}/msg/{msg}",
		"all": "/operational-webhook/endpoint", "one": "/operational-webhook/endpoint/{endpoint}",
	}
	var text func(ast.Expr) string
	text = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(e.Value)
			require.NoError(t, err)
			return s
		case *ast.Ident:
			require.Contains(t, consts, e.Name)
			return consts[e.Name]
		case *ast.BinaryExpr:
			return text(e.X) + text(e.Y)
		}
		require.FailNow(t, "another kind of expression")
		return ""
	}
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != function {
			return true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if kv, ok := n.(*ast.KeyValueExpr); ok {
				all = append(all, text(kv.Key))
			}
			return true
		})
		return false
	})
	return all
}

// bodies are those of calls that have one.
//
//nolint:gochecknoglobals // a constant table
var bodies = map[string]string{
	"POST /app": `{"name":"New"}`, "PUT /app/{app}": `{"name":"New"}`, "PATCH /app/{app}": `{"name":"New"}`,
	"POST /app/{app}/endpoint": `{"url":"https://example.com/new"}`, "PUT /app/{app}/endpoint/{endpoint}": `{"url":"https://example.com/new"}`,
	"POST /operational-webhook/endpoint": `{"url":"https://example.com/new"}`, "PUT /operational-webhook/endpoint/{endpoint}": `{"url":"https://example.com/new"}`,
	"PUT /operational-webhook/endpoint/{endpoint}/headers":        `{"headers":{"x-new":"1"}}`,
	"POST /operational-webhook/endpoint/{endpoint}/secret/rotate": `{}`,
	"PATCH /app/{app}/endpoint/{endpoint}":                        `{"description":"new"}`,
	"PUT /app/{app}/endpoint/{endpoint}/headers":                  `{"headers":{"x-new":"1"}}`,
	"PATCH /app/{app}/endpoint/{endpoint}/headers":                `{"headers":{"x-new":"1"}}`,
	"POST /app/{app}/endpoint/{endpoint}/secret/rotate":           `{}`,
	"POST /app/{app}/endpoint/{endpoint}/recover":                 `{"since":"2026-01-02T03:04:05Z"}`,
	"POST /app/{app}/endpoint/{endpoint}/replay-missing":          `{"since":"2026-01-02T03:04:05Z"}`,
	"POST /app/{app}/endpoint/{endpoint}/bulk-replay":             `{"since":"2026-01-02T03:04:05Z"}`,
	"POST /auth/app-portal-access/{app}":                          `{}`,
	"POST /auth/app/{app}/expire-all":                             `{}`,
	"POST /event-type":                                            `{"name":"of.the.matrix","description":"new"}`,
	"PUT /event-type/{name}":                                      `{"description":"new"}`,
	"PATCH /event-type/{name}":                                    `{"description":"new"}`,
	"POST /app/{app}/endpoint/{endpoint}/send-example":            `{"eventType":"none"}`,
	"POST /app/{app}/msg":                                         `{"eventType":"a.b","payload":{}}`,
	"POST /app/{app}/msg/bulk-expunge":                            `{"ids":["{msg}"]}`,
	"POST /app/{app}/msg/precheck/active":                         `{"eventType":"a.b"}`,
}

// A tenant's key gets nothing of another tenant, whether it names the other's application or its own, and its calls
// change nothing there.
func TestTenancyMatrix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := func(tenant, secret string) map[string]string {
		app := b.call("POST", "/app", `{"name":"`+secret+`","uid":"`+tenant+`","metadata":{"a":"`+secret+`"}}`, 201)["id"].(string)
		end := b.call("POST", "/app/"+tenant+"/endpoint", `{"url":"https://example.com/`+secret+`","uid":"main-`+tenant+`"}`, 201)["id"].(string)
		msg := b.call("POST", "/app/"+tenant+"/msg", `{"eventType":"a.b","payload":{"s":"`+secret+`"},"eventId":"e-`+tenant+`"}`, 202)["id"].(string)
		b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, error)
			SELECT d.event_id, d.endpoint_id, 1, now(), 'unknown', $2 FROM outhook.deliveries AS d WHERE d.event_id IN (SELECT id FROM outhook.events WHERE tenant_id = $1)`, tenant, secret)
		b.exec(`UPDATE outhook.deliveries AS d SET attempt_count = 1 WHERE d.event_id IN (SELECT id FROM outhook.events WHERE tenant_id = $1)`, tenant)
		attempts := b.call("GET", "/app/"+tenant+"/attempt/msg/"+msg, "", 200)["data"].([]any)
		require.Len(t, attempts, 1)
		task := b.call("POST", "/app/"+tenant+"/endpoint/"+end+"/bulk-replay", `{"since":"2026-01-02T03:04:05Z","status":0}`, 202)["id"].(string)
		return map[string]string{
			"app": app, "endpoint": end, "msg": msg, "attempt": attempts[0].(object)["id"].(string), "task": task,
		}
	}
	own, foreign := ids("acme", "own-words"), ids("globex", "s3cret-words")
	b.call("POST", "/event-type", `{"name":"of.acme","description":"Shown"}`, 201)
	b.call("POST", "/event-type", `{"name":"hidden.type","description":"s3cret-words","featureFlags":["beta"]}`, 201)
	own["name"], foreign["name"] = "of.acme", "hidden.type"
	key := b.as("tenant", "acme")
	fill := func(text string, in map[string]string) string {
		for name, id := range in {
			text = strings.ReplaceAll(text, "{"+name+"}", id)
		}
		return text
	}
	mixed := func(app string) map[string]string {
		m := map[string]string{}
		maps.Copy(m, foreign)
		m["app"] = app
		return m
	}
	state := func() string {
		var all []string
		rows, err := b.pool.Query(t.Context(), `SELECT to_jsonb(e)::text FROM outhook.endpoints AS e WHERE tenant_id = 'globex'
			UNION ALL SELECT to_jsonb(v)::text FROM outhook.events AS v WHERE tenant_id = 'globex'
			UNION ALL SELECT to_jsonb(k)::text FROM outhook.api_keys AS k WHERE tenant_id = 'globex'
			UNION ALL SELECT to_jsonb(y)::text FROM outhook.event_types AS y
			UNION ALL SELECT to_jsonb(n)::text FROM outhook.tenants AS n WHERE tenant_id = 'globex'
			UNION ALL SELECT to_jsonb(d)::text FROM outhook.deliveries AS d JOIN outhook.events AS v ON v.id = d.event_id WHERE v.tenant_id = 'globex'
			UNION ALL SELECT to_jsonb(o)::text FROM outhook.operations AS o WHERE tenant_id = 'globex' ORDER BY 1`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var row string
			require.NoError(t, rows.Scan(&row))
			all = append(all, row)
		}
		require.NoError(t, rows.Err())
		return strings.Join(all, "\n")
	}

	all := patterns(t, "svix.go", "routes")
	require.Greater(t, len(all), 35)
	of := patterns(t, "operational.go", "operationalRoutes")
	require.Len(t, of, 9)
	before := state()
	for _, pattern := range append(slices.Clone(of), all...) {
		method, path, _ := strings.Cut(pattern, " ")
		for _, names := range []map[string]string{foreign, mixed("globex"), mixed(own["app"]), mixed("acme")} {
			a := b.do(method, calls+fill(path, names), fill(bodies[pattern], names), key...)
			require.NotContains(t, a.body, "s3cret", "%s", pattern)
			require.Less(t, a.status, 500, "%s: %s", pattern, a.body)
			named := strings.Contains(path, "{app}") && (names["app"] == foreign["app"] || names["app"] == "globex")
			operators := strings.HasPrefix(path, "/operational-webhook") && pattern != "GET /operational-webhook/endpoint"
			if named || operators || strings.Contains(path, "{task}") || strings.Contains(path, "{name}") {
				require.Contains(t, []int{403, 404}, a.status, "%s: %s", pattern, a.body)
			}
			if a.status < 300 && a.body != "" && method == "GET" {
				var o object
				require.NoError(t, json.Unmarshal([]byte(a.body), &o))
				for _, id := range foreign {
					require.NotContains(t, a.body, id, pattern)
				}
			}
		}
	}
	require.Equal(t, before, state())

	// With the tenant's own all calls work that its scope admits.
	for _, pattern := range all {
		method, path, _ := strings.Cut(pattern, " ")
		if method == "DELETE" || strings.HasSuffix(path, "expunge") || pattern == "POST /app" || strings.HasSuffix(path, "send-example") {
			continue
		}
		a := b.do(method, calls+fill(path, own), fill(bodies[pattern], own), key...)
		admin := (method == "PUT" || method == "PATCH") && path == "/app/{app}" ||
			method != "GET" && strings.HasPrefix(path, "/event-type")
		if admin {
			require.Equal(t, 403, a.status, "%s: %s", pattern, a.body)
		} else {
			require.Contains(t, []int{200, 201, 202, 204, 409}, a.status, "%s: %s", pattern, a.body)
		}
	}
}
