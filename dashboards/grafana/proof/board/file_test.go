package board

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const path = "../../apmws.json"

func committed(t *testing.T) dashboard.Dashboard {
	t.Helper()
	board, err := strictly(file(t))
	if err != nil {
		t.Fatal(err)
	}
	return board
}

func file(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestGenerated: the file is what this package makes.
func TestGenerated(t *testing.T) {
	want, err := File()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file(t), want) {
		t.Error("dashboards/grafana/apmws.json is not what is generated: make dashboards")
	}
}

// TestSchema: the file follows Grafana's schema, of which nothing is lost when it is
// decoded and written again.
func TestSchema(t *testing.T) {
	again, err := json.Marshal(committed(t))
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(file(t), &a) != nil || json.Unmarshal(again, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Error("decoding the file and writing it again changes it")
	}
	for fault, change := range map[string][2]string{
		"an unknown field of a panel":     {`"transparent": false`, `"opaque": true`},
		"an unknown field of a query":     {`"legendFormat"`, `"legend"`},
		"an unknown field of the options": {`"graphMode"`, `"graph"`},
		"an unknown field of the board":   {`"schemaVersion"`, `"schema"`},
		"a wrong type":                    {`"refresh": "30s"`, `"refresh": 30`},
		"an unknown kind of panel":        {`"type": "stat"`, `"type": "number"`},
		"an unknown field of a variable":  {`"includeAll"`, `"all"`},
		"an unknown field of a chart":     {`"lineWidth"`, `"width"`},
		"targets that are not there":      {`"targets"`, `"target"`},
	} {
		wrong := strings.Replace(string(file(t)), change[0], change[1], 1)
		if wrong == string(file(t)) {
			t.Fatalf("%s: nothing to change", fault)
		}
		if _, err := strictly([]byte(wrong)); err == nil {
			t.Errorf("%s is not found", fault)
		}
	}
}

// TestContract: the panels read metrics of the contract by labels that these have, and
// each metric is on a panel.
func TestContract(t *testing.T) {
	metrics := readContract(t)
	shown := map[string]bool{}
	for title, queries := range panelsOf(t) {
		for _, q := range queries {
			used, problems := metrics.Check(strings.ReplaceAll(q.expr, "$__rate_interval", minute))
			for _, problem := range problems {
				t.Errorf("%s: %v", title, problem)
			}
			for _, m := range used {
				shown[m] = true
			}
		}
	}
	for name := range metrics {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	for _, wrong := range []string{
		`sum(websocket_connections_actve)`, `sum by (http_routes) (websocket_connections_active)`,
		`websocket_connections_active{route="/ws"}`, `rate(websocket_message_duration_seconds[1m])`,
		`websocket_connections_active_bucket`, `sum by (le) (websocket_connections_active)`, `sum(`,
	} {
		if _, problems := metrics.Check(wrong); len(problems) == 0 {
			t.Errorf("nothing wrong was found with %s", wrong)
		}
	}
}

var inBraces = regexp.MustCompile(`{{(\w+)}}`)

// TestPresentation: every panel says what it is, in what unit, and fits the grid; a
// legend's labels are those that are grouped by.
func TestPresentation(t *testing.T) {
	taken := map[[2]uint32]string{}
	ids := map[uint32]bool{}
	for _, p := range panels(committed(t)) {
		title := *p.Title
		if p.Description == nil || !strings.HasSuffix(*p.Description, ".") || p.FieldConfig.Defaults.Unit == nil {
			t.Errorf("%s has no description or no unit", title)
		}
		if ids[*p.Id] {
			t.Errorf("%s has another's id", title)
		}
		ids[*p.Id] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s does not fit", title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]uint32{x, y}]; other != "" {
					t.Errorf("%s lies on %s", title, other)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
	for title, queries := range panelsOf(t) {
		for _, q := range queries {
			_, grouped, _ := strings.Cut(q.expr, " by (")
			grouped, _, _ = strings.Cut(grouped, ")")
			by := slices.DeleteFunc(strings.Split(grouped, ","), func(l string) bool { return l == "le" || l == "" })
			var named []string
			for _, m := range inBraces.FindAllStringSubmatch(q.legend, -1) {
				named = append(named, m[1])
			}
			slices.Sort(by)
			slices.Sort(named)
			if !slices.Equal(by, named) {
				t.Errorf("%s is grouped by %v, and named by %v", title, by, named)
			}
		}
	}
}
