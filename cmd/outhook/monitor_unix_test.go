//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	prommodel "github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// speed is how many times as fast as delivered the drills scrape and evaluate, and by how much they shorten each `for` and each
// window of the rules: an alert that takes 15 minutes takes 90 s. What processes do takes as long as it does.
const speed = 10

// monitor is a Prometheus and an Alertmanager of the test's own, with what deploy/prometheus holds, and who is told.
type monitor struct {
	api     string // Prometheus'
	targets string // the file of the processes that are scraped
	log     *syncBuffer

	mu   sync.Mutex
	told []notice
}

// notice is what somebody was told of one alert that fires.
type notice struct {
	receiver, alert string
	at              time.Time
}

// faster shortens each `for` and each window of the rules.
func faster(t *testing.T, rules string) string {
	t.Helper()
	span := regexp.MustCompile(`(\bfor: |\[)(\d+[mh])`)
	require.Greater(t, len(span.FindAllString(rules, -1)), 20)
	return span.ReplaceAllStringFunc(rules, func(text string) string {
		m := span.FindStringSubmatch(text)
		return m[1] + scaled(t, m[2]).String()
	})
}

// scaled is how long a duration of the rules takes in a drill.
func scaled(t *testing.T, text string) prommodel.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := prommodel.ParseDuration(text)
	require.NoError(t, err)
	return d / speed
}

// newMonitor starts both. Nothing is scraped before watch.
func newMonitor(t *testing.T) *monitor {
	t.Helper()
	prometheus, err := exec.LookPath("prometheus")
	dbtest.RequireTool(t, "prometheus", err == nil)
	alertmanager, err := exec.LookPath("prometheus-alertmanager") // Debian's name
	if err != nil {
		alertmanager, err = exec.LookPath("alertmanager")
	}
	dbtest.RequireTool(t, "alertmanager", err == nil)

	dir, m := t.TempDir(), &monitor{log: &syncBuffer{}}
	m.targets = filepath.Join(dir, "targets.json")
	m.watch(t)
	receivers := httptest.NewServer(http.HandlerFunc(m.note))
	t.Cleanup(receivers.Close)

	delivered, err := os.ReadFile(prometheusFile)
	require.NoError(t, err)
	require.Contains(t, string(delivered), "scrape_interval: 10s\n  evaluation_interval: 10s\n", "what the speed is of")
	rules, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	routes, err := os.ReadFile(alertmanagerFile)
	require.NoError(t, err)
	manager, server := freeAddress(t), freeAddress(t)
	for name, text := range map[string]string{
		"rules.yaml": faster(t, string(rules)),
		"alertmanager.yaml": strings.NewReplacer("http://127.0.0.1:9095", receivers.URL, "group_wait: 20s", "group_wait: 2s",
			"group_interval: 1m", "group_interval: 6s").Replace(string(routes)),
		"prometheus.yaml": `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: ["` + manager + `"]}]}]}
scrape_configs:
  - {job_name: outhook, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}

	m.run(t, alertmanager, "--config.file="+dir+"/alertmanager.yaml", "--storage.path="+dir+"/alerts",
		"--web.listen-address="+manager, "--cluster.listen-address=")
	m.run(t, prometheus, "--config.file="+dir+"/prometheus.yaml", "--storage.tsdb.path="+dir+"/series",
		"--web.listen-address="+server)
	m.api = "http://" + server + "/api/v1/"
	require.Eventually(t, func() bool { return m.ask("alerts", &struct{}{}) == nil }, 90*time.Second, 50*time.Millisecond, "%s", m.log)
	return m
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// run starts a program until the end of the test.
func (m *monitor) run(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...) //nolint:noctx // it is killed below
	cmd.Stdout, cmd.Stderr = m.log, m.log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// watch has these processes scraped from now on, and no others.
func (m *monitor) watch(t *testing.T, processes ...*worker) {
	t.Helper()
	addresses := []string{}
	for _, p := range processes {
		_, rest, ok := strings.Cut(p.log.String(), `"metrics_address":"`)
		require.True(t, ok, "%s", p.log)
		address, _, _ := strings.Cut(rest, `"`)
		addresses = append(addresses, address)
	}
	text, err := json.Marshal([]map[string]any{{"targets": addresses}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.targets+".new", text, 0o600))
	require.NoError(t, os.Rename(m.targets+".new", m.targets))
}

// note notes what Alertmanager tells.
func (m *monitor) note(_ http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []struct {
			Status string
			Labels map[string]string
		}
	}
	if json.NewDecoder(r.Body).Decode(&message) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range message.Alerts {
		if a.Status == "firing" {
			m.told = append(m.told, notice{strings.TrimPrefix(r.URL.Path, "/"), a.Labels["alertname"], time.Now()})
		}
	}
}

// notices returns what was told since a time, without repetitions: "page OuthookNoWorker".
func (m *monitor) notices(since time.Time) (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.told {
		if !n.at.Before(since) {
			list = append(list, n.receiver+" "+n.alert)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ask asks Prometheus.
func (m *monitor) ask(path string, data any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.api+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := testClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", res.StatusCode)
	}
	return json.NewDecoder(res.Body).Decode(&struct{ Data any }{data})
}

// alerts returns those that are pending or firing, by name and labels: "OuthookQueuePaused deliver firing".
func (m *monitor) alerts(t *testing.T) (list []string) {
	t.Helper()
	var answer struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	require.NoError(t, m.ask("alerts", &answer))
	for _, a := range answer.Alerts {
		text := a.Labels["alertname"]
		for _, name := range []string{"job", "queue", "cause", "check", "group", "pool"} {
			if value := a.Labels[name]; value != "" {
				text += " " + value
			}
		}
		list = append(list, text+" "+a.State)
	}
	return list
}

// has tells whether an alert is in this state: firing, pending.
func (m *monitor) has(t *testing.T, alert, state string) bool {
	t.Helper()
	return slices.ContainsFunc(m.alerts(t), func(text string) bool {
		return strings.HasPrefix(text, alert+" ") && strings.HasSuffix(text, " "+state)
	})
}

// scrapes returns how many processes Prometheus scrapes with success.
func (m *monitor) scrapes(t *testing.T) int {
	t.Helper()
	var answer struct {
		Result []struct{ Value [2]any }
	}
	require.NoError(t, m.ask("query?query=sum(up)", &answer))
	if len(answer.Result) == 0 {
		return 0
	}
	text, ok := answer.Result[0].Value[1].(string)
	require.True(t, ok)
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}
