package promws

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// everything is a snapshot with an element in each of its lists, whatever these are.
func everything() apmws.Stats {
	var route apmws.RouteStats
	fields := reflect.ValueOf(&route).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		}
	}
	return apmws.Stats{Routes: []apmws.RouteStats{route}, Dropped: []apmws.Dropped{{}}}
}

// TestEveryMetric: each metric that an agent can have is described, with a text.
func TestEveryMetric(t *testing.T) {
	described := map[string]bool{}
	for m := range everyMetric() {
		described[m.Name] = true
	}
	seen := map[string]string{}
	for m := range everything().Metrics() {
		help := helpOf(m.Name)
		switch {
		case !described[m.Name]:
			t.Errorf("%s is not described", m.Name)
		case help == noHelp || !strings.HasSuffix(help, "."):
			t.Errorf("%s has the text %q", m.Name, help)
		case seen[help] != "":
			t.Errorf("%s has the text of %s", m.Name, seen[help])
		}
		seen[help] = m.Name
	}
}

// TestLint: promlint, Prometheus' own checks of names, units and texts, finds nothing.
func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(newCollector(everything))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	// It would have found something.
	bad := prometheus.NewCounter(prometheus.CounterOpts{Name: "websocket_duration_ms"})
	if problems, err = testutil.CollectAndLint(bad); err != nil || len(problems) < 2 {
		t.Errorf("of a bad name: %v, %v", problems, err)
	}
}

// row is a metric as TELEMETRY.md has it.
type row struct{ kind, labels string }

// pageRows reads the page's table of metrics, by the names in Prometheus.
func pageRows(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../../apmws/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Metrics\n")
	_, table, found := strings.Cut(section, "| Prometheus |\n|---|---|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("the page has no table of metrics with a column Prometheus")
	}
	code := regexp.MustCompile("`([^`]+)`")
	rows := map[string]row{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Fatalf("a row of %d cells: %s", len(cells), line)
		}
		kind, _, _ := strings.Cut(strings.TrimSpace(cells[1]), ",")
		var labels []string
		for _, label := range code.FindAllStringSubmatch(cells[2], -1) {
			labels = append(labels, strings.ReplaceAll(label[1], ".", "_"))
		}
		slices.Sort(labels)
		name := strings.Trim(strings.TrimSpace(cells[4]), "`")
		if _, twice := rows[name]; twice || name == "" {
			t.Errorf("%s: in Prometheus it is %q, twice: %v", cells[0], name, twice)
		}
		rows[name] = row{kind, strings.Join(labels, " ")}
	}
	return rows
}

// TestContract: TELEMETRY.md has the metrics, their kinds and labels as Prometheus
// gets them, and no others.
func TestContract(t *testing.T) {
	want := pageRows(t)
	// What exporters report beside the histogram is in its count.
	handled := nameOf(&apmws.Metric{Name: semconv.MessageDuration, Kind: apmws.HistogramMetric}) + "_count"
	if want[handled].kind != "counter" {
		t.Errorf("the page does not have %s", handled)
	}
	delete(want, handled)

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(everything))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]row{}
	for _, family := range families {
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		got[family.GetName()] = row{strings.ToLower(family.GetType().String()), strings.Join(labels, " ")}
	}
	if !maps.Equal(got, want) {
		t.Errorf("Prometheus gets\n%v\nthe page has\n%v", got, want)
	}
}
