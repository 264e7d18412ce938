package preview

import (
	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Empty returns the titles of those panels that have nothing to show, in their order:
// a tile without a number, a table or a search without rows, a chart without a value,
// a donut without a part. A panel without a title is named by its number's label, else
// by its index. Texts and links are never empty.
func Empty(panels []*evaluate.Panel) []string {
	var titles []string
	for _, p := range panels {
		if isEmpty(p) {
			titles = append(titles, nameOf(p))
		}
	}
	return titles
}

func isEmpty(p *evaluate.Panel) bool {
	if p.Panel.Type == kibana.PanelSearch {
		return len(p.Hits) == 0
	}
	lens := lensOf(p.Panel)
	if lens == nil {
		return false
	}
	switch v := lens.State.Visual.(type) {
	case *kibana.Metric:
		return metricValue(p, v) == nil
	case *kibana.Table:
		return p.Tables[v.LayerID] == nil || len(p.Tables[v.LayerID].Rows) == 0
	case *kibana.XY:
		for _, l := range v.Layers {
			if l.LayerType == "data" && hasNumber(p.Tables[l.LayerID], l.Accessors, false) {
				return false
			}
		}
	case *kibana.Pie:
		for _, l := range v.Layers {
			if hasNumber(p.Tables[l.LayerID], l.Metrics, true) {
				return false
			}
		}
	}
	return true
}

// hasNumber tells whether any row has a number in one of the columns, if asked one of
// more than nothing.
func hasNumber(t *evaluate.Table, columns []string, positive bool) bool {
	if t == nil {
		return false
	}
	for _, row := range t.Rows {
		for _, c := range columns {
			if v, ok := row[c].(float64); ok && (v > 0 || !positive) {
				return true
			}
		}
	}
	return false
}

func nameOf(p *evaluate.Panel) string {
	if p.Panel.Title == "" {
		if label := tileLabel(p.Panel); label != "" {
			return label
		}
	}
	return titleOf(p.Panel)
}

// tileLabel is what a tile calls its number, or nothing.
func tileLabel(p *kibana.Panel) string {
	if lens := lensOf(p); lens != nil {
		if m, ok := lens.State.Visual.(*kibana.Metric); ok {
			if c := column(lens.State.Sources.FormBased.Layers[m.LayerID], m.MetricAccessor); c != nil {
				return c.Label
			}
		}
	}
	return ""
}

// lensOf returns a panel's chart, or nil.
func lensOf(p *kibana.Panel) *kibana.Lens {
	if p.Config.Attributes == nil {
		return nil
	}
	return p.Config.Attributes.Lens
}

// column returns a column of a layer, or nil.
func column(l *kibana.Layer, id string) *kibana.Column {
	if l == nil {
		return nil
	}
	return l.Columns[id]
}
