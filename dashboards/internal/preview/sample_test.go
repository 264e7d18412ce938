package preview

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

const (
	hostile = `<script>hacked = 1</script><img src=x onerror="hacked = 2">"'{{.}}`
	endless = "a/very/long/route/that/no/legend/has/room/for/{tenant}/{workspace}/{document}/{revision}/ws"
)

var (
	sampleFrom = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	sampleTo   = sampleFrom.Add(time.Hour)
)

// sampler makes a dashboard and the results of its panels together.
type sampler struct {
	view    *kibana.DataView
	board   *kibana.Board
	file    *kibana.File
	results map[string]*evaluate.Panel // by title
}

func newSampler() *sampler {
	view := kibana.NewDataView("view", "view", "traces-*", map[string]kibana.FieldFormat{
		"transaction.duration.us": kibana.DurationOf("microseconds"), "size": kibana.BytesOf(),
		"transaction.id": kibana.LinkTo("apm/link-to/transaction/{{value}}"),
	})
	return &sampler{
		view: view, board: kibana.NewBoard("here", "[sample] WebSocket overview", "What a service's connections and messages do."),
		file: &kibana.File{DataViews: []*kibana.DataView{view}}, results: map[string]*evaluate.Panel{},
	}
}

// lens describes a chart of one layer and what it was computed to.
func (s *sampler) lens(title string, width int, visual kibana.Visualization, order []string, columns map[string]*kibana.Column, rows []map[string]any) kibana.Item {
	return s.layers(title, width, visual, map[string]*kibana.Layer{"main": {ColumnOrder: order, Columns: columns}},
		map[string]*evaluate.Table{"main": {Columns: order, Rows: rows, Interval: interval(rows)}})
}

func (s *sampler) layers(title string, width int, visual kibana.Visualization, layers map[string]*kibana.Layer, tables map[string]*evaluate.Table) kibana.Item {
	l := new(kibana.Lens)
	l.State.Visual = visual
	l.State.Sources.FormBased.Layers = layers
	s.results[title] = &evaluate.Panel{Tables: tables}
	return kibana.Item{Title: title, Description: "What " + title + " is.", Width: width, Lens: l, View: s.view}
}

func interval(rows []map[string]any) time.Duration {
	if len(rows) > 0 {
		if _, ok := rows[0]["t"].(time.Time); ok {
			return time.Minute
		}
	}
	return 0
}

// done returns the dashboard, and the results with their panels.
func (s *sampler) done() (*kibana.Dashboard, []*evaluate.Panel) {
	d := s.board.Dashboard()
	s.file.Dashboards = append(s.file.Dashboards, d)
	var panels []*evaluate.Panel
	for _, p := range d.Attributes.Panels.Value {
		if r := s.results[p.Title]; r != nil {
			r.Panel = p
			panels = append(panels, r)
		}
	}
	return d, panels
}

// minutes makes rows over an hour; value returns nil for a gap.
func minutes(names []string, value func(minute int, name string) any) []map[string]any {
	var rows []map[string]any
	for i := range 60 {
		for _, name := range names {
			row := map[string]any{"t": sampleFrom.Add(time.Duration(i) * time.Minute), "m": value(i, name)}
			if name != "" {
				row["s"] = name
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func wave(i int, seed, size float64) float64 {
	return size * (1 + 0.25*math.Sin(float64(i)/7+seed) + 0.12*math.Sin(float64(i)*1.7+seed*3))
}

func xy(kind, axis, legend, split string, measures ...string) *kibana.XY {
	l := kibana.XYLayer{LayerID: "main", LayerType: "data", SeriesType: kind, XAccessor: "t", SplitAccessor: split, Accessors: measures}
	all := kibana.SidesShown{X: true, YLeft: true, YRight: true}
	return &kibana.XY{
		AxisTitles: kibana.SidesShown{YLeft: true}, Gridlines: kibana.SidesShown{YLeft: true}, TickLabels: all, LeftTitle: axis,
		Layers: []kibana.XYLayer{l}, FittingFunction: "None", LeftScale: "linear",
		Legend: kibana.Legend{IsVisible: split != "" || len(measures) > 1, Position: legend}, LeftExtent: kibana.Extent{Mode: "full"},
	}
}

func measure(label string, f *kibana.Format) *kibana.Column {
	c := kibana.MetricOf(kibana.OpSum, "field", label)
	c.Params.Format = f
	return c
}

func split(label string) *kibana.Column { return kibana.TopOf(label, "string", 10, "m", "field") }

func limits(stops ...kibana.ColorStop) *kibana.Palette {
	return &kibana.Palette{Params: &kibana.PaletteParams{ColorStops: stops, RangeType: "number", Continuity: "above"}}
}

// sample is a dashboard with every kind of panel.
func sample() (*kibana.File, *kibana.Dashboard, []*evaluate.Panel, Options) {
	s := newSampler()
	s.board.Control("Service", "service.name", s.view)
	s.board.Control("Environment", "service.environment", s.view)
	s.board.Control("Route", "labels.http_route", s.view)
	s.board.Row(2, kibana.Item{Title: "Dashboards", Width: 48, Links: []kibana.Destination{
		{ID: "here", Label: "Overview"}, {ID: "b", Label: "Connections"}, {ID: "c", Label: "Messages"}, {ID: "d", Label: "Errors and logs"},
	}})
	s.tiles()
	s.charts()
	s.bars()
	s.tables()
	d, panels := s.done()
	return s.file, d, panels, Options{From: sampleFrom, To: sampleTo}
}

func (s *sampler) tiles() {
	trend := minutes([]string{""}, func(i int, _ string) any { return wave(i, 1, 400) })
	rate := measure("Messages", kibana.Number(0))
	withTrend := &kibana.Metric{LayerID: "main", MetricAccessor: "m", TrendLayerID: "trend", TrendMetric: "m", TrendTime: "t"}
	messages := s.layers("Messages tile", 8, withTrend,
		map[string]*kibana.Layer{
			"main":  {Columns: map[string]*kibana.Column{"m": rate}},
			"trend": {Columns: map[string]*kibana.Column{"t": kibana.Over(), "m": rate}},
		},
		map[string]*evaluate.Table{"main": {Rows: []map[string]any{{"m": 24312.0}}}, "trend": {Rows: trend, Interval: time.Minute}})
	tile := func(title string, m kibana.Metric, f *kibana.Format, value, second any) kibana.Item {
		m.LayerID, m.MetricAccessor = "main", "m"
		columns := map[string]*kibana.Column{"m": measure(title, f)}
		if second != nil {
			m.SecondaryAccessor = "n"
			columns["n"] = measure("Week before", f)
		}
		return s.lens(title, 8, &m, []string{"m"}, columns, []map[string]any{{"m": value, "n": second}})
	}
	traffic := limits(kibana.ColorStop{Color: "#B6E3D4", Stop: 0}, kibana.ColorStop{Color: "#F1E4A7", Stop: 0.01}, kibana.ColorStop{Color: "#F6B8A8", Stop: 0.05})
	s.board.Row(5, messages,
		tile("Open connections", kibana.Metric{}, kibana.Number(0), 1284.0, 1190.0),
		tile("Handling time, 95th percentile", kibana.Metric{}, kibana.Duration("microseconds"), 41200.0, nil),
		tile("Failed messages", kibana.Metric{Palette: traffic}, kibana.Percent(2), 0.0213, 0.004),
		tile("Bytes sent", kibana.Metric{Color: "#1f4f8f"}, kibana.Bytes(), 48_200_000.0, nil),
		tile("Panics", kibana.Metric{}, kibana.Number(0), nil, nil),
	)
}

func (s *sampler) charts() {
	nodes := []string{"node-a", "node-b", "node-c"}
	s.board.Row(10,
		s.lens("Open connections by node", 16, xy("area_stacked", "Connections", "bottom", "s", "m"), []string{"t", "s", "m"},
			map[string]*kibana.Column{"t": kibana.Over(), "s": split("Node"), "m": measure("Connections", kibana.Number(0))},
			minutes(nodes, func(i int, n string) any {
				if n == "node-b" && i > 30 && i < 36 {
					return nil
				}
				return wave(i, float64(n[5]), 420)
			})),
		s.lens("Handshakes", 16, xy("bar_stacked", "Handshakes per minute", "bottom", "s", "m"), []string{"t", "s", "m"},
			map[string]*kibana.Column{"t": kibana.Over(), "s": split("Status"), "m": measure("Handshakes", kibana.Number(0))},
			minutes([]string{"101", "401", "503", hostile}, func(i int, n string) any {
				return math.Round(wave(i, float64(n[0]), map[string]float64{"101": 40, "401": 5, "503": 3, hostile: 1}[n]))
			})),
		s.percentiles(),
	)
}

func (s *sampler) percentiles() kibana.Item {
	v := xy("line", "Handling time", "right", "", "p50", "p95", "p99", "before")
	v.Layers[0].YConfig = []kibana.YStyle{{Accessor: "p99", Color: "#c22f1b"}, {Accessor: "before", Color: "#98a2b3", LineStyle: "dashed"}}
	columns, rows := map[string]*kibana.Column{"t": kibana.Over()}, []map[string]any{}
	for id, label := range map[string]string{"p50": "p50", "p95": "p95", "p99": "p99", "before": "p95 a week before"} {
		columns[id] = kibana.PercentileOf(95, "transaction.duration.us", label)
	}
	for i := range 60 {
		row := map[string]any{"t": sampleFrom.Add(time.Duration(i) * time.Minute)}
		for id, size := range map[string]float64{"p50": 9000, "p95": 41000, "p99": 120_000, "before": 36000} {
			row[id] = wave(i, size, size)
		}
		if i > 40 && i < 46 {
			row["p99"] = nil
		}
		rows = append(rows, row)
	}
	return s.lens("Handling time", 16, v, []string{"t", "p50", "p95", "p99", "before"}, columns, rows)
}

func (s *sampler) bars() {
	categories := func(values map[string]float64, names ...string) []map[string]any {
		var rows []map[string]any
		for _, n := range names {
			rows = append(rows, map[string]any{"t": n, "m": values[n], "s": "in"}, map[string]any{"t": n, "m": values[n] / 2, "s": "out"})
		}
		return rows
	}
	ages := map[string]float64{"< 1 s": 12, "1–10 s": 44, "10–60 s": 120, "1–10 min": 310, "10–60 min": 90, "1–24 h": 22}
	routes := map[string]float64{"/ws/chat": 8.1e6, "/ws/feed": 3.6e6, endless: 1.2e6, hostile: 4e5}
	horizontal := xy("bar_horizontal_stacked", "Bytes", "right", "s", "m")
	horizontal.AxisTitles.YLeft = false
	s.board.Row(10,
		s.lens("Durations", 12, xy("bar", "Connections", "bottom", "", "m"), []string{"t", "m"},
			map[string]*kibana.Column{"t": split("Duration"), "m": measure("Connections", kibana.Number(0))},
			func() []map[string]any {
				var rows []map[string]any
				for _, n := range []string{"< 1 s", "1–10 s", "10–60 s", "1–10 min", "10–60 min", "1–24 h"} {
					rows = append(rows, map[string]any{"t": n, "m": ages[n]})
				}
				return rows
			}()),
		s.lens("Bytes by route", 12, horizontal, []string{"t", "s", "m"},
			map[string]*kibana.Column{"t": split("Route"), "s": split("Direction"), "m": measure("Bytes", kibana.Bytes())},
			categories(routes, "/ws/chat", "/ws/feed", endless, hostile)),
		s.lens("Close causes", 12, &kibana.Pie{Shape: "donut", Layers: []kibana.PieLayer{{
			LayerID: "main", PrimaryGroups: []string{"s"}, Metrics: []string{"m"}, EmptySizeRatio: 0.54, PercentDecimals: 1, LegendPosition: "right",
		}}}, []string{"s", "m"}, map[string]*kibana.Column{"s": split("Cause"), "m": measure("Connections", nil)},
			[]map[string]any{
				{"s": "normal", "m": 812.0},
				{"s": "going away", "m": 204.0},
				{"s": "lost peer", "m": 96.0},
				{"s": "server shutdown", "m": 31.0},
				{"s": endless, "m": 12.0},
				{"s": "Other", "m": 40.0},
			}),
		s.twoAxes(),
	)
}

// twoAxes has layers of bars and of a line on another axis, and a line of reference.
func (s *sampler) twoAxes() kibana.Item {
	v := xy("bar", "Refusals", "bottom", "", "m")
	v.Layers = append(
		v.Layers, kibana.XYLayer{
			LayerID: "rate", LayerType: "data", SeriesType: "line", XAccessor: "t", Accessors: []string{"m"},
			YConfig: []kibana.YStyle{{Accessor: "m", AxisMode: "right"}},
		},
		kibana.XYLayer{
			LayerID: "rule", LayerType: "referenceLine", Accessors: []string{"m"},
			YConfig: []kibana.YStyle{{Accessor: "m", Color: "#c22f1b", LineStyle: "dashed"}},
		})
	v.Legend.IsVisible = true
	one := func(seed, size float64) []map[string]any {
		return minutes([]string{""}, func(i int, _ string) any { return math.Max(0, math.Round(wave(i, seed, size)*1000)/1000) })
	}
	return s.layers("Refusals", 12, v, map[string]*kibana.Layer{
		"main": {Columns: map[string]*kibana.Column{"t": kibana.Over(), "m": measure("Refusals", kibana.Number(0))}},
		"rate": {Columns: map[string]*kibana.Column{"t": kibana.Over(), "m": measure("Share", kibana.Percent(1))}},
		"rule": {Columns: map[string]*kibana.Column{"m": measure("Limit", kibana.Number(0))}},
	}, map[string]*evaluate.Table{
		"main": {Rows: one(2, 14), Interval: time.Minute}, "rate": {Rows: one(3, 0.04), Interval: time.Minute},
		"rule": {Rows: []map[string]any{{"m": 18.0}}},
	})
}

func (s *sampler) tables() {
	columns := map[string]*kibana.Column{
		"r": split("Route"), "n": measure("Messages", kibana.Number(0)), "f": measure("Failures", kibana.Percent(1)),
		"p": kibana.PercentileOf(95, "transaction.duration.us", "p95 time"), "b": kibana.MetricOf(kibana.OpSum, "size", "Bytes"),
		"i": kibana.LastOf("transaction.id", "Slowest", "string"),
	}
	var rows []map[string]any
	for i := range 25 {
		route := fmt.Sprintf("/ws/room/%02d", i)
		switch i {
		case 3:
			route = hostile
		case 4:
			route = endless
		}
		rows = append(rows, map[string]any{
			"r": route, "n": 90000 / float64(i+1), "f": float64(i%7) / 90, "p": wave(i, 2, 40000), "b": 3e6 / float64(i+1),
			"i": fmt.Sprintf("%016x", 77777777777*(i+1)),
		})
	}
	colours := limits(kibana.ColorStop{Color: "#d9efe4", Stop: 0}, kibana.ColorStop{Color: "#f7ecc4", Stop: 0.02}, kibana.ColorStop{Color: "#f8d3c8", Stop: 0.06})
	table := &kibana.Table{LayerID: "main", Paging: kibana.Paging{Enabled: true, Size: 20}, Sorting: kibana.Sorting{ColumnID: "n", Direction: "desc"}}
	for _, id := range []string{"r", "n", "f", "p", "b", "i"} {
		c := kibana.TableColumn{ColumnID: id}
		if id == "r" {
			c.Width = 260
		}
		if id == "f" {
			c.ColorMode, c.Palette = "cell", colours
		}
		table.Columns = append(table.Columns, c)
	}
	var hits []map[string]any
	for i := range 40 {
		level, message := "info", fmt.Sprintf("connection accepted after %d ms", i*3)
		switch i {
		case 2:
			level, message = "error", hostile
		case 5:
			level, message = "warn", endless+" "+endless
		}
		hits = append(hits, map[string]any{
			kibana.TimeField: sampleTo.Add(-time.Duration(i) * 733 * time.Millisecond).Format(time.RFC3339Nano),
			"log.level":      level, "message": message, "service": map[string]any{"name": "chat"}, "transaction.id": "0af7651916cd43dd",
		})
	}
	search := kibana.NewSearch("logs", "Log lines", "", s.view, "*", "log.level", "message", "service.name", "transaction.id")
	search.Widths(map[string]int{"log.level": 90, "service.name": 110, "transaction.id": 160})
	s.file.Searches = append(s.file.Searches, search)
	s.results["Log lines"] = &evaluate.Panel{Hits: hits, Total: 4123}
	s.board.Row(12, s.lens("Busiest routes", 24, table, []string{"r", "n", "f", "p", "b", "i"}, columns, rows),
		kibana.Item{Title: "Log lines", Width: 24, Search: search})
	s.board.Row(6,
		kibana.Item{Title: "Note", Width: 24, Markdown: "### How to read this\n\n**Counts** come from metrics, `_OTHER` holds names that were not *registered*; see [the guide](https://example.com/guide).\n\n- one connection, one line\n- " + hostile},
		s.lens("Nothing yet", 12, xy("line", "Errors", "bottom", "", "m"), []string{"t", "m"},
			map[string]*kibana.Column{"t": kibana.Over(), "m": measure("Errors", kibana.Number(0))},
			minutes([]string{""}, func(int, string) any { return nil })),
		s.lens("Outbound calls", 12, xy("line", "Calls per second", "right", "s", "m"), []string{"t", "s", "m"},
			map[string]*kibana.Column{"t": kibana.Over(), "s": split("Destination"), "m": func() *kibana.Column {
				c := measure("Calls", kibana.Number(1))
				c.TimeScale = "s"
				return c
			}()},
			minutes([]string{"redis", "postgresql", "billing:443", "auth:443", "geo:443", "mail:25", "kafka", endless, "s3", "push"}, func(i int, n string) any { return wave(i, float64(len(n)*i%5), float64(len(n))*2) })),
	)
}

func mustHTML(t *testing.T) []byte {
	t.Helper()
	f, d, panels, opts := sample()
	html, err := HTML(f, d, panels, opts)
	if err != nil {
		t.Fatal(err)
	}
	return html
}
