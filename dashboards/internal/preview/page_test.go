package preview

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func TestPage(t *testing.T) {
	html := string(mustHTML(t))
	for _, part := range []string{
		"[sample] WebSocket overview", "not a Kibana screenshot", "Mar 4, 2026, 12:00 – 13:00 UTC",
		`<b class="cut">Service</b><span class="cut">Any</span>`, `<span class="cut current">Overview</span>`, `<span class="cut">Messages</span>`,
		"<title>What Handshakes is.</title>", // behind the icon
		"41.20<small>ms</small>", "Week before <b>0.40%</b>", "background: #F1E4A7; color: #1c2430", "background: #1f4f8f; color: #ffffff",
		"7 of 25 rows", "7 of 4,123 documents", "67.9%", ">12:30<", "200/s", `stroke-dasharray="6 4"`, "&#43;6 more", "<code>_OTHER</code>",
	} {
		if !strings.Contains(html, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if got := strings.Count(html, "No results"); got != 2 {
		t.Errorf("%d panels are empty, want 2", got)
	}
	for _, part := range []string{"ZgotmplZ", "NaN", "Inf", "<script", "<img"} {
		if strings.Contains(html, part) {
			t.Errorf("the page has %s", part)
		}
	}
}

func TestPageIsTheSame(t *testing.T) {
	first := mustHTML(t)
	for range 5 {
		if !bytes.Equal(mustHTML(t), first) {
			t.Fatal("the same dashboard makes different pages")
		}
	}
}

var rectangle = regexp.MustCompile(`<section class="panel \w+" style="left: (\d+)px; top: (\d+)px; width: (\d+)px; height: (\d+)px`)

func TestPlaces(t *testing.T) {
	_, d, _, _ := sample()
	found := rectangle.FindAllStringSubmatch(string(mustHTML(t)), -1)
	if len(found) != len(d.Attributes.Panels.Value) {
		t.Fatalf("%d rectangles, want %d", len(found), len(d.Attributes.Panels.Value))
	}
	// A column is what 47 margins of 8 between and 2 at the ends leave of 1600.
	const column = (1600.0 - 49*8) / 48
	for i, p := range d.Attributes.Panels.Value {
		g := p.Grid
		x := math.Round(8 + float64(g.X)*(column+8))
		right := math.Round(8+float64(g.X+g.W)*(column+8)) - 8
		want := fmt.Sprintf("[%v %d %v %d]", x, 8+28*g.Y, right-x, 28*g.H-8)
		if got := fmt.Sprint(found[i][1:]); got != want {
			t.Errorf("panel %s is at %s, want %s", p.Title, got, want)
		}
	}
}

func TestEmpty(t *testing.T) {
	_, _, panels, _ := sample()
	if got := Empty(panels); !slices.Equal(got, []string{"Panics", "Nothing yet"}) {
		t.Errorf("empty are %q", got)
	}
	for _, p := range panels {
		p.Hits = nil
		for _, table := range p.Tables {
			table.Rows = nil
		}
	}
	if got := Empty(panels); len(got) != len(panels) {
		t.Errorf("without rows, %d of %d are empty: %q", len(got), len(panels), got)
	}
	// Zero is a number to a tile and to a chart, but no part of a donut.
	s := newSampler()
	columns := map[string]*kibana.Column{"s": split("s"), "m": measure("Zero", nil)}
	rows := []map[string]any{{"s": "a", "m": 0.0}}
	s.board.Row(5,
		s.lens("tile", 8, &kibana.Metric{LayerID: "main", MetricAccessor: "m"}, nil, columns, rows),
		s.lens("chart", 8, xy("bar", "", "right", "", "m"), nil, columns, []map[string]any{{"t": "a", "m": 0.0}}),
		s.lens("donut", 8, &kibana.Pie{Shape: "donut", Layers: []kibana.PieLayer{{LayerID: "main", PrimaryGroups: []string{"s"}, Metrics: []string{"m"}}}},
			nil, columns, rows),
	)
	_, panels = s.done()
	if got := Empty(panels); !slices.Equal(got, []string{"donut"}) {
		t.Errorf("of zeros, empty are %q", got)
	}
	panels[0].Panel.Title, panels[0].Tables["main"].Rows = "", nil
	if got := Empty(panels[:1]); !slices.Equal(got, []string{"Zero"}) {
		t.Errorf("a tile without a title is called %q", got)
	}
}

// One slice is a whole ring; a chart of one point is a dot; none of it is not a number.
func TestExtremes(t *testing.T) {
	s := newSampler()
	columns := map[string]*kibana.Column{"t": kibana.Over(), "s": split("s"), "m": measure("m", nil)}
	s.board.Row(2,
		s.lens("donut", 24, &kibana.Pie{Shape: "donut", Layers: []kibana.PieLayer{{LayerID: "main", PrimaryGroups: []string{"s"}, Metrics: []string{"m"}}}},
			nil, columns, []map[string]any{{"s": "all", "m": 5.0}}),
		s.lens("point", 12, xy("line", "m", "right", "", "m"), nil, columns, []map[string]any{{"t": sampleFrom, "m": 1e12}}),
		s.lens("no axis", 12, xy("bar", "m", "right", "", "m"), nil, map[string]*kibana.Column{"m": columns["m"]}, []map[string]any{{"m": 3.0}}),
	)
	d, panels := s.done()
	html, err := HTML(s.file, d, panels, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"NaN", "Inf", "No results"} {
		if bytes.Contains(html, []byte(part)) {
			t.Errorf("the page has %s", part)
		}
	}
	if !bytes.Contains(html, []byte("a3 3 0 1 0 6 0")) {
		t.Error("a single point is not drawn")
	}
}

func TestWhatCannotBeDrawn(t *testing.T) {
	columns := func() map[string]*kibana.Column {
		return map[string]*kibana.Column{"t": kibana.Over(), "s": split("s"), "m": measure("m", nil)}
	}
	rows := []map[string]any{{"t": sampleFrom, "s": "a", "m": 1.0}}
	xyWith := func(change func(*kibana.XY)) *kibana.XY {
		v := xy("line", "m", "right", "", "m")
		change(v)
		return v
	}
	for want, visual := range map[string]kibana.Visualization{
		`series of type "steps"`:   xy("steps", "m", "right", "", "m"),
		`has no column gone`:       xy("line", "m", "right", "", "gone"),
		`has no column lost`:       xy("line", "m", "right", "lost", "m"),
		`fitting function "Guess"`: xyWith(func(v *kibana.XY) { v.FittingFunction = "Guess" }),
		`scale "log"`:              xyWith(func(v *kibana.XY) { v.LeftScale = "log" }),
		`layer other has not`: xyWith(func(v *kibana.XY) {
			v.Layers[0].LayerID = "other"
			v.Layers = append(v.Layers, xy("line", "", "", "", "m").Layers[0])
		}),
		`colour "red"`:           xyWith(func(v *kibana.XY) { v.Layers[0].YConfig = []kibana.YStyle{{Accessor: "m", Color: "red"}} }),
		`layer of type "notes"`:  xyWith(func(v *kibana.XY) { v.Layers = append(v.Layers, kibana.XYLayer{LayerType: "notes"}) }),
		`colour "url(x)"`:        &kibana.Metric{LayerID: "main", MetricAccessor: "m", Color: "url(x)"},
		`that is broken down`:    &kibana.Metric{LayerID: "main", MetricAccessor: "m", BreakdownAccessor: "s"},
		`shape "mosaic"`:         &kibana.Pie{Shape: "mosaic", Layers: []kibana.PieLayer{{LayerID: "main", PrimaryGroups: []string{"s"}, Metrics: []string{"m"}}}},
		`one group`:              &kibana.Pie{Shape: "donut", Layers: []kibana.PieLayer{{LayerID: "main", PrimaryGroups: []string{"s", "t"}, Metrics: []string{"m"}}}},
		`column s is transposed`: &kibana.Table{LayerID: "main", Columns: []kibana.TableColumn{{ColumnID: "s", Transposed: true}}},
	} {
		s := newSampler()
		s.board.Row(10, s.lens("chart", 24, visual, nil, columns(), rows))
		d, panels := s.done()
		if _, err := HTML(s.file, d, panels, Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"chart"`) {
			t.Errorf("error %v, want one of panel chart with %s", err, want)
		}
	}
	f, d, panels, opts := sample()
	if _, err := HTML(f, d, panels[1:], opts); err == nil || !strings.Contains(err.Error(), "not been evaluated") {
		t.Errorf("without one of the results the error is %v", err)
	}
	f.Searches = nil
	if _, err := HTML(f, d, panels, opts); err == nil || !strings.Contains(err.Error(), "saved search") {
		t.Errorf("without the saved search the error is %v", err)
	}
}

func TestTableOrder(t *testing.T) {
	s := newSampler()
	columns := map[string]*kibana.Column{"r": split("Route"), "m": measure("Messages", kibana.Number(0))}
	rows := []map[string]any{{"r": "b", "m": 2.0}, {"r": "none", "m": nil}, {"r": "c", "m": 30.0}, {"r": "a", "m": 10.0}}
	for sorting, want := range map[kibana.Sorting]string{
		{}:                                 "b none c a",
		{ColumnID: "m", Direction: "desc"}: "c a b none",
		{ColumnID: "m", Direction: "asc"}:  "b a c none",
		{ColumnID: "r", Direction: "asc"}:  "a b c none",
		{ColumnID: "r", Direction: "none"}: "b none c a",
	} {
		table := &kibana.Table{LayerID: "main", Columns: []kibana.TableColumn{{ColumnID: "m"}}, Sorting: sorting}
		item := s.lens("table", 24, table, []string{"r", "m"}, columns, rows)
		e := s.results["table"]
		e.Panel = &kibana.Panel{}
		got, err := (&builder{file: s.file, dashboard: s.board.Dashboard(), colours: newColours()}).table(e, item.Lens, table, 500)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, row := range got.Rows {
			names = append(names, row[1].Text) // the column that the table does not name is last
		}
		if strings.Join(names, " ") != want || got.Foot != "" {
			t.Errorf("by %+v the rows are %q, foot %q, want %s", sorting, names, got.Foot, want)
		}
		if !got.Columns[0].Right || got.Columns[1].Right {
			t.Errorf("numbers are not right: %+v", got.Columns)
		}
	}
}

func TestRoom(t *testing.T) {
	for name, test := range map[string]struct {
		page, all int
		height    float64
		shown     int
		foot      string
	}{
		"all":       {5, 5, 32 + 5*30, 5, ""},
		"too low":   {5, 5, 32 + 5*30 - 1, 4, "4 of 5 rows"},
		"a page":    {5, 1200, 1000, 5, "5 of 1,200 rows"},
		"very low":  {5, 5, 10, 1, "1 of 5 rows"},
		"exact cut": {50, 50, 32 + 24 + 10*30, 10, "10 of 50 rows"},
	} {
		g := new(grid)
		if got := g.room(test.page, test.all, test.height, "rows"); got != test.shown || g.Foot != test.foot {
			t.Errorf("%s: %d rows, foot %q, want %d and %q", name, got, g.Foot, test.shown, test.foot)
		}
	}
}

func TestDocumentFields(t *testing.T) {
	doc := map[string]any{
		"@timestamp": "2026-03-04T12:00:00.5Z", "a.b": "flat", "a": map[string]any{"c": map[string]any{"d": "deep"}, "e.f": []any{"x", 2.0}},
	}
	for name, want := range map[string]string{"a.b": "flat", "a.c.d": "deep", "a.e.f": "x, 2", "a.x": "–", "z": "–"} {
		if got := fieldText(lookUp(doc, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	at := time.Date(2026, 3, 4, 12, 0, 0, 5e8, time.UTC)
	for _, v := range []any{doc["@timestamp"], at, float64(at.UnixMilli())} {
		if got := clock(v); got != "Mar 4, 2026 @ 12:00:00.500" {
			t.Errorf("%v is %s", v, got)
		}
	}
	view := kibana.NewDataView("v", "v", "v", map[string]kibana.FieldFormat{"took": kibana.DurationOf("microseconds")})
	b := &builder{file: &kibana.File{DataViews: []*kibana.DataView{view}}}
	g := b.documents(&evaluate.Panel{Hits: []map[string]any{{"took": 1500.0, "log.level": "WARN"}}, Total: 1},
		kibana.NewSearch("s", "s", "", view, "", "took", "log.level"), 300)
	if row := g.Rows[0]; row[0].Text != none || row[1].Text != "1.50 ms" || row[2].Class != "level warn" {
		t.Errorf("the row is %+v", row)
	}
}
