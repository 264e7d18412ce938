package evaluate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

func TestWhatIsCounted(t *testing.T) {
	documents := []map[string]any{
		doc(-time.Microsecond, map[string]any{"service": "chat", "kind": "message"}),
		doc(0, map[string]any{"service": "chat", "kind": "message"}),
		doc(length-time.Millisecond, map[string]any{"service": "chat", "kind": "connect"}),
		doc(time.Minute, map[string]any{"service": "feed", "kind": "message"}),
		doc(length, map[string]any{"service": "chat", "kind": "message"}),
	}
	// A part of a millisecond before is a millisecond before.
	documents[0]["@timestamp"] = start.Add(-time.Microsecond).Format(time.RFC3339Nano)

	count := func(query, ofBoard string, ignore bool, filters ...string) string {
		c := of(filled(counted())).with(query)
		c.change = func(_ *kibana.Panel, l *kibana.Layer) { l.IgnoreGlobalFilters = ignore }
		f, d := c.board()
		d.Attributes.Meta.SearchSource.Value.Query = kibana.KQL(ofBoard)
		opts := options(documents)
		opts.Filters = filters
		panels, err := evaluate.Dashboard(f, d, opts)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(panels[0].Tables["main"].Rows[0]["m0"])
	}
	for _, test := range []struct {
		query, ofBoard string
		ignore         bool
		filters        []string
		want           string
	}{
		{"", "", false, nil, "3"},
		{"kind: message", "", false, nil, "2"},
		{"", "service: chat", false, nil, "2"},
		{"kind: message", "service: chat", false, nil, "1"},
		{"kind: message", "", false, []string{"service: feed"}, "1"},
		{"kind: connect", "", false, []string{"service: feed"}, "0"},
		{"", "", false, []string{"service: chat", "kind: connect"}, "1"},
		{"kind: message", "service: chat", true, []string{"service: none"}, "3"},
	} {
		if got := count(test.query, test.ofBoard, test.ignore, test.filters...); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestTimeRanges(t *testing.T) {
	f, d := of(counted()).board()
	for name, opts := range map[string]evaluate.Options{
		"none":         {Documents: options(nil).Documents},
		"no end":       {From: start, Documents: options(nil).Documents},
		"of no length": {From: start, To: start, Documents: options(nil).Documents},
		"backwards":    {From: start, To: start.Add(-time.Hour), Documents: options(nil).Documents},
		"no documents": {From: start, To: start.Add(time.Hour)},
	} {
		if panels, err := evaluate.Dashboard(f, d, opts); err == nil || panels != nil || !strings.Contains(err.Error(), "board") {
			t.Errorf("%s: %v, %v", name, panels, err)
		}
	}
}

func TestPanelsThatCannotBe(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": 1.0})}
	lens := func(p *kibana.Panel) *kibana.Lens { return p.Config.Attributes.Lens }
	for reason, change := range map[string]func(p *kibana.Panel, l *kibana.Layer){
		"empty panel: no reference":  func(p *kibana.Panel, _ *kibana.Layer) { lens(p).References = nil },
		"empty panel: it has no cha": func(p *kibana.Panel, _ *kibana.Layer) { p.Config.Attributes = nil },
		"empty panel: it has no lay": func(p *kibana.Panel, _ *kibana.Layer) { lens(p).State.Sources.FormBased.Layers = nil },
		"filters beside":             func(p *kibana.Panel, _ *kibana.Layer) { lens(p).State.Filters = []any{map[string]any{}} },
		"lucene": func(p *kibana.Panel, _ *kibana.Layer) {
			lens(p).State.Query = kibana.Query{Language: "lucene", Query: "a"}
		},
		"query n:":             func(p *kibana.Panel, _ *kibana.Layer) { lens(p).State.Query = kibana.KQL("n: (") },
		"columnOrder":          func(_ *kibana.Panel, l *kibana.Layer) { l.ColumnOrder = []string{"m0", "m0"} },
		"columnOrder []":       func(_ *kibana.Panel, l *kibana.Layer) { l.ColumnOrder = nil },
		"sampling":             func(_ *kibana.Panel, l *kibana.Layer) { l.Sampling = 2 },
		`panels of type "map"`: func(p *kibana.Panel, _ *kibana.Layer) { p.Type = "map" },
	} {
		c := of(counted())
		c.change = change
		c.fails(t, documents, reason)
	}

	f, d := of(counted()).board()
	d.References = nil
	if _, err := evaluate.Dashboard(f, d, options(documents)); err == nil || !strings.Contains(err.Error(), "empty panel") {
		t.Errorf("without an outer reference: %v", err)
	}
	f, d = of(counted()).board()
	f.DataViews = nil
	if _, err := evaluate.Dashboard(f, d, options(documents)); err == nil || !strings.Contains(err.Error(), `data view "view"`) {
		t.Errorf("without the data view: %v", err)
	}
	f, d = of(counted()).board()
	d.Attributes.Meta.SearchSource.Value.Filter = []any{1}
	if _, err := evaluate.Dashboard(f, d, options(documents)); err == nil || !strings.Contains(err.Error(), "filters beside") {
		t.Errorf("with a filter of the dashboard: %v", err)
	}
	delete(documents[0], "@timestamp")
	of(counted()).fails(t, documents, "@timestamp")
	documents[0]["@timestamp"] = "yesterday"
	of(counted()).fails(t, documents, "@timestamp", "yesterday")
}

// What is wrong with one panel does not keep the others from being computed.
func TestSeveralPanels(t *testing.T) {
	f, d := of(counted()).board()
	good := d.Attributes.Panels.Value[0]
	text := &kibana.Panel{Index: "p2", Title: "Text", Type: kibana.PanelMarkdown}
	links := &kibana.Panel{Index: "p3", Title: "Links", Type: kibana.PanelLinks}
	bad := &kibana.Panel{Index: "p4", Title: "Bad", Type: "map"}
	worse := &kibana.Panel{Index: "p5", Title: "Worse", Type: kibana.PanelLens}
	d.Attributes.Panels.Value = []*kibana.Panel{text, bad, good, worse, links}
	calls := 0
	opts := options([]map[string]any{doc(0, map[string]any{})})
	opts.Documents = func(v *kibana.DataView) []map[string]any {
		calls++
		if v != view {
			t.Errorf("data view %v", v)
		}
		return []map[string]any{doc(0, map[string]any{})}
	}
	panels, err := evaluate.Dashboard(f, d, opts)
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 2 ||
		!strings.Contains(err.Error(), `"Bad" (p4)`) || !strings.Contains(err.Error(), `"Worse" (p5)`) {
		t.Errorf("error: %v", err)
	}
	for i, p := range panels {
		if p.Panel != d.Attributes.Panels.Value[i] {
			t.Errorf("panel %d is %s", i, p.Panel.Title)
		}
		if (p.Tables != nil) != (p.Panel == good) || p.Hits != nil {
			t.Errorf("panel %s: %+v", p.Panel.Title, p)
		}
	}
	if len(panels) != 5 || calls != 1 {
		t.Errorf("%d panels, %d calls", len(panels), calls)
	}
	is(t, panels[2].Tables["main"], "m0", "1")
}

// searched is a dashboard with a saved search.
func searched(query string, sort ...[2]string) (*kibana.File, *kibana.Dashboard) {
	s := kibana.NewSearch("search", "Search", "", view, query, "message")
	if sort != nil {
		s.Attributes.Sort = sort
	}
	d := &kibana.Dashboard{ID: "board"}
	d.Attributes.Panels.Value = []*kibana.Panel{{Index: "p1", Title: "Chart", Type: kibana.PanelSearch, RefName: "panel_p1"}}
	d.References = []kibana.Reference{{ID: "search", Name: "p1:panel_p1", Type: kibana.TypeSearch}}
	return &kibana.File{DataViews: []*kibana.DataView{view}, Searches: []*kibana.Search{s}}, d
}

func TestSearches(t *testing.T) {
	documents := []map[string]any{
		doc(time.Minute, map[string]any{"id": "b", "level": "warn", "n": 2.0}),
		doc(3*time.Minute, map[string]any{"id": "d", "level": "info", "n": []any{1.0, 10.0}}),
		doc(2*time.Minute, map[string]any{"id": "c", "level": "info"}),
		doc(-time.Minute, map[string]any{"id": "a", "level": "info"}),
		doc(2*time.Minute, map[string]any{"id": "e", "level": "info", "n": 3.0}),
	}
	for _, test := range []struct {
		query  string
		filter []string
		sort   [][2]string
		want   string
	}{
		{"", nil, nil, "d c e b"},
		{"level: info", nil, nil, "d c e"},
		{"", []string{"level: warn"}, nil, "b"},
		{"", nil, [][2]string{{"@timestamp", "asc"}}, "b c e d"},
		{"", nil, [][2]string{{"level", "asc"}, {"@timestamp", "desc"}}, "d c e b"},
		{"", nil, [][2]string{{"level", "desc"}, {"@timestamp", "asc"}}, "b c e d"},
		{"", nil, [][2]string{{"n", "asc"}}, "d b e c"}, // by the least, the one without last
		{"", nil, [][2]string{{"n", "desc"}}, "d e b c"},
		{"level: none", nil, nil, ""},
	} {
		f, d := searched(test.query, test.sort...)
		opts := options(documents)
		opts.Filters = test.filter
		panels, err := evaluate.Dashboard(f, d, opts)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, hit := range panels[0].Hits {
			ids = append(ids, fmt.Sprint(hit["id"]))
		}
		if got := strings.Join(ids, " "); got != test.want || panels[0].Total != len(ids) || panels[0].Tables != nil {
			t.Errorf("%+v: %s, of %d", test, got, panels[0].Total)
		}
	}
}

func TestHitsAreLimited(t *testing.T) {
	var documents []map[string]any
	for i := range evaluate.MaxHits + 1 {
		documents = append(documents, doc(time.Duration(i)*time.Millisecond, map[string]any{"i": float64(i)}))
	}
	f, d := searched("")
	panels, err := evaluate.Dashboard(f, d, options(documents))
	if err != nil {
		t.Fatal(err)
	}
	p := panels[0]
	if len(p.Hits) != evaluate.MaxHits || p.Total != evaluate.MaxHits+1 || p.Hits[0]["i"] != float64(evaluate.MaxHits) {
		t.Errorf("%d hits of %d, the first %v", len(p.Hits), p.Total, p.Hits[0])
	}
}

func TestSearchesThatCannotBe(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"message": "text"})}
	for reason, change := range map[string]func(f *kibana.File, d *kibana.Dashboard){
		`saved search ""`:       func(_ *kibana.File, d *kibana.Dashboard) { d.References = nil },
		`saved search "search"`: func(f *kibana.File, _ *kibana.Dashboard) { f.Searches = nil },
		"empty panel":           func(f *kibana.File, _ *kibana.Dashboard) { f.Searches[0].References = nil },
		"query n": func(f *kibana.File, _ *kibana.Dashboard) {
			f.Searches[0].Attributes.Meta.SearchSource.Value.Query.Query = "n: ("
		},
		"filters beside": func(f *kibana.File, _ *kibana.Dashboard) {
			f.Searches[0].Attributes.Meta.SearchSource.Value.Filter = []any{1}
		},
		"sort: field none": func(f *kibana.File, _ *kibana.Dashboard) {
			f.Searches[0].Attributes.Sort = [][2]string{{"none", "asc"}}
		},
		"message is of text": func(f *kibana.File, _ *kibana.Dashboard) {
			f.Searches[0].Attributes.Sort = [][2]string{{"message", "asc"}}
		},
	} {
		f, d := searched("")
		change(f, d)
		panels, err := evaluate.Dashboard(f, d, options(documents))
		if err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), `"Chart" (p1)`) {
			t.Errorf("not %q but %v", reason, err)
		}
		if panels[0].Hits != nil || panels[0].Total != 0 {
			t.Errorf("%s: %+v", reason, panels[0])
		}
	}
}

func TestControlValues(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"service": "b", "status": 503.0, "message": "text"}),
		doc(0, map[string]any{"service": "b", "status": 401.0, "_doc_count": 5.0}),
		doc(0, map[string]any{"service": []any{"a", "c"}, "status": 401.0}),
		doc(0, map[string]any{"service": "d"}),
		doc(-time.Hour, map[string]any{"service": "z"}),
	}
	for _, test := range []struct {
		field, by, direction, ofBoard string
		filters                       []string
		want                          []string
	}{
		{"service", "_count", "desc", "", nil, []string{"b", "a", "c", "d"}},
		{"service", "_count", "asc", "", nil, []string{"a", "c", "d", "b"}},
		{"service", "_key", "asc", "", nil, []string{"a", "b", "c", "d"}},
		{"service", "_key", "desc", "", nil, []string{"d", "c", "b", "a"}},
		{"service", "_key", "asc", "status: *", nil, []string{"a", "b", "c"}},
		{"service", "_key", "asc", "", []string{"status: 503"}, []string{"b"}},
		{"status", "_count", "desc", "", nil, []string{"401", "503"}},
		{"none", "_count", "desc", "", nil, nil},
		{"message", "_count", "desc", "", nil, nil},
	} {
		c := &kibana.Control{Input: kibana.ControlInput{ID: "c1", Field: test.field, Sort: kibana.ControlSort{By: test.by, Direction: test.direction}}}
		d := &kibana.Dashboard{References: []kibana.Reference{{ID: "view", Name: "controlGroup_c1:optionsListDataView", Type: kibana.TypeDataView}}}
		d.Attributes.Meta.SearchSource.Value.Query = kibana.KQL(test.ofBoard)
		f := &kibana.File{DataViews: []*kibana.DataView{view}}
		opts := options(documents)
		opts.Filters = test.filters
		if got := evaluate.ControlValues(f, d, c, opts); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
		d.References = nil
		if got := evaluate.ControlValues(f, d, c, opts); got != nil {
			t.Errorf("without a data view: %q", got)
		}
	}
}
