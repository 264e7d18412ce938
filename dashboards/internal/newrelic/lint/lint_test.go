package lint_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/lint"
)

func TestTheDashboardIsClean(t *testing.T) {
	file, err := newrelic.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range lint.Check(file) {
		t.Error(finding)
	}
}

// find returns the widget of a title.
func find(d *newrelic.Dashboard, title string) *newrelic.Widget {
	for i := range d.Pages {
		for j := range d.Pages[i].Widgets {
			if d.Pages[i].Widgets[j].Title == title {
				return &d.Pages[i].Widgets[j]
			}
		}
	}
	panic("no widget " + title)
}

const (
	opened  = "Opened (connections/min)"
	codes   = "Closed by code (connections/min, events)"
	who     = "Who closes (connections, events)"
	lengths = "Lengths to 16 KiB (messages by bytes, events)"
	panics  = "Latest panics, innermost frames (events)"
	note    = "What is exact"
)

// query changes the only query of a widget.
func query(title, old, replacement string) func(*newrelic.Dashboard) {
	return func(d *newrelic.Dashboard) {
		q := &find(d, title).Configuration.Queries[0].Query
		if !strings.Contains(*q, old) {
			panic(title + " has no " + old)
		}
		*q = strings.Replace(*q, old, replacement, 1)
	}
}

// Each fault is found by its rule, and by no other.
func TestPlantedFaults(t *testing.T) {
	faults := []struct {
		rule  lint.Rule
		name  string
		plant func(*newrelic.Dashboard)
	}{
		{lint.Grid, "no name", func(d *newrelic.Dashboard) { d.Name = "" }},
		{lint.Grid, "empty page", func(d *newrelic.Dashboard) {
			d.Pages = append(d.Pages, newrelic.Page{Name: "Empty"})
		}},
		{lint.Grid, "overlap", func(d *newrelic.Dashboard) { find(d, opened).Layout.Column-- }},
		{lint.Grid, "gap", func(d *newrelic.Dashboard) { find(d, opened).Layout.Width-- }},
		{lint.Grid, "beyond the last column", func(d *newrelic.Dashboard) { find(d, who).Layout.Width++ }},
		{lint.Grid, "row 0", func(d *newrelic.Dashboard) { find(d, note).Layout.Row = 0 }},
		{lint.Grid, "no height", func(d *newrelic.Dashboard) { find(d, note).Layout.Height = 0 }},
		{lint.Visualization, "unknown", func(d *newrelic.Dashboard) { find(d, opened).Visualization.ID = "viz.number" }},
		{lint.Visualization, "text and queries", func(d *newrelic.Dashboard) { find(d, opened).Configuration.Text = "x" }},
		{lint.Visualization, "no text", func(d *newrelic.Dashboard) { find(d, note).Configuration.Text = "" }},
		{lint.Visualization, "no query", func(d *newrelic.Dashboard) { find(d, opened).Configuration.Queries = nil }},
		{lint.Visualization, "two queries in a billboard", func(d *newrelic.Dashboard) {
			c := &find(d, opened).Configuration
			c.Queries = append(c.Queries, c.Queries[0])
		}},
		{lint.Visualization, "thresholds the wrong way round", func(d *newrelic.Dashboard) {
			slices.Reverse(find(d, "Refused (handshakes/min)").Configuration.Thresholds)
		}},
		{lint.Visualization, "thresholds in a table", func(d *newrelic.Dashboard) {
			find(d, panics).Configuration.Thresholds = []newrelic.Threshold{{Severity: "WARNING", Value: 1}}
		}},
		{lint.Visualization, "a billboard over time", func(d *newrelic.Dashboard) {
			find(d, opened).Configuration.Queries[0].Query += " TIMESERIES"
		}},
		{lint.Visualization, "an area without time", query(codes, " TIMESERIES", "")},
		{lint.Visualization, "a pie without FACET", query(who, " FACET `websocket.close.initiator`", "")},
		{lint.Visualization, "a billboard with FACET", func(d *newrelic.Dashboard) {
			find(d, opened).Configuration.Queries[0].Query += " FACET host"
		}},
		{lint.Visualization, "a histogram without histogram()", query(lengths, "histogram(`websocket.message.length`, 16384, 32)", "count(*)")},
		{lint.Visualization, "a pie of rows", func(d *newrelic.Dashboard) {
			w := find(d, who)
			w.Visualization.ID = "viz.billboard"
			query(who, "count(*)", "name")(d)
			query(who, " FACET `websocket.close.initiator`", "")(d)
		}},
		{lint.Visualization, "a time of its own that is ignored", func(d *newrelic.Dashboard) {
			find(d, opened).Configuration.Queries[0].Query += " SINCE 1 day ago"
		}},
		{lint.Titles, "two pages of one name", func(d *newrelic.Dashboard) { d.Pages[1].Name = d.Pages[0].Name }},
		{lint.Titles, "two widgets of one title", func(d *newrelic.Dashboard) {
			find(d, "Received (messages/min)").Title = opened
		}},
		{lint.Titles, "no title", func(d *newrelic.Dashboard) { find(d, note).Title = "" }},
		{lint.Units, "no unit", func(d *newrelic.Dashboard) { find(d, opened).Title = "Opened" }},
		{lint.Units, "events are not told", func(d *newrelic.Dashboard) { find(d, who).Title = "Who closes (connections)" }},
		{lint.Units, "events that are none", func(d *newrelic.Dashboard) { find(d, opened).Title = "Opened (events/min)" }},
		{lint.Accounts, "an account", func(d *newrelic.Dashboard) {
			find(d, opened).Configuration.Queries[0].AccountIDs = []int{1}
		}},
		{lint.Accounts, "no account", func(d *newrelic.Dashboard) { d.Variables[0].Query.AccountIDs = nil }},
		{lint.Variables, "not used", func(d *newrelic.Dashboard) {
			v := d.Variables[2]
			v.Name = "unused"
			d.Variables = append(d.Variables, v)
		}},
		{lint.Variables, "not declared", func(d *newrelic.Dashboard) { d.Variables = d.Variables[:2] }},
		{lint.Variables, "declared twice", func(d *newrelic.Dashboard) { d.Variables = append(d.Variables, d.Variables[2]) }},
		{lint.Variables, "replaced by an identifier", func(d *newrelic.Dashboard) { d.Variables[0].ReplacementStrategy = "IDENTIFIER" }},
		{lint.Variables, "nothing at first", func(d *newrelic.Dashboard) { d.Variables[0].DefaultValues = nil }},
		{lint.Variables, "a text of a query", func(d *newrelic.Dashboard) { d.Variables[0].Type = "STRING" }},
		{lint.Variables, "not uniques", func(d *newrelic.Dashboard) {
			d.Variables[1].Query.Query = "FROM Transaction SELECT count(*)"
		}},
		{lint.Variables, "a variable in a variable", func(d *newrelic.Dashboard) {
			d.Variables[1].Query.Query = "FROM Transaction SELECT uniques(`http.route`) WHERE appName IN ({{application}})"
		}},
		{lint.Syntax, "in a widget", query(opened, "SELECT", "SELEKT")},
		{lint.Syntax, "in a variable", func(d *newrelic.Dashboard) { d.Variables[1].Query.Query = "FROM" }},
		{lint.Data, "an unknown type", query(who, "FROM Transaction", "FROM Transactions")},
		{lint.Data, "an attribute of events in metrics", query(opened, " AND ", " AND name = 'x' AND ")},
		{lint.Data, "a metric in events", query(who, " AND ", " AND metricTimesliceName = 'x' AND ")},
		{lint.Data, "METRIC_FORMAT of events", query(who, " FACET", " WITH METRIC_FORMAT 'a/{b}' FACET")},
		{lint.Data, "all metrics", query(opened, " AND metricTimesliceName = 'Custom/WebSocket/Connections/Opened'", "")},
		{lint.Application, "of all applications", query(who, "appName IN ({{application}}) AND ", "")},
		{lint.Application, "of one application", query(opened, "appName IN ({{application}})", "appName = 'chat'")},
		{lint.Application, "of any, by OR", query(who, "({{application}}) AND `http.route`", "({{application}}) OR `http.route`")},
		{lint.Aggregation, "mixed", query(panics, "SELECT timestamp", "SELECT count(*), timestamp")},
		{lint.Aggregation, "FACET of rows", query(panics, " LIMIT", " FACET name LIMIT")},
		{lint.Quotes, "bare", query(panics, "`error.message`", "error.message")},
	}
	var planted []lint.Rule
	for _, fault := range faults {
		t.Run(string(fault.rule)+"/"+fault.name, func(t *testing.T) {
			d := newrelic.New()
			fault.plant(&d)
			file, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			findings := lint.Check(file)
			if len(findings) == 0 {
				t.Fatal("it was not found")
			}
			for _, finding := range findings {
				if finding.Rule != fault.rule {
					t.Error(finding)
				}
			}
		})
		planted = append(planted, fault.rule)
	}
	for _, rule := range lint.Rules {
		if rule != lint.Format && !slices.Contains(planted, rule) {
			t.Errorf("no fault against %s", rule)
		}
	}
}

func TestFormat(t *testing.T) {
	file, err := newrelic.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]string{
		"unknown key":         strings.Replace(string(file), `"nrqlQueries"`, `"nrqlQuery"`, 1),
		"cut":                 string(file[:len(file)/2]),
		"something after it":  string(file) + "{}",
		"an account in words": strings.Replace(string(file), `[0]`, `["YOUR_ACCOUNT_ID"]`, 1),
	} {
		findings := lint.Check([]byte(fault))
		if len(findings) != 1 || findings[0].Rule != lint.Format {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

// Whatever a query is, the linter comes to an end, and finds the same again.
func FuzzQuery(f *testing.F) {
	for _, p := range newrelic.New().Pages {
		for _, w := range p.Widgets {
			for _, q := range w.Configuration.Queries {
				f.Add(q.Query)
			}
		}
	}
	f.Add("FROM Metric SELECT rate(count(*), 1 minute) WHERE a NOT IN ('b', 2) OR NOT (c < 3)")
	f.Fuzz(func(t *testing.T, query string) {
		if first, second := lint.Query(query), lint.Query(query); !slices.Equal(first, second) {
			t.Errorf("%v, then %v", first, second)
		}
	})
}
