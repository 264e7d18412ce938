package kibana

import (
	"encoding/json"
	"fmt"
)

// Lens is a chart: layers of columns, which Elasticsearch computes, and a
// visualization that draws them.
type Lens struct {
	Description   string      `json:"description"`
	References    []Reference `json:"references"`
	State         LensState   `json:"state"`
	Title         string      `json:"title"`
	Type          string      `json:"type"` // lens
	Visualization string      `json:"visualizationType"`
}

// LensState is what is computed and how it is drawn.
type LensState struct {
	AdHoc    struct{}      `json:"adHocDataViews"`
	Sources  DataSources   `json:"datasourceStates"`
	Filters  []any         `json:"filters"`
	Internal []Reference   `json:"internalReferences"`
	Query    Query         `json:"query"`
	Visual   Visualization `json:"visualization"`
}

// DataSources are where layers come from: one kind is used.
type DataSources struct {
	FormBased FormBased `json:"formBased"`
}

// FormBased are layers by their ids.
type FormBased struct {
	Layers map[string]*Layer `json:"layers"`
}

// Layer is a table that Elasticsearch computes.
type Layer struct {
	ColumnOrder         []string           `json:"columnOrder"`
	Columns             map[string]*Column `json:"columns"`
	IgnoreGlobalFilters bool               `json:"ignoreGlobalFilters"`
	Incomplete          struct{}           `json:"incompleteColumns"`
	LinkTo              []string           `json:"linkToLayers,omitempty"`
	Sampling            int                `json:"sampling"`
}

// Visualization is how layers are drawn: one of the types of this package that have
// a VisualizationType.
type Visualization interface {
	// VisualizationType is Kibana's name of it.
	VisualizationType() string
	// layers returns the ids of those that are drawn.
	layers() []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Lens) UnmarshalJSON(data []byte) error {
	var kind struct {
		Visualization string `json:"visualizationType"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return err
	}
	type plain Lens // without this method
	var p plain
	switch kind.Visualization {
	case metricType:
		p.State.Visual = new(Metric)
	case xyType:
		p.State.Visual = new(XY)
	case pieType:
		p.State.Visual = new(Pie)
	case tableType:
		p.State.Visual = new(Table)
	default:
		return fmt.Errorf("visualization of type %q", kind.Visualization)
	}
	if err := decode(data, &p); err != nil {
		return err
	}
	*l = Lens(p)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *PanelAttributes) UnmarshalJSON(data []byte) error {
	var has struct {
		Layout json.RawMessage `json:"layout"`
	}
	if err := json.Unmarshal(data, &has); err != nil {
		return err
	}
	if has.Layout != nil {
		a.Links = new(Links)
		return decode(data, a.Links)
	}
	a.Lens = new(Lens)
	return decode(data, a.Lens)
}
