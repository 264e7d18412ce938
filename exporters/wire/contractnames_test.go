package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// constants are the string constants of a source file of the library by name, of
// those whose name ok accepts.
func constants(t *testing.T, file string, ok func(name string) bool) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../apmws/"+file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, decl := range f.Decls {
		group, isGroup := decl.(*ast.GenDecl)
		if !isGroup || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			names := spec.(*ast.ValueSpec)
			for i, name := range names.Names {
				if !ok(name.Name) {
					continue
				}
				value, err := strconv.Unquote(names.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all[name.Name] = value
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no such constants", file)
	}
	return all
}

// TestTelemetryNames: TELEMETRY.md names what package semconv does, and nothing
// else.
func TestTelemetryNames(t *testing.T) {
	page := readContractPage(t)
	conventions := constants(t, "semconv/semconv.go", func(string) bool { return true })
	known := slices.Collect(maps.Values(conventions))
	named := slices.Concat(
		page.column(t, "Attributes", 0), page.column(t, "Metrics", 0), page.column(t, "Metrics", 2),
	)
	// Those without a namespace of ours are New Relic's.
	newRelics := page.column(t, "New Relic's own attributes", 0)
	for _, name := range newRelics {
		if strings.HasPrefix(name, "websocket.") {
			named = append(named, name)
		}
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			t.Errorf("the page names %s, which package semconv does not", name)
		}
	}
	inTables := append(named, newRelics...)
	for name, value := range conventions {
		found := slices.Contains(inTables, value)
		if !strings.Contains(value, ".") { // a type, a value or a label
			found = strings.Contains(page.text, "`"+value+"`")
		}
		if !found {
			t.Errorf("the page does not name %s, semconv.%s", value, name)
		}
	}
}

// unitOf is the unit of what is counted.
var unitOf = regexp.MustCompile(`^\{[a-z]+\}(:|$)`)

// TestTelemetryMetrics: the page has the kind and the labels of each metric as the
// agent reports them, and its unit.
func TestTelemetryMetrics(t *testing.T) {
	page := readContractPage(t)
	want := map[string]string{}
	for _, row := range page.rows(t, "Metrics") {
		kind, unit, _ := strings.Cut(row[1], ", ")
		isUnit := unitOf.MatchString
		switch name := strings.Trim(row[0], "`"); {
		case kind == "histogram": // all are of durations
			isUnit = func(unit string) bool { return unit == "s" || strings.HasPrefix(unit, "s, ") }
		case strings.Contains(name, ".bytes."):
			isUnit = func(unit string) bool { return unit == "By" }
		}
		if !isUnit(unit) {
			t.Errorf("%s has the unit %q", row[0], unit)
		}
		want[strings.Trim(row[0], "`")] = kind + " " + strings.Join(slices.Sorted(slices.Values(names(row[2]))), " ")
	}
	got := map[string]string{}
	kinds := map[apmws.MetricKind]string{
		apmws.CounterMetric: "counter", apmws.GaugeMetric: "gauge", apmws.HistogramMetric: "histogram",
	}
	full := apmws.Stats{
		Routes: []apmws.RouteStats{{
			Refused: []apmws.RefusedStats{{}}, Closed: []apmws.ClosedStats{{}}, Messages: []apmws.MessageStats{{}},
			Calls: []apmws.CallStats{{}},
		}},
		Dropped: []apmws.Dropped{{}},
	}
	for m := range full.Metrics() {
		line := kinds[m.Kind]
		for _, l := range m.Labels {
			line += " " + l.Name
		}
		got[m.Name] = line
		if m.Name == semconv.MessageDuration { // its count, which exporters report beside it
			got[semconv.MessagesHandled] = strings.Replace(line, "histogram", "counter", 1)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the agent has the metrics\n%v\nthe page\n%v", got, want)
	}
}

// TestTelemetryDropReasons: the page has every reason for which telemetry is given
// up, by whom.
func TestTelemetryDropReasons(t *testing.T) {
	page := readContractPage(t)
	want := map[string]bool{}
	for _, source := range []struct{ file, reason, exporter string }{
		{"apmws/stats.go", `\{coreName, "([a-z_]+)"`, "`apmws`"},
		{"apmws/multi.go", `Reason: "([a-z_]+)"`, "any exporter's"},
		{"exporters/elasticws/exporter.go", `Reason: "([a-z_]+)"`, "`elasticws`"},
		{"exporters/newrelicws/exporter.go", `Reason: "([a-z_]+)"`, "`newrelicws`"},
	} {
		code, err := os.ReadFile("../../" + source.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(source.reason).FindAllStringSubmatch(string(code), -1)
		if len(found) < 3 {
			t.Errorf("%s has %d reasons", source.file, len(found))
		}
		for _, match := range found {
			want[source.exporter+" "+match[1]] = true
		}
	}
	got := map[string]bool{}
	for _, row := range page.rows(t, "Metrics +") {
		for _, reason := range names(row[1]) {
			got[row[0]+" "+reason] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page has the reasons\n%v\nwant\n%v", got, want)
	}
}

// TestTelemetryCloseCauses: the page has every close cause, with the mark of its
// outcome.
func TestTelemetryCloseCauses(t *testing.T) {
	page := readContractPage(t)
	_, list, found := strings.Cut(page.text, "Close causes are a closed set:")
	list, _, ended := strings.Cut(list, "\n\n")
	if !found || !ended {
		t.Fatal("the page has no list of close causes")
	}
	marks := map[string]apmws.Outcome{
		"~": apmws.OutcomeUnknown, `\*`: apmws.OutcomeFailure, "": apmws.OutcomeSuccess,
	}
	got, want := map[apmws.CloseCause]apmws.Outcome{}, map[apmws.CloseCause]apmws.Outcome{}
	for _, match := range regexp.MustCompile("`([a-z_]+)`(~|\\\\\\*|)").FindAllStringSubmatch(list, -1) {
		got[apmws.CloseCause(match[1])] = marks[match[2]]
	}
	for _, cause := range constants(t, "closecause.go", func(name string) bool { return strings.HasPrefix(name, "Cause") }) {
		want[apmws.CloseCause(cause)] = apmws.CloseCause(cause).Outcome()
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page has the close causes %v, want %v", got, want)
	}
}

// TestTelemetryRefusalReasons: the page has every reason that the agent gives by
// itself.
func TestTelemetryRefusalReasons(t *testing.T) {
	page := readContractPage(t)
	var got []string
	for _, row := range page.rows(t, "Attributes") {
		if row[0] == "`websocket.refusal.reason`" {
			got = slices.DeleteFunc(names(row[1]), func(name string) bool { return name == "_OTHER" })
		}
	}
	reasons := constants(t, "lifecycle.go", func(name string) bool { return strings.HasPrefix(name, "reason") })
	slices.Sort(got)
	if want := slices.Sorted(maps.Values(reasons)); !slices.Equal(got, want) {
		t.Errorf("the page has the reasons %v, want %v", got, want)
	}
}

// TestTelemetryProofs: the tests that the page names exist.
func TestTelemetryProofs(t *testing.T) {
	page := readContractPage(t)
	_, section, found := strings.Cut(page.text, "\n## How exact it is\n")
	if !found {
		t.Fatal("the page does not say how exact it is")
	}
	packages := map[string]string{
		"apmws": "../../apmws", "elasticws": "../elasticws", "newrelicws": "../newrelicws", "livews": "../livews",
		"promws": "../promws",
		"exact":  "exact", "ill": "ill", "wire": ".",
	}
	named := 0
	for _, name := range names(page.text) {
		where, test, _ := strings.Cut(name, ".")
		if !strings.HasPrefix(test, "Test") {
			continue
		}
		named++
		files, err := filepath.Glob(packages[where] + "/*_test.go")
		if err != nil || packages[where] == "" {
			t.Errorf("the page names %s, which is in no package (%v)", name, err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)")
		}) {
			t.Errorf("the page names %s, which does not exist", name)
		}
	}
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| what") && !strings.Contains(line, ".Test") {
			t.Errorf("a line without a proof: %s", line)
		}
	}
	if named < 20 {
		t.Errorf("the page names %d tests", named)
	}
}
