package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prommodel "github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// families are the metrics of one scrape by name.
type families map[string]*dto.MetricFamily

// scrape reads /metrics of a process.
func scrape(t *testing.T, p *process) families {
	t.Helper()
	deadline := time.After(60 * time.Second)
	var address string
	for address == "" {
		if _, rest, ok := strings.Cut(p.stderr.String(), `"metrics_address":"`); ok {
			address, _, _ = strings.Cut(rest, `"`)
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.done:
			require.FailNow(t, "the command ended", "error: %v\n%s", p.err, p.stderr.String())
		case <-deadline:
			require.FailNow(t, "not in time", p.stderr.String())
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	parser := expfmt.NewTextParser(prommodel.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	require.NoError(t, err)
	return parsed
}

// value returns the sum of a metric over the series that have all of the labels, given as name and value in turn. Of a
// histogram it is the number of observations.
func (f families) value(name string, labels ...string) (sum float64) {
	for _, m := range f[name].GetMetric() {
		if !hasLabels(m, labels) {
			continue
		}
		switch {
		case m.GetHistogram() != nil:
			sum += float64(m.GetHistogram().GetSampleCount())
		case m.GetCounter() != nil:
			sum += m.GetCounter().GetValue()
		default:
			sum += m.GetGauge().GetValue()
		}
	}
	return sum
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
			return false
		}
	}
	return true
}

// own returns the names of our metrics, sorted.
func (f families) own() (names []string) {
	for name := range f {
		if strings.HasPrefix(name, "outhook_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// series returns every series of ours as name{labels}, sorted.
func (f families) series() (list []string) {
	for _, name := range f.own() {
		for _, m := range f[name].GetMetric() {
			list = append(list, fmt.Sprint(name, m.GetLabel()))
		}
	}
	slices.Sort(list)
	return list
}

// metricsBundle is a process with both roles, and a receiver that fails the first attempt of each event.
type metricsBundle struct {
	t       *testing.T
	process *process
	base    string
	urls    []string
}

func setupMetrics(t *testing.T) *metricsBundle {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("outhook-attempt") == "1" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(receiver.Close)
	p := start(t, serveArgs(migrated(t), "--metrics-listen", "127.0.0.1:0")...)
	b := &metricsBundle{t: t, process: p, base: p.address(t)}
	for i := range 3 {
		url := receiver.URL + "/hook-" + strconv.Itoa(i) + "?token=Marked7"
		b.urls = append(b.urls, url)
	}
	return b
}

// deliver makes n tenants with an endpoint each and waits until their events have arrived at the second attempt.
func (b *metricsBundle) deliver(from, n int) {
	b.t.Helper()
	before := scrape(b.t, b.process).value("outhook_deliveries_settled_total", "state", "succeeded")
	for i := range n {
		tenant := "tenant-Marked7-" + strconv.Itoa(from+i)
		body, err := json.Marshal(map[string]any{"tenant_id": tenant, "url": b.urls[i%len(b.urls)], "retry_schedule": []string{"1s"}})
		require.NoError(b.t, err)
		status, answer := call(b.t, http.MethodPost, b.base+"/api/endpoints", testAPIKey, string(body))
		require.Equal(b.t, http.StatusCreated, status, answer)
		for range 2 { // the second is a duplicate
			status, answer = call(b.t, http.MethodPost, b.base+"/api/events", testAPIKey,
				`{"tenant_id":"`+tenant+`","type":"Marked7.paid","payload":1,"idempotency_key":"Marked7"}`)
			require.Less(b.t, status, 300, answer)
		}
	}
	require.Eventually(b.t, func() bool {
		return scrape(b.t, b.process).value("outhook_deliveries_settled_total", "state", "succeeded") == before+float64(n)
	}, 90*time.Second, 50*time.Millisecond)
}

func TestMetricsCount(t *testing.T) {
	t.Parallel()
	b := setupMetrics(t)
	b.deliver(0, 3)
	status, _ := call(t, http.MethodPost, b.base+"/api/events", testAPIKey,
		`{"tenant_id":"tenant-Marked7-0","type":"a.b","payload":2,"idempotency_key":"Marked7"}`)
	require.Equal(t, http.StatusConflict, status)
	status, _ = call(t, http.MethodGet, b.base+"/api/no/such/Marked7", testAPIKey, "")
	require.Equal(t, http.StatusNotFound, status)

	f := scrape(t, b.process)
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{3, "outhook_attempts_total", []string{"outcome", "rejected", "status_class", "5xx"}},
		{3, "outhook_attempts_total", []string{"outcome", "succeeded", "status_class", "2xx"}},
		{6, "outhook_attempts_total", nil},
		{6, "outhook_attempt_duration_seconds", nil},
		{3, "outhook_retries_scheduled_total", nil},
		{3, "outhook_deliveries_settled_total", nil},
		{3, "outhook_deliveries_settled_total", []string{"state", "succeeded", "reason", "none"}},
		{3, "outhook_delivery_latency_seconds", []string{"attempt", "later"}},
		{0, "outhook_delivery_latency_seconds", []string{"attempt", "first"}},
		{6, "outhook_fetched_jobs_total", []string{"queue", "deliver"}},
		{3, "outhook_api_events_total", []string{"result", "stored"}},
		{3, "outhook_api_events_total", []string{"result", "duplicate"}},
		{1, "outhook_api_events_total", []string{"result", "conflict"}},
		{3, "outhook_api_requests_total", []string{"method", "POST", "route", "/api/endpoints", "status_class", "2xx"}},
		{1, "outhook_api_requests_total", []string{"method", "POST", "route", "/api/events", "status_class", "4xx"}},
		{1, "outhook_api_requests_total", []string{"route", "other", "status_class", "4xx"}},
		{500, "outhook_worker_slots", []string{"queue", "deliver"}},
		{1, "outhook_worker_ready", nil},
		{0, "outhook_queue_paused", nil},
		{2, "outhook_role", nil},
		{1, "outhook_build_info", []string{"version", version()}},
		{30, "outhook_partitions_ahead_days", nil},
	} {
		require.InDelta(t, c.want, f.value(c.name, c.labels...), 0, "%s %v", c.name, c.labels)
	}
	require.Eventually(t, func() bool { return scrape(t, b.process).value("outhook_ready") == 6 }, 60*time.Second, 50*time.Millisecond)
	require.Positive(t, f.value("outhook_group_size", "group", "store"))
	require.Positive(t, f.value("outhook_group_size", "group", "load"))
	require.Positive(t, f.value("outhook_group_size", "group", "record"))
	require.Positive(t, f.value("outhook_pool_connections", "pool", "api"))
	require.Positive(t, f.value("outhook_pool_connections", "pool", "worker"))
	require.Positive(t, f.value("outhook_pool_connections", "pool", "group"))
	require.Contains(t, f, "go_goroutines")
	require.Contains(t, f, "process_resident_memory_bytes")
	m := f["outhook_delivery_latency_seconds"].GetMetric()
	for _, latency := range m {
		if h := latency.GetHistogram(); h.GetSampleCount() > 0 {
			require.Greater(t, h.GetSampleSum(), 3.0, "three deliveries with a delay of a second each")
			require.Less(t, h.GetSampleSum(), 600.0)
		}
	}
}

// Whatever passes through, the number of series stays, and no label holds a tenant, an endpoint or a URL.
func TestMetricsLabelsAreBounded(t *testing.T) {
	t.Parallel()
	b := setupMetrics(t)
	b.deliver(0, 1)
	before := scrape(t, b.process).series()
	b.deliver(1, 5)
	for range 3 {
		call(t, http.MethodGet, b.base+"/api/events/"+"Marked7", testAPIKey, "")
		call(t, "BREW", b.base+"/Marked7", testAPIKey, "")
	}
	after := scrape(t, b.process)
	require.Equal(t, before, after.series())
	require.Less(t, len(before), 1000)
	for _, s := range before {
		require.NotContains(t, s, "Marked7")
		require.NotContains(t, s, "127.0.0.1")
	}
	for _, name := range after.own() {
		for _, m := range after[name].GetMetric() {
			for _, l := range m.GetLabel() {
				require.Contains(t, []string{
					"attempt", "cause", "check", "go_version", "group", "method", "outcome", "pool", "queue", "reason", "result", "role", "route", "scope",
					"state", "status_class", "version",
				}, l.GetName(), name)
			}
		}
	}
}

// docs/metrics.md lists what a process with both roles shows: the table is this test's.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	const page, begin, end = "../../docs/metrics.md", "<!-- metrics -->\n", "<!-- end -->"
	b := setupMetrics(t)
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	f := scrape(t, b.process)
	for _, name := range f.own() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f[name].GetType().String()), labelsOf(f[name]), f[name].GetHelp())
	}
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "no table in %s", page)
	old, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		require.NoError(t, os.WriteFile(page, []byte(head+begin+table.String()+end+tail), 0o600))
		return
	}
	require.Equal(t, table.String(), old, "run: go test ./cmd/outhook -run TestMetricsPage -update")
}

// labelsOf lists the labels of a metric with their values. Those of the routes and of the build are not listed.
func labelsOf(family *dto.MetricFamily) string {
	values := map[string][]string{}
	var names []string
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			name := l.GetName()
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			if !slices.Contains(values[name], l.GetValue()) {
				values[name] = append(values[name], l.GetValue())
			}
		}
	}
	var parts []string
	for _, name := range names {
		slices.Sort(values[name])
		part := "`" + name + "`"
		if !slices.Contains([]string{"route", "method", "version", "go_version"}, name) {
			part += ": " + strings.Join(values[name], ", ")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func TestMetricsListener(t *testing.T) {
	t.Parallel()

	t.Run("InEveryRole", func(t *testing.T) {
		t.Parallel()
		url := migrated(t)
		for role, own := range map[string]string{"api": "outhook_api_requests_total", "worker": "outhook_attempts_total"} {
			f := scrape(t, start(t, serveArgs(url, "--roles", role, "--metrics-listen", "127.0.0.1:0")...))
			require.Contains(t, f, own)
			require.InDelta(t, 1, f.value("outhook_role", "role", role), 0)
			// A queue that nobody works is seen by the API.
			require.Contains(t, f, "outhook_queue_jobs")
			require.Contains(t, f, "outhook_partitions_ahead_days")
		}
	})

	t.Run("NotOnTheAPIsAddress", func(t *testing.T) {
		t.Parallel()
		p := start(t, serveArgs(migrated(t), "--metrics-listen", "none")...)
		status, _ := call(t, http.MethodGet, p.address(t)+"/metrics", testAPIKey, "")
		require.Equal(t, http.StatusNotFound, status)
		require.NotContains(t, p.stderr.String(), "metrics_address")
	})

	t.Run("AddressInUseStopsTheStart", func(t *testing.T) {
		t.Parallel()
		other := httptest.NewServer(http.NotFoundHandler())
		defer other.Close()
		_, err := output(t, serveArgs(migrated(t), "--metrics-listen", strings.TrimPrefix(other.URL, "http://"))...)
		require.ErrorContains(t, err, "OUTHOOK_METRICS_LISTEN")
	})
}

// The depth of the queues counts what waits whether or not anybody works it, and a failed read says so.
func TestBacklogMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, serveArgs(migrated(t), "--roles", "api", "--metrics-listen", "127.0.0.1:0")...)
	base := p.address(t)
	require.Zero(t, scrape(t, p).value("outhook_queue_jobs"))
	status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id":"acme","url":"http://127.0.0.1:1/"}`)
	require.Equal(t, http.StatusCreated, status, answer)
	for range 3 {
		status, answer = call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id":"acme","type":"a.b","payload":1}`)
		require.Equal(t, http.StatusAccepted, status, answer)
	}
	// A read is kept for 9 s.
	var f families
	require.Eventually(t, func() bool {
		f = scrape(t, p)
		return f.value("outhook_queue_jobs") == 3 && f.value("outhook_events_enqueued_total") == 3
	}, 90*time.Second, 250*time.Millisecond)
	require.InDelta(t, 3, f.value("outhook_queue_jobs", "queue", "deliver", "state", "available"), 0)
	require.Positive(t, f.value("outhook_oldest_due_seconds", "queue", "deliver"))
	require.InDelta(t, 3, f.value("outhook_deliveries_created_total"), 0)
	require.Zero(t, f.value("outhook_database_read_errors_total"))
}
