package migrations_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

const (
	// marker is in each value of the fixture that no report may show.
	marker = "Marked7"

	// placeholder is the event's id in docs/reporting.md.
	placeholder = "00000000-0000-7000-8000-000000000000"
)

// storeFixture stores events, deliveries and attempts from a time on; base is its SQL expression.
func storeFixture(t *testing.T, db database, base string) {
	t.Helper()
	text, err := os.ReadFile("testdata/fixture.sql")
	require.NoError(t, err)
	exec(t, db, strings.ReplaceAll(string(text), "@base", base))
}

// reporting returns pools of the owner and of a reporter, in a time zone, on a database that holds the fixture from one
// o'clock (UTC) of the returned day on.
func reporting(t *testing.T, zone string) (owner, reporter *pgxpool.Pool, day time.Time) {
	t.Helper()
	owner, day = dbtest.New(t), time.Now().UTC().Truncate(24*time.Hour)
	storeFixture(t, owner, "('"+day.Add(time.Hour).Format(time.RFC3339)+"'::timestamptz)")
	cfg := member(t, owner, "outhook_reporter").Config()
	cfg.ConnConfig.RuntimeParams["timezone"] = zone
	return owner, openConfig(t, cfg), day
}

func views(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, pool, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'outhook'::regnamespace AND relkind IN ('v', 'm') ORDER BY relname COLLATE "C"`)
}

// The columns of these rows are listed in testdata/views.golden.
func TestReportsShowWhatHappened(t *testing.T) {
	t.Parallel()
	owner, reporter, day := reporting(t, "UTC")
	pairs := []string{
		`"`, ``, `00000000-0000-7000-8000-00000000000`, `n`,
		day.Format(time.DateOnly), `today`, day.AddDate(0, 0, -1).Format(time.DateOnly), `yesterday`,
	}
	for _, id := range column[string](t, owner, `SELECT id::text FROM outhook.events`) {
		pairs = append(pairs, id, value[string](t, owner, `SELECT type FROM outhook.events WHERE id = $1::uuid`, id))
	}
	names := strings.NewReplacer(pairs...)
	for rows, want := range map[string][]string{
		`outhook.report_events AS v ORDER BY event_id`: {
			`(nobody.asked,lonely,nobody.asked,today 01:00:00+00,9,0,,,,)`,
			`(invoice.paid,acme,invoice.paid,today 01:01:00+00,24,1,order-17-paid,,,)`,
			`(invoice.voided,acme,invoice.voided,today 01:02:00+00,11,3,,,,)`,
			`(invoice.sent,umbrella,invoice.sent,today 01:03:00+00,11,2,,,,)`,
		},
		`outhook.report_deliveries AS v ORDER BY event_id, endpoint_id`: {
			`(invoice.paid,n1,acme,invoice.paid,today 01:01:00+00,succeeded,,3,2,,today 01:04:01.5+00,181500)`,
			`(invoice.voided,n1,acme,invoice.voided,today 01:02:00+00,pending,,1,1,today 01:03:00+00,,)`,
			`(invoice.voided,n2,acme,invoice.voided,today 01:02:00+00,pending,,0,0,today 01:02:00+00,,)`,
			`(invoice.voided,n4,acme,invoice.voided,today 01:02:00+00,cancelled,endpoint_deleted,0,0,,today 01:02:05+00,5000)`,
			`(invoice.sent,n2,umbrella,invoice.sent,today 01:03:00+00,failed,exhausted,2,1,,today 01:04:00+00,60000)`,
			`(invoice.sent,n5,umbrella,invoice.sent,today 01:03:00+00,succeeded,,2,1,,today 01:04:01+00,61000)`,
		},
		`outhook.report_attempts AS v ORDER BY event_id, endpoint_id, number`: {
			`(invoice.paid,n1,1,acme,hooks.example.com,today 01:01:00+00,10,rejected,500,status: 500,scheduled,` +
				`192.0.2.1:443,{retry-after: 5},sorry,t,,,,)`,
			`(invoice.paid,n1,2,acme,hooks.example.com,today 01:02:00+00,20,timed_out,,timeout: no answer,scheduled,,,,f,,,,)`,
			`(invoice.paid,n1,3,acme,hooks.example.com,today 01:04:00+00,30,succeeded,204,,scheduled,,,,f,1200,340,9000,18000)`,
			`(invoice.voided,n1,1,acme,hooks.example.com,today 01:02:00+00,40,rejected,503,status: 503,scheduled,,,,f,,,,)`,
			`(invoice.sent,n2,1,acme,other.example.com:8080,today 01:00:00+00,5,unreachable,,connection_refused: no,scheduled,,,,f,,,,)`,
			`(invoice.sent,n2,2,acme,other.example.com:8080,today 01:04:00+00,,unknown,,worker_died: no,manual,,,,f,,,,)`,
			`(invoice.sent,n5,1,umbrella,was.used.example.com,yesterday 23:00:00+00,7,blocked,,blocked: private,scheduled,,,,f,,,,)`,
			`(invoice.sent,n5,2,umbrella,was.used.example.com,today 01:04:01+00,9,succeeded,200,,scheduled,,,,f,,,,)`,
		},
		`outhook.report_endpoint_health AS v ORDER BY endpoint_id, day`: {
			`(n1,acme,hooks.example.com,enabled,,today,4,1,0.2500,25.0,38.5,39.7,today 01:04:00+00,1)`,
			`(n2,acme,other.example.com:8080,paused,api,today,2,0,0.0000,5.0,5.0,5.0,,1)`,
			`(n3,acme,[2001:db8::1]:8443,disabled,gone,,,,,,,,,0)`,
			`(n5,umbrella,was.used.example.com,enabled,,yesterday,1,0,0.0000,7.0,7.0,7.0,,0)`,
			`(n5,umbrella,was.used.example.com,enabled,,today,1,1,1.0000,9.0,9.0,9.0,today 01:04:01+00,0)`,
		},
		`outhook.report_endpoints AS v ORDER BY endpoint_id`: {
			`(n1,acme,hooks.example.com,{},enabled,,today 02:00:00+00,failing,7,today 01:01:00+00,,today 01:02:00+00,503,,,today 00:00:00+00,main,billing,)`,
			`(n2,acme,other.example.com:8080,{},paused,api,today 02:00:00+00,healthy,0,,,,,,,today 00:00:00+00,,billing,)`,
			`(n3,acme,[2001:db8::1]:8443,{},disabled,gone,today 02:00:00+00,disabled,0,,,,,,,today 00:00:00+00,,billing,)`,
			`(n4,acme,deleted.example.com,{},enabled,,today 02:00:00+00,deleted,0,,,,,,,today 00:00:00+00,,billing,yesterday 12:00:00+00)`,
			`(n5,umbrella,was.used.example.com,{},enabled,,today 02:00:00+00,deleted,0,,,,,,,today 00:00:00+00,,billing,yesterday 12:00:00+00)`,
		},
		`outhook.report_retries AS v ORDER BY event_id, endpoint_id`: {
			`(invoice.voided,n1,acme,invoice.voided,1,1,today 01:03:00+00,rejected,503,status: 503,today 01:02:00+00)`,
		},
		`outhook.report_usage AS v ORDER BY tenant_id`: {
			`(today 01:00:00+00,acme,invoice.paid,2,3,5,21,t)`,
			`(today 01:00:00+00,umbrella,invoice.sent,1,2,4,11,t)`,
		},
		`(SELECT at, actor, action, tenant_id, object_type, object_id, detail, source_address FROM outhook.report_audit) AS v ORDER BY action`: {
			`(today 01:00:00+00,billing,create-key,acme,key,n9,{name: ci},)`,
			`(today 01:00:00+00,billing,replay-delivery,acme,delivery,invoice.paid/n1,{now: false},192.0.2.7)`,
		},
	} {
		got := column[string](t, reporter, `SELECT v::text FROM `+rows)
		for i := range got {
			got[i] = names.Replace(strings.ReplaceAll(got[i], `""`, ``))
		}
		require.Equal(t, want, got, rows)
	}
}

func TestDaysOfReportsAreUTC(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"XYZ-14", "XYZ12"} {
		_, reporter, day := reporting(t, zone)
		require.Equal(t, []time.Time{day.AddDate(0, 0, -1), day}, column[time.Time](t, reporter,
			`SELECT DISTINCT day FROM outhook.report_endpoint_health WHERE day IS NOT NULL ORDER BY day`), zone)
	}
}

func TestReportsShowNothingMarked(t *testing.T) {
	t.Parallel()
	owner, reporter, _ := reporting(t, "UTC")
	for _, view := range views(t, owner) {
		rows := column[string](t, reporter, `SELECT v::text FROM outhook.`+view+` AS v`)
		require.NotEmpty(t, rows, view)
		require.False(t, marked(rows), "%s shows a value that it should not: %s", view, rows)
	}
	for _, table := range []string{
		"endpoints", "endpoint_secrets", "events", "delivery_attempts", "api_keys",
	} {
		require.True(t, marked(column[string](t, owner, `SELECT v::text FROM outhook.`+table+` AS v`)), table)
	}
}

// marked says whether the marker is in one of the rows, plain or as PostgreSQL shows bytes.
func marked(rows []string) bool {
	all := strings.Join(rows, "\n")
	return strings.Contains(all, marker) || strings.Contains(all, hex.EncodeToString([]byte(marker))) ||
		strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(marker)))
}

// The views are a promise: within a major version columns are added at the end, never renamed, removed or retyped.
func TestViewsHaveTheirColumns(t *testing.T) {
	t.Parallel()
	got := strings.Join(column[string](t, dbtest.New(t), `
		SELECT format('%s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
		WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind IN ('v', 'm')
		ORDER BY c.relname COLLATE "C", a.attnum`), "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile("testdata/views.golden", []byte(got), 0o600))
	}
	want, err := os.ReadFile("testdata/views.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestViewsAreDescribed(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	page, err := os.ReadFile("../docs/reporting.md")
	require.NoError(t, err)
	all := views(t, pool)
	require.Len(t, all, 8)
	for _, view := range all {
		require.Regexp(t, `^One row per .+\.$`,
			value[string](t, pool, `SELECT coalesce(obj_description(('outhook.' || $1)::regclass), '')`, view), view)
		require.Contains(t, string(page), "| `outhook."+view+"` |")
	}
}

// Each question gets an answer: a query that finds nothing in the fixture would show no mistake. All is one transaction, so
// that now() is one time.
func TestReportingPageAnswersItsQuestions(t *testing.T) {
	t.Parallel()
	tx, err := dbtest.New(t).Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	storeFixture(t, tx, "now()")
	event := value[string](t, tx, `SELECT id::text FROM outhook.events WHERE type = 'invoice.paid'`)
	questions := blocks(t, "../docs/reporting.md")
	own := slices.IndexFunc(questions, func(sql string) bool { return strings.HasPrefix(sql, "CREATE TABLE webhook_days") })
	name := uniqueName("outhook_t_")
	exec(t, tx, questions[own]+`CREATE ROLE `+name+` IN ROLE outhook_reporter; GRANT ALL ON webhook_days TO `+name+
		`; SET LOCAL ROLE `+name)
	questions = slices.Delete(questions, own, own+1)

	require.GreaterOrEqual(t, len(questions), 12)
	for _, sql := range questions {
		rows, err := tx.Query(t.Context(), strings.ReplaceAll(sql, placeholder, event))
		require.NoError(t, err, sql)
		found := rows.Next()
		rows.Close()
		require.NoError(t, rows.Err(), sql)
		require.True(t, found, "nothing answers %s", sql)
	}
	require.Contains(t, strings.Join(questions, ""), placeholder)
}

// An event's key is found by the keys' index, and whoever does not ask for it does not pay for it.
func TestTheKeyOfAnEventCostsWhoAsksForIt(t *testing.T) {
	t.Parallel()
	owner, _, _ := reporting(t, "UTC")
	event := value[string](t, owner, `SELECT id::text FROM outhook.events WHERE type = 'invoice.paid'`)
	tx, err := owner.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	exec(t, tx, `SET LOCAL enable_seqscan = off`) // the tables are small
	plan := func(sql string) string { return strings.Join(column[string](t, tx, `EXPLAIN `+sql), "\n") }
	require.NotContains(t, plan(`SELECT event_id, type, delivery_count FROM outhook.report_events`), "event_keys")
	require.Contains(t, plan(`SELECT type FROM outhook.report_events WHERE tenant_id = 'acme' AND idempotency_key = 'order-17-paid'`),
		"Index Scan using event_keys_pkey")
	require.Contains(t, plan(`SELECT idempotency_key FROM outhook.report_events WHERE event_id = '`+event+`'`),
		"event_keys_event_id_idx")
}

// blocks returns the blocks of SQL of a page.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var list []string
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		list = append(list, m[1])
	}
	require.NotEmpty(t, list, page)
	return list
}
