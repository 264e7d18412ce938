package newrelic_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
	"github.com/apmws/go-apmws/exporters/wire"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// board is the dashboard over the data of one life of a server.
type board struct {
	t         *testing.T
	data      *evaluate.Data
	story     *life.Story
	variables evaluate.Variables
}

// shared is the recording that all boards show. The first test that asks makes it.
var shared *wire.Recording

func recorded(t *testing.T) *wire.Recording {
	t.Helper()
	if shared != nil {
		return shared
	}
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "none")
	recording, err := wire.Record(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared = recording
	return recording
}

func newBoard(t *testing.T) *board {
	t.Helper()
	recording := recorded(t)
	b := &board{
		t: t, data: evaluate.Of(recording.Harvest), story: recording.Story,
		variables: evaluate.Variables{"application": {collector.AppName}, "connection": {"%"}},
	}
	routes := b.run("FROM Transaction SELECT uniques(`http.route`) WHERE `websocket.event` IS NOT NULL")
	b.variables["route"], _ = routes.Groups[0].Values[0].([]string)
	return b
}

func (b *board) run(query string) evaluate.Result {
	b.t.Helper()
	q, err := nrql.Parse(query)
	if err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	result, err := b.data.Run(q, b.variables)
	if err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return result
}

// widget answers the queries of one widget.
func (b *board) widget(page, title string) []evaluate.Result {
	b.t.Helper()
	for _, p := range newrelic.New().Pages {
		for _, w := range p.Widgets {
			if p.Name != page || w.Title != title {
				continue
			}
			var all []evaluate.Result
			for _, q := range w.Configuration.Queries {
				all = append(all, b.run(q.Query))
			}
			return all
		}
	}
	b.t.Fatalf("there is no widget %s/%s", page, title)
	return nil
}

// number is the only value of a widget's query.
func (b *board) number(page, title string, query int) any {
	b.t.Helper()
	return b.widget(page, title)[query].Groups[0].Values[0]
}

// numbers are the first value of each group of a widget, by its facets, without what
// the names of metrics and transactions have in common.
func (b *board) numbers(page, title string) map[string]float64 {
	b.t.Helper()
	all := make(map[string]float64)
	for _, g := range b.widget(page, title)[0].Groups {
		facet := strings.Join(g.Facets, "|")
		for _, prefix := range []string{
			"Custom/WebSocket/Messages/Handled/", "Custom/WebSocket/Calls/", "OtherTransaction/Go/Message/", "OtherTransaction/Go/Connection/CONNECT ",
			"Errors/OtherTransaction/Go/",
		} {
			facet = strings.TrimPrefix(facet, prefix)
		}
		all[facet], _ = g.Values[0].(float64)
	}
	return all
}

// atRest is a widget over a gauge that is reported, as 0: nothing waits in the life of
// the server when its agent reports.
const atRest = "Sends and calls/Waiting in send queues by host (messages, stacked)"

// Every widget shows something of what the agent has really sent: each attribute, each
// name and each pattern is in one life of a server, and the evaluator answers each query.
func TestEveryWidgetHasAnAnswer(t *testing.T) {
	b := newBoard(t)
	for _, page := range newrelic.New().Pages {
		for _, w := range page.Widgets {
			for _, q := range w.Configuration.Queries {
				b.answered(page.Name+"/"+w.Title, q.Query)
			}
		}
	}
	for _, v := range newrelic.New().Variables {
		if v.Query != nil {
			b.answered("variable "+v.Name, v.Query.Query)
		}
	}
}

func (b *board) answered(where, query string) {
	t := b.t
	t.Helper()
	q, err := nrql.Parse(query)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	for _, a := range q.Attributes() {
		named := strings.Contains(q.MetricFormat, "{"+a.Name+"}")
		if !named && !b.data.Has(q.From, a.Name) {
			t.Errorf("%s: no %s has %s", where, q.From, a.Name)
		}
	}
	b.names(where, q)
	result, err := b.data.Run(q, b.variables)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if where == atRest && len(result.Groups) > 0 && reflect.DeepEqual(result.Groups[0].Values, []any{0.0}) {
		return
	}
	for i, item := range q.Select {
		if !slices.ContainsFunc(result.Rows, func(r []any) bool { return r[i] != nil }) &&
			!slices.ContainsFunc(result.Groups, func(g evaluate.Group) bool { return !nothing(g.Values[i]) }) {
			t.Errorf("%s: nothing is selected by %+v", where, item)
		}
	}
}

// nothing is null, or a count of none.
func nothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case float64:
		return v == 0
	case []float64:
		return !slices.ContainsFunc(v, func(n float64) bool { return n != 0 })
	case []string:
		return len(v) == 0
	default:
		return false
	}
}

// names checks each name and pattern of a metric or a transaction by itself, where a
// query has several.
func (b *board) names(where string, q *nrql.Query) {
	b.t.Helper()
	for _, attribute := range []string{"metricTimesliceName", "scope", "name"} {
		for _, c := range q.Comparisons(attribute) {
			op := "="
			if strings.HasSuffix(c.Op, "LIKE") {
				op = "LIKE"
			}
			for _, right := range c.Right {
				one := nrql.Compare{Left: c.Left, Op: op, Right: []nrql.Expr{right}}
				result, err := b.data.Run(&nrql.Query{From: q.From, Select: []nrql.Item{{Expr: c.Left}}, Where: one}, nil)
				if err != nil || len(result.Rows) == 0 {
					b.t.Errorf("%s: there is no %s %+v (%v)", where, attribute, right, err)
				}
			}
		}
	}
}

// The checks above see what is not there.
func TestWhatIsNotThereIsSeen(t *testing.T) {
	b := newBoard(t)
	for _, query := range []string{
		"FROM Transaction SELECT count(*) WHERE `websocket.event` = 'conect'",
		"FROM Metric SELECT sum(newrelic.timeslice.value) WHERE metricTimesliceName = 'Custom/WebSocket/Connections/Open'",
		"FROM Transaction SELECT histogram(`websocket.no`, 1, 10)",
		"FROM Transaction SELECT count(*) FACET `websocket.no`",
		"FROM Transaction SELECT `websocket.no`",
	} {
		result := b.run(query)
		for _, g := range result.Groups {
			if !nothing(g.Values[0]) {
				t.Errorf("%s: %v", query, g)
			}
		}
		for _, r := range result.Rows {
			if r[0] != nil {
				t.Errorf("%s: %v", query, r)
			}
		}
	}
}

// wantMap compares numbers by facet.
func wantMap(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
