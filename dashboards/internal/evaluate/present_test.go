package evaluate_test

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// gauges are reports of two nodes.
var gauges = []map[string]any{
	doc(time.Minute, map[string]any{"node": "1", "open": 10.0}),
	doc(time.Minute, map[string]any{"node": "2", "open": 1.0}),
	doc(2*time.Minute, map[string]any{"node": "1", "open": 20.0}),
	doc(6*time.Minute, map[string]any{"node": "2", "open": 4.0}),
	doc(6*time.Minute, map[string]any{"node": "3"}),
}

// lastPerNode is the newest value of each node, and how many there were.
func lastPerNode() chart {
	return of(kibana.LastOf("open", "", "number"), counted()).by(kibana.TopOf("", "string", 10, "m1", "node"))
}

func TestCollapseOfTiles(t *testing.T) {
	for function, want := range map[string]string{"sum": "24 | 5", "avg": "12 | 1.666666667", "min": "4 | 1", "max": "20 | 2"} {
		c := lastPerNode()
		c.visual = &kibana.Metric{
			LayerID: "main", MetricAccessor: "m0", SecondaryAccessor: "m1", BreakdownAccessor: "b0", CollapseFn: function,
		}
		is(t, c.table(t, gauges), "m0 m1", want)
	}
	c := lastPerNode()
	visual := &kibana.Metric{LayerID: "main", MetricAccessor: "m0", BreakdownAccessor: "b0"}
	c.visual = visual
	is(t, c.table(t, gauges), "b0 m0 m1", "1 | 20 | 2", "2 | 4 | 2", "3 | <nil> | 1")
	visual.CollapseFn = "sum"
	is(t, c.table(t, gauges), "m0", "24")
	is(t, c.with("node: 3").table(t, gauges), "m0", "<nil>")
	is(t, c.with("node: none").table(t, gauges), "m0")
}

func TestCollapseOfTrends(t *testing.T) {
	c := lastPerNode()
	c.visual = &kibana.Metric{
		LayerID: "main", MetricAccessor: "m0", BreakdownAccessor: "b0", CollapseFn: "sum",
		TrendLayerID: "trend", TrendMetric: "m0", TrendTime: "b1",
	}
	trend := of(kibana.LastOf("open", "", "number")).by(kibana.TopOf("", "string", 10, "m0", "node"), minutes("5m"))
	c.more = map[string]*kibana.Layer{"trend": {ColumnOrder: trend.order, Columns: trend.columns}}
	tables := c.tables(t, options(gauges))
	is(t, tables["main"], "m0", "24")
	is(t, tables["trend"], "b1 m0", "+ | 21", "+5m | 4")
}

func TestCollapseOfCharts(t *testing.T) {
	c := of(kibana.LastOf("open", "", "number")).by(kibana.TopOf("", "string", 10, "m0", "node"), minutes("5m"))
	layer := kibana.XYLayer{LayerID: "main", Accessors: []string{"m0"}, SplitAccessor: "b0", XAccessor: "b1"}
	c.visual = &kibana.XY{Layers: []kibana.XYLayer{layer}}
	is(t, c.table(t, gauges), "b0 b1 m0",
		"1 | + | 20", "1 | +5m | <nil>", "2 | + | 1", "2 | +5m | 4", "3 | + | <nil>", "3 | +5m | <nil>")
	layer.CollapseFn = "sum"
	c.visual = &kibana.XY{Layers: []kibana.XYLayer{layer}}
	is(t, c.table(t, gauges), "b1 m0", "+ | 21", "+5m | 4")
	if table := c.table(t, gauges); table.Interval != 5*time.Minute {
		t.Errorf("the interval is %v", table.Interval)
	}
	layer.XAccessor, layer.CollapseFn = "", "max"
	c.visual = &kibana.XY{Layers: []kibana.XYLayer{layer}}
	is(t, c.table(t, gauges), "m0", "20")
}

func TestCollapsesThatCannotBe(t *testing.T) {
	for name, visual := range map[string]kibana.Visualization{
		"median is not supported": &kibana.Metric{LayerID: "main", MetricAccessor: "m0", CollapseFn: "median"},
		`column "m9"`:             &kibana.Metric{LayerID: "main", MetricAccessor: "m9", CollapseFn: "sum"},
		`column "m8"`:             &kibana.XY{Layers: []kibana.XYLayer{{LayerID: "main", Accessors: []string{"m8"}, CollapseFn: "sum"}}},
		`"m2", to collapse, has`:  &kibana.Metric{LayerID: "main", MetricAccessor: "m2", CollapseFn: "sum"},
		"layer to collapse":       &kibana.Metric{LayerID: "other", MetricAccessor: "m0", CollapseFn: "sum"},
		"column \"m7\", to sort":  &kibana.Table{LayerID: "main", Sorting: kibana.Sorting{ColumnID: "m7"}},
	} {
		c := of(kibana.LastOf("open", "", "number"), counted(), kibana.LastOf("node", "", "string")).
			by(kibana.TopOf("", "string", 10, "m1", "node"))
		c.visual = visual
		reason := name
		if name == "median is not supported" {
			reason = `"median" is not supported`
		}
		c.fails(t, gauges, reason)
	}
}

func TestOrderOfTables(t *testing.T) {
	for _, test := range []struct {
		column, direction string
		want              []string
	}{
		{"", "none", []string{"1 | 20", "2 | 4", "3 | <nil>"}},
		{"m0", "asc", []string{"2 | 4", "1 | 20", "3 | <nil>"}},
		{"m0", "desc", []string{"1 | 20", "2 | 4", "3 | <nil>"}},
		{"b0", "desc", []string{"3 | <nil>", "2 | 4", "1 | 20"}},
	} {
		c := of(kibana.LastOf("open", "", "number")).by(kibana.TopOf("", "string", 10, "m0", "node"))
		c.visual = &kibana.Table{LayerID: "main", Sorting: kibana.Sorting{ColumnID: test.column, Direction: test.direction}}
		is(t, c.table(t, gauges), append([]string{"b0 m0"}, test.want...)...)
	}
	c := of(kibana.LastOf("@timestamp", "", "date")).by(kibana.TopOf("", "string", 10, "m0", "node"))
	c.visual = &kibana.Table{LayerID: "main", Sorting: kibana.Sorting{ColumnID: "m0", Direction: "asc"}}
	is(t, c.table(t, gauges), "b0 m0", "1 | +2m", "2 | +6m", "3 | +6m")
}
