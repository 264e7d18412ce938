// Package lint checks a dashboard for New Relic by rules of its own: what New Relic
// would not take or not draw, and what this dashboard promises its readers.
package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic"
	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

// Rule is what a finding is about.
type Rule string

// The rules.
const (
	Format        Rule = "format"        // JSON of known keys, and nothing after it
	Grid          Rule = "grid"          // 12 columns, nothing overlaps, no gaps, no empty page
	Visualization Rule = "visualization" // known, with queries and settings that it can draw
	Titles        Rule = "titles"        // each page's, and each widget's on its page, is its own
	Units         Rule = "units"         // a title ends with the unit, and with "events" where that is what it is over
	Accounts      Rule = "accounts"      // each is 0, for its importer to replace
	Variables     Rule = "variables"     // all that are used are declared, and the other way round
	Syntax        Rule = "syntax"        // queries can be read
	Data          Rule = "data"          // a known type, and no mixture of metrics and events
	Application   Rule = "application"   // each query is of the chosen applications
	Aggregation   Rule = "aggregation"   // either all that is selected is aggregated or nothing
	Quotes        Rule = "quotes"        // attributes with dots stand between backticks
)

// Rules are all of them.
var Rules = []Rule{
	Format, Grid, Visualization, Titles, Units, Accounts, Variables, Syntax, Data, Application, Aggregation, Quotes,
}

// Finding is something that is wrong.
type Finding struct {
	Rule  Rule
	Where string // the page's and the widget's title
	Text  string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Rule, f.Where, f.Text) }

// Check returns what is wrong with the file of a dashboard.
func Check(file []byte) []Finding {
	var d newrelic.Dashboard
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return []Finding{{Format, "file", err.Error()}}
	}
	if decoder.More() {
		return []Finding{{Format, "file", "there is something after the dashboard"}}
	}
	l := &linter{used: make(map[string]bool)}
	l.dashboard(d)
	return l.findings
}

type linter struct {
	findings []Finding
	where    string
	used     map[string]bool // variables
}

func (l *linter) find(rule Rule, format string, args ...any) {
	l.findings = append(l.findings, Finding{rule, l.where, fmt.Sprintf(format, args...)})
}

func (l *linter) dashboard(d newrelic.Dashboard) {
	l.where = "dashboard"
	if d.Name == "" || len(d.Pages) == 0 {
		l.find(Grid, "it has no name or no page")
	}
	var names []string
	for _, p := range d.Pages {
		l.where = p.Name
		if p.Name == "" || slices.Contains(names, p.Name) {
			l.find(Titles, "the page's name is not its own")
		}
		names = append(names, p.Name)
		l.page(p)
	}
	l.variables(d.Variables)
}

func (l *linter) page(p newrelic.Page) {
	l.grid(p.Widgets)
	var titles []string
	for _, w := range p.Widgets {
		l.where = p.Name + "/" + w.Title
		if w.Title == "" || slices.Contains(titles, w.Title) {
			l.find(Titles, "the title is not its own")
		}
		titles = append(titles, w.Title)
		l.widget(w)
	}
}

// grid counts how many widgets each cell has.
func (l *linter) grid(widgets []newrelic.Widget) {
	if len(widgets) == 0 {
		l.find(Grid, "the page is empty")
	}
	cells := make(map[[2]int]int)
	bottom := 0
	for _, w := range widgets {
		at := w.Layout
		if at.Column < 1 || at.Row < 1 || at.Width < 1 || at.Height < 1 || at.Height > 12 ||
			at.Column+at.Width-1 > newrelic.Columns {
			l.find(Grid, "%q is outside the page", w.Title)
			return
		}
		bottom = max(bottom, at.Row+at.Height-1)
		for r := at.Row; r < at.Row+at.Height; r++ {
			for c := at.Column; c < at.Column+at.Width; c++ {
				if cells[[2]int{r, c}]++; cells[[2]int{r, c}] == 2 {
					l.find(Grid, "%q overlaps another at row %d, column %d", w.Title, r, c)
				}
			}
		}
	}
	if gaps := bottom*newrelic.Columns - len(cells); gaps > 0 {
		l.find(Grid, "%d cells have no widget", gaps)
	}
}

func (l *linter) variables(all []newrelic.Variable) {
	declared := make(map[string]bool)
	for _, v := range all {
		l.where = "variable " + v.Name
		if declared[v.Name] {
			l.find(Variables, "declared twice")
		}
		declared[v.Name] = true
		if !l.used[v.Name] {
			l.find(Variables, "no query uses it")
		}
		if v.ReplacementStrategy != "STRING" || len(v.DefaultValues) == 0 {
			l.find(Variables, "it is not replaced by a string, or has no value at first")
		}
		switch {
		case v.Type == "NRQL" && v.Query != nil:
			l.account(*v.Query)
			l.variableQuery(v.Query.Query)
		case v.Type != "STRING" || v.Query != nil || v.IsMultiSelection:
			l.find(Variables, "its type and its query do not fit")
		}
	}
	l.where = "dashboard"
	for name := range l.used {
		if !declared[name] {
			l.find(Variables, "{{%s}} is not declared", name)
		}
	}
}

func (l *linter) account(q newrelic.Query) {
	if len(q.AccountIDs) != 1 || q.AccountIDs[0] != 0 {
		l.find(Accounts, "the accounts are %v instead of [0]", q.AccountIDs)
	}
}

// variableQuery checks the query for a variable's values: one call of uniques, and no
// variables in it.
func (l *linter) variableQuery(query string) {
	q, err := nrql.Parse(query)
	if err != nil {
		l.find(Syntax, "%v", err)
		return
	}
	call, ok := q.Select[0].Expr.(nrql.Call)
	if len(q.Select) != 1 || !ok || call.Function != "uniques" || strings.Contains(query, "{{") {
		l.find(Variables, "its values are not those of one uniques(), without variables")
	}
}
