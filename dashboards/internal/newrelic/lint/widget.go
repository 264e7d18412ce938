package lint

import (
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

// form is what the queries of a kind of chart must be.
type form struct {
	several    bool // there may be several queries
	timeseries bool
	facet      bool // there must be one
	histogram  bool
	rows       bool // it may show rows
}

var forms = map[string]form{
	"viz.area":      {several: true, timeseries: true},
	"viz.bar":       {facet: true},
	"viz.billboard": {},
	"viz.heatmap":   {facet: true, histogram: true},
	"viz.histogram": {histogram: true},
	"viz.line":      {several: true, timeseries: true},
	"viz.pie":       {facet: true},
	"viz.table":     {rows: true},
}

func (l *linter) widget(w newrelic.Widget) {
	c := w.Configuration
	if w.Visualization.ID == "viz.markdown" {
		if c.Text == "" || len(c.Queries) > 0 || c.Thresholds != nil {
			l.find(Visualization, "a text is a text alone")
		}
		return
	}
	f, known := forms[w.Visualization.ID]
	if !known {
		l.find(Visualization, "%q is unknown", w.Visualization.ID)
	}
	if c.Text != "" || len(c.Queries) == 0 || len(c.Queries) > 1 && !f.several {
		l.find(Visualization, "%d queries, and a text of %d bytes", len(c.Queries), len(c.Text))
	}
	l.thresholds(w)
	for _, q := range c.Queries {
		l.account(q)
		parsed, err := nrql.Parse(q.Query)
		if err != nil {
			l.find(Syntax, "%v", err)
			continue
		}
		l.query(parsed)
		l.fits(w, f, parsed)
		l.unit(w.Title, parsed)
	}
}

func (l *linter) thresholds(w newrelic.Widget) {
	last := 0.0
	for i, t := range w.Configuration.Thresholds {
		want := []string{"WARNING", "CRITICAL"}
		if w.Visualization.ID != "viz.billboard" || i >= len(want) || t.Severity != want[i] || t.Value <= last {
			l.find(Visualization, "threshold %v %v", t.Severity, t.Value)
		}
		last = t.Value
	}
}

func (l *linter) fits(w newrelic.Widget, f form, q *nrql.Query) {
	histogram := slices.ContainsFunc(q.Select, func(i nrql.Item) bool {
		c, ok := i.Expr.(nrql.Call)
		return ok && c.Function == "histogram"
	})
	own := w.Configuration.PlatformOptions != nil && w.Configuration.PlatformOptions.IgnoreTimeRange
	switch {
	case q.Timeseries != f.timeseries:
		l.find(Visualization, "TIMESERIES is %v", q.Timeseries)
	case f.facet && len(q.Facet) == 0:
		l.find(Visualization, "it has no FACET")
	case w.Visualization.ID == "viz.billboard" && (len(q.Facet) > 0 || len(q.Select) > 1):
		l.find(Visualization, "it has more than one number")
	case histogram != f.histogram:
		l.find(Visualization, "histogram() is %v", histogram)
	case !aggregated(q.Select[0].Expr) && !f.rows:
		l.find(Visualization, "it cannot show rows")
	case (q.Since != "") != own:
		l.find(Visualization, "SINCE is %q, and the time range is ignored: %v", q.Since, own)
	}
}

// unit: "Opened (connections/min)", "Latency (s, events)".
func (l *linter) unit(title string, q *nrql.Query) {
	_, after, found := strings.Cut(title, "(")
	if !found || len(after) < 2 || !strings.HasSuffix(title, ")") {
		l.find(Units, "the title does not end with a unit")
	}
	if events := q.From != "Metric"; strings.Contains(after, "events") != events {
		l.find(Units, "the title does not tell rightly whether this is over events: it is over %s", q.From)
	}
}
