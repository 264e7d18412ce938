package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Options are the state of a dashboard that a user looks at.
type Options struct {
	// From and To are the time range, without To itself; required, in any zone.
	// Milliseconds count, as in Elasticsearch.
	From, To time.Time

	// Documents returns what the indices of a data view hold, of any time; required.
	// It is called at most once for each data view, and the documents, flat as those
	// of exporters/wire/intake, are only read. The order matters where times are the
	// same.
	Documents func(v *kibana.DataView) []map[string]any

	// Filters are the queries of controls and of clicks, in KQL. All of them apply.
	Filters []string

	// FieldType returns Elasticsearch's type of a field, such as keyword, by the id
	// of the data view. A field that it does not know, or every field where it is
	// nil, has the type that its values suggest.
	FieldType func(dataView, field string) (string, bool)

	// Known keeps what is found out about the documents for further calls, which need
	// not read them again. All of them must have the same file, Documents and
	// FieldType. nil: nothing is kept.
	Known *Known
}

// Known is what evaluations have found out about documents: their times, the kinds of
// their fields, and which of them match which query. The zero value knows nothing. It
// is for one call at a time.
type Known struct {
	sources map[string]*source // by the id of the data view
}

// Dashboard computes what the panels of a dashboard show, in the dashboard's order.
// A panel that cannot be computed as Kibana would is in the error, by its title, and
// has no tables and no hits; the others are complete.
func Dashboard(f *kibana.File, d *kibana.Dashboard, opts Options) ([]*Panel, error) {
	e, err := newEvaluation(f, d, opts)
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", d.ID, err)
	}
	var (
		panels []*Panel
		errs   []error
	)
	for _, p := range d.Attributes.Panels.Value {
		shown, err := e.panel(p)
		if err != nil {
			shown = &Panel{Panel: p}
			errs = append(errs, fmt.Errorf("dashboard %s: panel %q (%s): %w", d.ID, p.Title, p.Index, err))
		}
		panels = append(panels, shown)
	}
	return panels, errors.Join(errs...)
}

// evaluation is one call's work on a dashboard.
type evaluation struct {
	file      *kibana.File
	dashboard *kibana.Dashboard
	opts      Options
	from, to  int64    // ms since 1970, without to
	queries   []string // that apply to every panel
	known     *Known
}

func newEvaluation(f *kibana.File, d *kibana.Dashboard, opts Options) (*evaluation, error) {
	e := &evaluation{
		file: f, dashboard: d, opts: opts, from: opts.From.UnixMilli(), to: opts.To.UnixMilli(),
		known: cmp.Or(opts.Known, new(Known)),
	}
	if e.known.sources == nil {
		e.known.sources = make(map[string]*source)
	}
	if opts.From.IsZero() || opts.To.IsZero() || e.from >= e.to {
		return nil, fmt.Errorf("no time range: from %v to %v", opts.From, opts.To)
	}
	if opts.Documents == nil {
		return nil, errors.New("no documents")
	}
	own, err := textOf(d.Attributes.Meta.SearchSource.Value)
	if err != nil {
		return nil, err
	}
	e.queries = append([]string{own}, opts.Filters...)
	return e, nil
}

// textOf returns the KQL of a search source.
func textOf(s kibana.SearchSource) (string, error) {
	if len(s.Filter) > 0 {
		return "", errors.New("filters beside the query are not supported")
	}
	return textOfQuery(s.Query)
}

func textOfQuery(q kibana.Query) (string, error) {
	if q.Query != "" && q.Language != "kuery" {
		return "", fmt.Errorf("query language %q is not supported", q.Language)
	}
	return q.Query, nil
}

func (e *evaluation) panel(p *kibana.Panel) (*Panel, error) {
	switch p.Type {
	case kibana.PanelLens:
		return e.lens(p)
	case kibana.PanelSearch:
		return e.search(p)
	case kibana.PanelMarkdown, kibana.PanelLinks:
		return &Panel{Panel: p}, nil
	default:
		return nil, fmt.Errorf("panels of type %q are not supported", p.Type)
	}
}

func (e *evaluation) lens(p *kibana.Panel) (*Panel, error) {
	if p.Config.Attributes == nil || p.Config.Attributes.Lens == nil {
		return nil, errors.New("empty panel: it has no chart of its own")
	}
	lens := p.Config.Attributes.Lens
	if len(lens.State.Filters) > 0 {
		return nil, errors.New("filters beside the query are not supported")
	}
	layers := lens.State.Sources.FormBased.Layers
	if len(layers) == 0 {
		return nil, errors.New("empty panel: it has no layers")
	}
	shown := &Panel{Panel: p, Tables: make(map[string]*Table)}
	for _, id := range slices.Sorted(maps.Keys(layers)) {
		table, err := e.layer(p, lens, id)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", id, err)
		}
		shown.Tables[id] = table
	}
	return shown, present(lens.State.Visual, shown.Tables)
}

// layer computes the table of a layer, as Kibana hands it to the visualization.
func (e *evaluation) layer(p *kibana.Panel, lens *kibana.Lens, id string) (*Table, error) {
	layer := lens.State.Sources.FormBased.Layers[id]
	src, err := e.source(e.dashboard.DataView(p, id))
	if err != nil {
		return nil, err
	}
	if layer.Sampling > 1 {
		return nil, fmt.Errorf("sampling of %d is not supported", layer.Sampling)
	}
	// The chart's own query is among what such a layer ignores: to Kibana it is as
	// global as that of the dashboard.
	var queries []string
	if !layer.IgnoreGlobalFilters {
		own, err := textOfQuery(lens.State.Query)
		if err != nil {
			return nil, err
		}
		queries = append(slices.Clone(e.queries), own)
	}
	r, err := newRun(e, src, layer)
	if err != nil {
		return nil, err
	}
	documents, err := r.documents(queries)
	if err != nil {
		return nil, err
	}
	r.split(0, documents, map[string]any{})
	return r.table()
}

// dataView returns the data view of an id, or nil.
func (e *evaluation) dataView(id string) *kibana.DataView {
	i := slices.IndexFunc(e.file.DataViews, func(v *kibana.DataView) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return e.file.DataViews[i]
}
