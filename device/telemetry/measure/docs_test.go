package measure

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

var shown = regexp.MustCompile(`\b(?:quartet|hw|system|process)_[a-zA-Z0-9_]+`)

// TestExamplesNameMetricsThatExist: what the dashboard, the rules and the
// manuals name in Prometheus' form is in the table, with labels that it has.
func TestExamplesNameMetricsThatExist(t *testing.T) {
	known, labels := map[string]Def{}, map[string]bool{"service_instance_id": true, "host_name": true}
	for _, d := range Table() {
		known[d.PrometheusName()] = d
		for _, l := range d.Labels {
			labels[PrometheusLabel(l)] = true
		}
	}
	least := map[string]int{"deploy/grafana-dashboard.json": 20, "deploy/prometheus-rules.yaml": 8, "fleet.md": 2, "telemetry.md": len(known)}
	for name, least := range least {
		b, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range shown.FindAllString(string(b), -1) {
			if _, ok := known[m]; !ok && !labels[m] {
				t.Errorf("docs/%s: there is no metric %s", name, m)
			}
			found[m] = true
		}
		if len(found) < least {
			t.Errorf("docs/%s names %d metrics, want %d or more", name, len(found), least)
		}
	}
	// Labels in selectors, of the metric that they select.
	selector := regexp.MustCompile(`\b((?:quartet|hw|system|process)_[a-zA-Z0-9_]+)\{([^}]*)\}`)
	label := regexp.MustCompile(`([a-z_]+)\s*(?:=|!=|=~)\\?"`)
	for name := range least {
		b, _ := os.ReadFile("../../../docs/" + name)
		for _, m := range selector.FindAllStringSubmatch(string(b), -1) {
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				ok := l[1] == "service_instance_id"
				for _, has := range known[m[1]].Labels {
					ok = ok || PrometheusLabel(has) == l[1]
				}
				if !ok {
					t.Errorf("docs/%s: %s has no label %s", name, m[1], l[1])
				}
			}
		}
	}
}

// TestDashboard: the dashboard is JSON that Grafana can import: panels with
// their own numbers, within the grid, not over each other.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../../docs/deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	used, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") || q.Expr == "" {
				t.Errorf("%s: %s", p.Title, q.Expr)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := used[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				used[[2]int{x, y}] = p.Title
			}
		}
	}
	if d.UID == "" || len(d.Panels) < 15 {
		t.Errorf("%s: %d panels", d.Title, len(d.Panels))
	}
}
