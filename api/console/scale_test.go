package console_test

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/jobs/retention"
)

// What a page may take, however much is stored.
const (
	slowPage  = 150 * time.Millisecond // p95, from the request to the last byte
	slowQuery = 50 * time.Millisecond
	largePage = 150 << 10

	// slowAnswer is how long it may take from a customer's webhook-id to the page that says why.
	slowAnswer = 300 * time.Millisecond

	// scaleRounds is how often each page is read: a prepared statement gets its general plan with the sixth.
	scaleRounds = 40
)

// scaleEvents is how many events are stored: ten million, or OUTHOOK_TEST_EVENTS.
func scaleEvents(t *testing.T) int {
	t.Helper()
	text, given := os.LookupEnv("OUTHOOK_TEST_EVENTS")
	if !given {
		return 10_000_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "OUTHOOK_TEST_EVENTS")
	return n
}

// Every page is quick with ten million events, a million of them one tenant's, no query is slow, and a customer's
// webhook-id leads to the reason.
func TestScale(t *testing.T) {
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it takes ten minutes and 10 GB of disk: set OUTHOOK_TEST_LOAD=all, as .ci/full does")
	}
	t.Parallel()
	s := newScale(t)
	s.load(scaleEvents(t))
	b := startOn(t, s.pool, httptest.NewUnstartedServer(nil), nil)
	w := b.seed()
	b.administer(&w)
	s.exec(`VACUUM (ANALYZE)`)
	_, err := retention.Run(t.Context(), s.pool, retention.DefaultConfig(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	browser := b.login(adminKey)

	reported := b.reported(t)
	log, err := os.Stat(s.log())
	require.NoError(t, err)
	b.measurePages(t, browser, b.scalePages(t, w))
	b.measureWhy(t, browser, reported)
	require.Empty(t, s.slowSince(log.Size()), "queries took longer than %s", slowQuery)
}

// scalePages are those that TestPages opens, and of those that show the log others that hold very much.
func (b *bundle) scalePages(t *testing.T, w world) map[string]string {
	t.Helper()
	pages := map[string]string{}
	all := tried(w)
	for _, pattern := range b.console.Patterns() {
		paths, ok := all[pattern]
		require.True(t, ok, "the page %s is tried with nothing: give it a path", pattern)
		maps.Copy(pages, paths)
	}
	delete(pages, "nothing")

	endpoints, err := b.api.ListEndpoints(t.Context(), client.ListEndpointsParams{URLHost: "hooks3.acme.example"})
	require.NoError(t, err)
	require.Len(t, endpoints.Items, 1)
	maps.Copy(pages, map[string]string{
		"endpoint with very many":       "/console/endpoints/" + endpoints.Items[0].ID,
		"events of the large tenant":    "/console/events?tenant=acme",
		"a rare type of the tenant":     "/console/events?tenant=acme&type=customer.deleted",
		"a type of all":                 "/console/events?type=stock.*",
		"a type that nobody has":        "/console/events?type=nothing.at_all",
		"deliveries of the tenant":      "/console/deliveries?tenant=acme",
		"its failed deliveries":         "/console/deliveries?tenant=acme&state=failed",
		"its pending deliveries":        "/console/deliveries?tenant=acme&state=pending",
		"cancelled deliveries of all":   "/console/deliveries?state=cancelled",
		"pending deliveries of all":     "/console/deliveries?state=pending",
		"deliveries of a type":          "/console/deliveries?type=stock.low",
		"deliveries of one endpoint":    "/console/deliveries?endpoint=" + endpoints.Items[0].ID,
		"its failures":                  "/console/deliveries?state=failed&endpoint=" + endpoints.Items[0].ID,
		"overview of the large tenant":  "/console?tenant=acme&window=3600",
		"found by the host":             "/console/find?q=hooks3.acme.example",
		"audit of a tenant":             "/console/audit?tenant=tenant-3",
		"operations of a tenant":        "/console/operations?tenant=tenant-3",
		"endpoints of the large tenant": "/console/endpoints?tenant=acme",
	})
	for name, path := range maps.Clone(pages) {
		if next := b.second(t, path); next != "" {
			pages[name+", second page"] = next
		}
	}
	return pages
}

// nextLink matches the link to the next page of a list.
var nextLink = regexp.MustCompile(`href="(/console[^"]*[?&;]cursor=[^"]+)"`)

// second returns the path of a list's second page; "": there is none.
func (b *bundle) second(t *testing.T, path string) string {
	t.Helper()
	a := b.login(adminKey).get(path)
	match := nextLink.FindStringSubmatch(a.body)
	if match == nil {
		return ""
	}
	return strings.ReplaceAll(match[1], "&amp;", "&")
}

// measurePages reads each page many times.
func (b *bundle) measurePages(t *testing.T, browser *browser, pages map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		took := make([]time.Duration, scaleRounds)
		bytes := 0
		for i := range took {
			began := time.Now()
			a := browser.get(pages[name])
			took[i] = time.Since(began)
			if a.status >= http.StatusBadRequest {
				t.Errorf("%s was answered %d", name, a.status)
			}
			bytes = max(bytes, len(a.body))
		}

		slices.Sort(took)
		p95 := took[scaleRounds*95/100-1]
		t.Logf("%-45s p50 %6.1f ms, p95 %6.1f ms, %4d KB", name, ms(took[scaleRounds/2]), ms(p95), bytes>>10)
		if p95 > slowPage {
			t.Errorf("%s: p95 is %s, more than %s", name, p95, slowPage)
		}
		if bytes > largePage {
			t.Errorf("%s: %d bytes of HTML, more than %d", name, bytes, largePage)
		}
	}
}

// reported returns the ids of events that customers ask about, by what became of them: one of each day.
func (b *bundle) reported(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for what, condition := range map[string]string{
		"delivered": `d.state = 'succeeded'`, "failed": `d.state = 'failed'`, "for nobody": `d.event_id IS NULL`,
	} {
		rows, err := b.pool.Query(t.Context(), `SELECT DISTINCT ON (e.created_at::date) e.id::text FROM outhook.events AS e
			LEFT JOIN outhook.deliveries AS d ON d.event_id = e.id
			WHERE e.tenant_id = 'acme' AND e.created_at < now() - interval '1 day' AND `+condition)
		require.NoError(t, err)
		all[what], err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Len(t, all[what], scaleDays)
	}
	return all
}

// measureWhy goes the way of support: a webhook-id from a customer's log into the search, and the page that it leads to.
// That is one interaction; two more are left for a Ctrl-K and a click.
func (b *bundle) measureWhy(t *testing.T, browser *browser, reported map[string][]string) {
	t.Helper()
	for what, ids := range reported {
		var took []time.Duration
		for _, id := range ids {
			began := time.Now()
			a := browser.get("/console/find?q=" + url.QueryEscape(id))
			require.Equal(t, http.StatusSeeOther, a.status)
			a = browser.get(a.location)
			took = append(took, time.Since(began))
			requirePage(t, a, map[string]string{
				"delivered": "It was delivered", "failed": "It failed at", "for nobody": "was not subscribed to",
			}[what])
		}
		slices.Sort(took)
		t.Logf("from a webhook-id to why, %-10s p50 %6.1f ms, most %6.1f ms", what, ms(took[len(took)/2]), ms(slices.Max(took)))
		require.LessOrEqual(t, slices.Max(took), slowAnswer, what)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// log is the server's.
func (s *scale) log() string { return filepath.Join(s.server.DataDir(), "postgres.log") }

// entry matches the beginning of an entry of the log.
var entry = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)

// statement matches what tells one logged query from another.
var statement = regexp.MustCompile(`-- name: (\w+)|(?:statement|execute [^:]*|Query Text): (.{1,100})`)

// slowSince returns the queries that were logged for their duration since the log had a size: each kind once, with how
// often.
func (s *scale) slowSince(size int64) (slow []string) {
	s.t.Helper()
	data, err := os.ReadFile(s.log())
	require.NoError(s.t, err)
	text := string(data[size:])
	begins := append(entry.FindAllStringIndex(text, -1), []int{len(text), len(text)})
	kinds, count := map[string]string{}, map[string]int{}
	for i := range len(begins) - 1 {
		one := text[begins[i][0]:begins[i+1][0]]
		if !strings.Contains(one, "duration: ") {
			continue
		}
		kind := statement.FindString(one)
		count[kind]++
		if len(one) > len(kinds[kind]) { // with its plan, if there is one
			kinds[kind] = one
		}
	}
	for kind, one := range kinds {
		s.t.Logf("slow, %d times: %.6000s", count[kind], one)
		slow = append(slow, kind)
	}
	return slow
}
