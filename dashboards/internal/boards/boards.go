// Package boards describes the dashboards: what each panel asks, how it is drawn, and
// where it stands.
package boards

import (
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Ids of what is imported. Users' links and filters hang on them: they stay.
const (
	OverviewID    = "apmws-overview"
	ConnectionsID = "apmws-connections"
	MessagesID    = "apmws-messages"
	OutboundID    = "apmws-outbound"
	ErrorsID      = "apmws-errors"

	TracesID  = "apmws-traces"
	MetricsID = "apmws-metrics"
	LogsID    = "apmws-logs"

	TransactionsID = "apmws-transactions"
	LogLinesID     = "apmws-log-lines"
)

// Heights of rows. The part of a dashboard that is seen without scrolling ends at
// about row 24.
const (
	barHeight   = 2
	tileHeight  = 5
	chartHeight = 10
	tableHeight = 14
	// A legend of all close causes.
	causesHeight = 14
	noteHeight   = 3
	logHeight    = 16
)

// Widths of panels, by how many of them stand beside each other.
const (
	whole   = kibana.Columns
	half    = kibana.Columns / 2
	third   = kibana.Columns / 3
	sixth   = kibana.Columns / 6
	twoOf3  = 2 * third
	largest = 10 // series in a chart
	causes  = 13 // all close causes
)

// File returns all that is imported.
func File() *kibana.File {
	v := newViews()
	transactions, logLines := v.transactions(), v.logLines()
	return &kibana.File{
		DataViews:  []*kibana.DataView{v.traces, v.metrics, v.logs},
		Searches:   []*kibana.Search{transactions, logLines},
		Dashboards: []*kibana.Dashboard{v.overview(), v.connections(), v.messages(), v.outbound(), v.errors(transactions, logLines)},
	}
}

// start returns a board with what each has: the links to all, and the controls.
func (v *views) start(id, title, description string) *kibana.Board {
	b := kibana.NewBoard(id, "[apmws] "+title, description)
	// The gauge of open connections is always there, so each value is offered.
	b.Control("Service", service, v.metrics)
	b.Control("Environment", environment, v.metrics)
	b.Control("Route", route, v.metrics)
	b.Row(barHeight, kibana.Item{Title: "Dashboards", Width: whole, Links: []kibana.Destination{
		{ID: OverviewID, Label: "Overview"},
		{ID: ConnectionsID, Label: "Connections"},
		{ID: MessagesID, Label: "Messages"},
		{ID: OutboundID, Label: "Sends and calls"},
		{ID: ErrorsID, Label: "Errors and logs"},
	}})
	return b
}

// row adds panels of the same width.
func row(b *kibana.Board, height, width int, panels ...panel) {
	var items []kibana.Item
	for _, p := range panels {
		items = append(items, p.item(width))
	}
	b.Row(height, items...)
}
