package evaluate_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// start is a Tuesday, and where the time range of most tests begins, which is ten
// minutes long: ten intervals of a minute where these are asked for.
var start = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

const length = 10 * time.Minute

// doc is a document: its time after start, and its fields.
func doc(after time.Duration, fields map[string]any) map[string]any {
	d := maps.Clone(fields)
	d["@timestamp"] = start.Add(after).Format("2006-01-02T15:04:05.000Z")
	return d
}

func at(after time.Duration) time.Time { return start.Add(after) }

// chart is a Lens panel with one layer, main.
type chart struct {
	query   string
	order   []string
	columns map[string]*kibana.Column
	visual  kibana.Visualization
	more    map[string]*kibana.Layer
	change  func(p *kibana.Panel, l *kibana.Layer)
}

var view = &kibana.DataView{ID: "view", Attributes: kibana.DataViewAttributes{Title: "x-*", TimeFieldName: "@timestamp"}}

// board puts a chart on a dashboard of its own.
func (c chart) board() (*kibana.File, *kibana.Dashboard) {
	if c.visual == nil {
		c.visual = &kibana.Metric{LayerID: "main"}
	}
	layers := map[string]*kibana.Layer{"main": {ColumnOrder: c.order, Columns: c.columns, Sampling: 1}}
	maps.Copy(layers, c.more)
	lens := &kibana.Lens{}
	lens.State.Query, lens.State.Visual = kibana.KQL(c.query), c.visual
	lens.State.Sources.FormBased.Layers = layers
	p := &kibana.Panel{Index: "p1", Title: "Chart", Type: kibana.PanelLens}
	p.Config.Attributes = &kibana.PanelAttributes{Lens: lens}
	d := &kibana.Dashboard{ID: "board"}
	d.Attributes.Panels.Value = []*kibana.Panel{p}
	for id := range layers {
		name := "indexpattern-datasource-layer-" + id
		lens.References = append(lens.References, kibana.Reference{ID: "view", Name: name, Type: kibana.TypeDataView})
		d.References = append(d.References, kibana.Reference{ID: "view", Name: "p1:" + name, Type: kibana.TypeDataView})
	}
	if c.change != nil {
		c.change(p, layers["main"])
	}
	return &kibana.File{DataViews: []*kibana.DataView{view}, Dashboards: []*kibana.Dashboard{d}}, d
}

func options(documents []map[string]any) evaluate.Options {
	return evaluate.Options{
		From: start, To: start.Add(length),
		Documents: func(*kibana.DataView) []map[string]any { return documents },
	}
}

// tables evaluates the chart.
func (c chart) tables(t *testing.T, opts evaluate.Options) map[string]*evaluate.Table {
	t.Helper()
	f, d := c.board()
	panels, err := evaluate.Dashboard(f, d, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(panels) != 1 || panels[0].Panel != d.Attributes.Panels.Value[0] {
		t.Fatalf("panels: %v", panels)
	}
	return panels[0].Tables
}

func (c chart) table(t *testing.T, documents []map[string]any) *evaluate.Table {
	t.Helper()
	return c.tables(t, options(documents))["main"]
}

// fails expects the chart not to be computed, for a reason that has all the words.
func (c chart) fails(t *testing.T, documents []map[string]any, words ...string) {
	t.Helper()
	f, d := c.board()
	panels, err := evaluate.Dashboard(f, d, options(documents))
	if err == nil {
		t.Fatalf("no error, but %s", text(panels[0].Tables["main"]))
	}
	for _, word := range append(words, "Chart", "p1") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	if len(panels) != 1 || panels[0].Tables != nil {
		t.Errorf("panels beside the error: %+v", panels)
	}
}

// text writes a table: its columns, and a line for each row.
func text(table *evaluate.Table) string {
	if table == nil {
		return "no table"
	}
	lines := []string{strings.Join(table.Columns, " ")}
	for _, row := range table.Rows {
		var cells []string
		for _, id := range table.Columns {
			cells = append(cells, cell(row[id]))
		}
		if extra := len(row) - len(table.Columns); extra != 0 {
			cells = append(cells, fmt.Sprintf("and %d more", extra))
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	return strings.Join(lines, "\n")
}

func cell(value any) string {
	if when, ok := value.(time.Time); ok {
		return "+" + strings.TrimSuffix(when.Sub(start).String(), "0s")
	}
	if number, ok := value.(float64); ok {
		return strconv.FormatFloat(number, 'g', 10, 64)
	}
	return fmt.Sprint(value)
}

// is compares a table with lines as text writes them.
func is(t *testing.T, table *evaluate.Table, lines ...string) {
	t.Helper()
	if got, want := text(table), strings.Join(lines, "\n"); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

// metricOf is a metric which hides zeros, if it is of those that can.
func metricOf(op, field string) *kibana.Column {
	hide := true
	c := kibana.MetricOf(op, field, "")
	switch op {
	case kibana.OpCount, kibana.OpSum, kibana.OpUniqueCount:
		c.Params.EmptyAsNull = &hide
	}
	return c
}

func counted() *kibana.Column { return metricOf(kibana.OpCount, "") }

// each returns the columns of one kind of metric: m0, m1, …
func columns(all ...*kibana.Column) (order []string, byID map[string]*kibana.Column) {
	byID = make(map[string]*kibana.Column)
	for i, c := range all {
		id := fmt.Sprintf("m%d", i)
		order, byID[id] = append(order, id), c
	}
	return order, byID
}

// of makes a chart of columns m0, m1, … without buckets.
func of(all ...*kibana.Column) chart {
	order, byID := columns(all...)
	return chart{order: order, columns: byID}
}

// by puts buckets, b0, b1, …, before the columns.
func (c chart) by(buckets ...*kibana.Column) chart {
	var order []string
	c.columns = maps.Clone(c.columns)
	for i, b := range buckets {
		id := fmt.Sprintf("b%d", i)
		order, c.columns[id] = append(order, id), b
	}
	c.order = slices.Concat(order, c.order)
	return c
}

func (c chart) with(query string) chart { c.query = query; return c }

// where adds a filter to a column.
func where(c *kibana.Column, query string) *kibana.Column {
	q := kibana.KQL(query)
	c.Filter = &q
	return c
}

// overAll returns the time with the intervals that the range cuts, too.
func overAll() *kibana.Column {
	c := kibana.Over()
	c.Params.DropPartials = new(bool)
	return c
}

// minutes is a date histogram of an interval.
func minutes(interval string) *kibana.Column {
	c := overAll()
	c.Params.Interval = interval
	return c
}

// filled leaves zero what is zero.
func filled(c *kibana.Column) *kibana.Column {
	c.Params.EmptyAsNull = new(bool)
	return c
}
