package board

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

type row struct {
	title  string
	panels []panel
}

// panel is a chart over time, or one number when it has a width of a few columns.
type panel struct {
	title, description, unit string
	queries                  []query
	number                   bool
	stacked                  bool
	width                    uint32 // of the 24 columns
}

// query is PromQL with the name of its series, in which {{label}} is a label.
type query struct{ expr, legend string }

const height = 8

func (p panel) builder(id uint32) cog.Builder[dashboard.Panel] {
	if p.number {
		return p.stat(id)
	}
	builder := timeseries.NewPanelBuilder().
		Id(id).
		Title(p.title).
		Description(p.description).
		Datasource(source()).
		Unit(p.unit).
		Min(0). // nothing here is below
		Span(p.width).
		Height(height).
		LineWidth(1).
		FillOpacity(10).
		ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending))
	if p.stacked {
		builder.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(40)
	}
	for i, q := range p.queries {
		builder.WithTarget(q.builder(i))
	}
	return builder
}

func (p panel) stat(id uint32) cog.Builder[dashboard.Panel] {
	builder := stat.NewPanelBuilder().
		Id(id).
		Title(p.title).
		Description(p.description).
		Datasource(source()).
		Unit(p.unit).
		Span(p.width).
		Height(height / 2).
		GraphMode(common.BigValueGraphModeArea).
		ColorMode(common.BigValueColorModeNone).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).
		Orientation(common.VizOrientationAuto).
		NoValue("–")
	for i, q := range p.queries {
		builder.WithTarget(q.builder(i))
	}
	return builder
}

func (q query) builder(place int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().
		RefId(string(rune('A' + place))).
		Datasource(source()).
		EditorMode(prometheus.QueryEditorModeCode).
		Expr(q.expr).
		LegendFormat(q.legend).
		Range()
}
