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
	"go.yaml.in/yaml/v3"

	"github.com/outhook/outhook/internal/dbtest"
)

const (
	rulesFile        = "../../deploy/prometheus/outhook.rules.yaml"
	rulesTestFile    = "../../deploy/prometheus/outhook.rules.test.yaml"
	prometheusFile   = "../../deploy/prometheus/prometheus.yaml"
	alertmanagerFile = "../../deploy/prometheus/alertmanager.yaml"
	dashboardFile    = "../../deploy/grafana/outhook.json"
	docsDir          = "../../docs"
)

// alertRule is what we read of a rule.
type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alertRules returns the alerts of deploy/prometheus.
func alertRules(t *testing.T) (rules []alertRule) {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" { // else it records
				rules = append(rules, rule)
			}
		}
	}
	require.NotEmpty(t, rules)
	return rules
}

func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	dbtest.RequireTool(t, "promtool", err == nil)
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTestFile}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}

	// Each alert is tested both ways, and to its end.
	tests, err := os.ReadFile(rulesTestFile)
	require.NoError(t, err)
	for _, rule := range alertRules(t) {
		require.Contains(t, string(tests), "- name: "+rule.Alert+" fires and clears\n")
		require.Contains(t, string(tests), "- name: "+rule.Alert+" is quiet")
	}
}

// Who is woken finds a section that says what to do, and a command or a query that says whose affair it is.
func TestEachAlertHasARunbook(t *testing.T) {
	t.Parallel()
	const pages = "https://github.com/outhook/outhook/blob/main/docs/"
	notInAnchor := regexp.MustCompile(`[^a-z0-9 _-]`)
	anchors := map[string]bool{}
	for _, page := range []string{"runbooks.md", "operations.md"} {
		text, err := os.ReadFile(docsDir + "/" + page)
		require.NoError(t, err)
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
			anchor := notInAnchor.ReplaceAllString(strings.ToLower(heading[1]), "")
			anchors[page+"#"+strings.ReplaceAll(anchor, " ", "-")] = true
		}
	}

	sections := map[string]bool{}
	for _, rule := range alertRules(t) {
		require.Contains(t, []string{"page", "ticket"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.Regexp(t, "`|outhook_|log", rule.Annotations["description"], rule.Alert)
		section, ok := strings.CutPrefix(rule.Annotations["runbook_url"], pages)
		require.True(t, ok, "%s: %s", rule.Alert, rule.Annotations["runbook_url"])
		require.True(t, anchors[section], "%s: there is no %s", rule.Alert, section)
		sections[section] = true
	}
	for anchor := range anchors {
		if strings.HasPrefix(anchor, "runbooks.md#outhook") {
			require.True(t, sections[anchor], "no alert points to %s", anchor)
		}
	}
}

// One cause is one alert, however many processes see it.
func TestAlertsAreNotOfProcesses(t *testing.T) {
	t.Parallel()
	grouping := regexp.MustCompile(`\b(\w+) by \(([^)]*)\)`)
	for _, rule := range alertRules(t) {
		require.NotContains(t, rule.Annotations["summary"], "$labels.instance", rule.Alert)
		require.Regexp(t, `\b(max|min|sum|count|absent)\b|outhook:`, rule.Expr, rule.Alert)
		if labels := grouping.FindStringSubmatch(rule.Expr); labels != nil && strings.HasPrefix(rule.Expr, labels[0]) {
			require.NotContains(t, labels[2], "instance", rule.Alert)
		}
	}
}

// alertmanagerConfig is what we read of alertmanager.yaml.
type alertmanagerConfig struct {
	Receivers []struct {
		Name string
		More map[string]any `yaml:",inline"`
	}
	InhibitRules []struct {
		SourceMatchers []string `yaml:"source_matchers"` //nolint:tagliatelle // Alertmanager's name
		TargetMatchers []string `yaml:"target_matchers"` //nolint:tagliatelle // Alertmanager's name
		Equal          []string
	} `yaml:"inhibit_rules"` //nolint:tagliatelle // Alertmanager's name
	More map[string]any `yaml:",inline"`
}

func TestAlertmanagerExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(alertmanagerFile)
	require.NoError(t, err)
	var cfg alertmanagerConfig
	require.NoError(t, yaml.Unmarshal(text, &cfg))
	require.NotEmpty(t, cfg.InhibitRules)

	// It names alerts that there are.
	var names []string
	for _, rule := range alertRules(t) {
		names = append(names, rule.Alert)
	}
	named := regexp.MustCompile(`\bOuthook\w+`).FindAllString(string(text), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		require.Contains(t, names, name)
	}

	amtool, err := exec.LookPath("amtool")
	dbtest.RequireTool(t, "amtool", err == nil)
	out, err := exec.CommandContext(t.Context(), amtool, "check-config", alertmanagerFile).CombinedOutput()
	require.NoError(t, err, string(out))
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
