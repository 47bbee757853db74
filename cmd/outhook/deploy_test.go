package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

const (
	rulesFile     = "../../deploy/prometheus/outhook.rules.yaml"
	rulesTestFile = "../../deploy/prometheus/outhook.rules.test.yaml"
	dashboardFile = "../../deploy/grafana/outhook.json"
)

func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	dbtest.RequireTool(t, "promtool", err == nil)
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTestFile}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}

	// Each alert is tested both ways.
	rules, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	tests, err := os.ReadFile(rulesTestFile)
	require.NoError(t, err)
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		require.Contains(t, string(tests), "- name: "+alert[1]+" fires")
		require.Contains(t, string(tests), "- name: "+alert[1]+" is quiet")
	}
}

// panel is what we read of a dashboard's panel.
type panel struct {
	Type, Title, Description string
	Targets                  []struct{ Expr, RefID string }
	GridPos                  struct{ X, Y, W, H int }
}

func dashboard(t *testing.T) (panels []panel) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	var d struct {
		UID, Title string
		Panels     []panel
	}
	require.NoError(t, json.Unmarshal(text, &d))
	require.Equal(t, "outhook", d.UID)
	return d.Panels
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	dbtest.RequireTool(t, "promtool", err == nil)
	taken := map[[2]int]string{}
	groups := strings.Builder{}
	groups.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range dashboard(t) {
		require.NotEmpty(t, p.Title)
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Less(t, at[0], 24, p.Title)
				require.Empty(t, taken[at], "%s lies on %s", p.Title, taken[at])
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			expr, err := json.Marshal(strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
			require.NoError(t, err)
			groups.WriteString("      - {record: 'dashboard:panel', expr: " + string(expr) + "}\n")
		}
	}
	// promtool knows rules, not dashboards: every expression as a rule.
	file := t.TempDir() + "/rules.yaml"
	require.NoError(t, os.WriteFile(file, []byte(groups.String()), 0o600))
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "--lint=none", file).CombinedOutput()
	require.NoError(t, err, string(out))
}

// Every metric that an alert or a picture reads is one that a process shows, with the labels that they ask for.
func TestAlertsAndDashboardReadWhatIsThere(t *testing.T) {
	t.Parallel()
	f := scrape(t, setupMetrics(t).process)
	rules, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	tests, err := os.ReadFile(rulesTestFile)
	require.NoError(t, err)
	text := string(rules) + string(tests)
	var pictures string
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			pictures += target.Expr + "\n"
		}
	}
	text += pictures
	selector := regexp.MustCompile(`\b((?:outhook|go|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	seen := map[string]bool{}
	for _, m := range selector.FindAllStringSubmatch(text, -1) {
		name := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); f[base].GetType() == dto.MetricType_HISTOGRAM {
				name = base
			}
		}
		require.Contains(t, f, name)
		seen[name] = true
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "instance" || l[1] == "le" {
				continue
			}
			for value := range strings.SplitSeq(l[3], "|") {
				require.True(t, slices.ContainsFunc(f[name].GetMetric(), func(s *dto.Metric) bool {
					return hasLabels(s, []string{l[1], value})
				}), "%s has no %s", name, l[0])
			}
		}
	}
	// And the dashboard shows all that there is.
	for _, name := range f.own() {
		require.Contains(t, pictures, name, "no panel shows it")
	}
	require.True(t, seen["outhook_oldest_due_seconds"])
}
