package newrelic

// New returns the dashboard. It is the caller's.
func New() Dashboard {
	return Dashboard{
		Name:        "WebSocket (apmws)",
		Description: "WebSocket services observed with apmws: connections, messages, and what goes wrong.",
		Permissions: "PUBLIC_READ_WRITE",
		Pages:       []Page{overview(), connections(), messages(), outbound(), errorsPage()},
		Variables: []Variable{
			{
				Name: "application", Title: "Application", Type: "NRQL",
				Query: &Query{accounts(), "FROM Transaction SELECT uniques(appName) " +
					"WHERE `websocket.event` IS NOT NULL SINCE 1 day ago"},
				DefaultValues: chosen(everything), IsMultiSelection: true, ReplacementStrategy: "STRING",
				Options: &VariableOptions{IgnoreTimeRange: true},
			},
			{
				Name: "route", Title: "Route (events only)", Type: "NRQL",
				Query: &Query{accounts(), "FROM Transaction SELECT uniques(`http.route`) " +
					"WHERE `websocket.event` IS NOT NULL SINCE 1 day ago"},
				DefaultValues: chosen(everything), IsMultiSelection: true, ReplacementStrategy: "STRING",
				Options: &VariableOptions{IgnoreTimeRange: true},
			},
			{
				Name: "connection", Title: "Connection's id (% for any)", Type: "STRING",
				DefaultValues: chosen("%"), ReplacementStrategy: "STRING",
			},
		},
	}
}

// row is a row of widgets side by side, which together are as wide as the page.
type row struct {
	height  int
	widgets []Widget
}

func wide(height int, widgets ...Widget) row { return row{height, widgets} }

// page puts the rows one below the other.
func page(name, description string, rows ...row) Page {
	p := Page{Name: name, Description: description}
	top := 1
	for _, r := range rows {
		column := 1
		for _, w := range r.widgets {
			w.Layout.Column, w.Layout.Row, w.Layout.Height = column, top, r.height
			column += w.Layout.Width
			p.Widgets = append(p.Widgets, w)
		}
		top += r.height
	}
	return p
}

func markdown(width int, title, text string) Widget {
	return Widget{
		Title: title, Layout: Layout{Width: width}, Visualization: Visualization{"viz.markdown"},
		Configuration: Configuration{Text: text},
	}
}

// chart returns a widget of the kind, such as line, that shows the queries.
func chart(kind string, width int, title string, queries ...string) Widget {
	w := Widget{
		Title: title, Layout: Layout{Width: width}, Visualization: Visualization{"viz." + kind},
		Configuration: Configuration{PlatformOptions: &PlatformOptions{}},
	}
	for _, q := range queries {
		w.Configuration.Queries = append(w.Configuration.Queries, Query{accounts(), q})
	}
	switch kind {
	case "line", "area":
		w.Configuration.Facet, w.Configuration.Legend, w.Configuration.YAxisLeft = &Facet{}, &Legend{true}, &YAxis{true}
	case "bar", "pie":
		w.Configuration.Facet, w.Configuration.Legend = &Facet{}, &Legend{true}
	}
	return w
}

// billboard returns one number, yellow above warning and red above critical; both 0
// leave it without colours.
func billboard(title, query string, warning, critical float64) Widget {
	w := chart("billboard", 2, title, query)
	if critical > 0 {
		w.Configuration.Thresholds = []Threshold{{"WARNING", warning}, {"CRITICAL", critical}}
	}
	return w
}

// ownTime makes the time in the query prevail over that of the dashboard.
func ownTime(w Widget) Widget {
	w.Configuration.PlatformOptions.IgnoreTimeRange = true
	return w
}
