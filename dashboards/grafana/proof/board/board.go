// Package board makes the dashboard for Grafana, dashboards/grafana/apmws.json, with
// Grafana's own builders.
package board

import (
	"encoding/json"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// UID is the dashboard's id, by which an import replaces the one before it.
const UID = "apmws-websockets"

// File returns the file, as Grafana's import takes it.
func File() ([]byte, error) {
	board, err := build()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(board, "", "  ")
	return append(text, '\n'), err
}

func build() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder("WebSockets (apmws)").
		Uid(UID).
		Description("What apmws counts of WebSocket connections, by way of Prometheus. The names are those of apmws/TELEMETRY.md.").
		Tags([]string{"apmws", "websocket"}).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-1h", "now").
		Refresh("30s").
		Editable()
	for _, v := range variables() {
		builder.WithVariable(v)
	}
	id := uint32(0)
	for _, row := range rows() {
		id++
		builder.WithRow(dashboard.NewRowBuilder(row.title).Id(id))
		for _, p := range row.panels {
			id++
			builder.WithPanel(p.builder(id))
		}
	}
	return builder.Build()
}

const prometheusType = "prometheus"

// source is the data source that the user chooses.
func source() common.DataSourceRef {
	kind, uid := prometheusType, "${datasource}"
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}

// variables are those at the top: each narrows what the next one offers.
func variables() []cog.Builder[dashboard.VariableModel] {
	const metric = "websocket_connections_active" // which every server has from its start
	return []cog.Builder[dashboard.VariableModel]{
		dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type(prometheusType),
		labelValues("job", "Job", metric, "job"),
		labelValues("instance", "Instance", metric+`{job=~"$job"}`, "instance"),
		labelValues("route", "Route", metric+`{job=~"$job",instance=~"$instance"}`, "http_route"),
	}
}

func labelValues(name, title, series, label string) cog.Builder[dashboard.VariableModel] {
	query := "label_values(" + series + "," + label + ")"
	text, all := "All", "$__all"
	return dashboard.NewQueryVariableBuilder(name).
		Label(title).
		Datasource(source()).
		Query(dashboard.StringOrMap{String: &query}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).
		IncludeAll(true).
		AllValue(".*").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{String: &text},
			Value: dashboard.StringOrArrayOfString{String: &all},
		})
}
