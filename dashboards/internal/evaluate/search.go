package evaluate

import (
	"fmt"
	"math"
	"slices"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// search finds the documents of a saved search.
func (e *evaluation) search(p *kibana.Panel) (*Panel, error) {
	id := e.dashboard.SearchOf(p)
	found := e.file.Search(id)
	if found == nil {
		return nil, fmt.Errorf("saved search %q is not in the file", id)
	}
	src, err := e.source(found.DataView())
	if err != nil {
		return nil, err
	}
	own, err := textOf(found.Attributes.Meta.SearchSource.Value)
	if err != nil {
		return nil, err
	}
	documents, err := src.matching(src.between(e.from, e.to), append(slices.Clone(e.queries), own))
	if err != nil {
		return nil, err
	}
	if err := sortHits(src, documents, found.Attributes.Sort); err != nil {
		return nil, err
	}
	shown := &Panel{Panel: p, Total: len(documents)}
	for _, d := range documents[:min(MaxHits, len(documents))] {
		shown.Hits = append(shown.Hits, d.fields)
	}
	return shown, nil
}

// sortHits sorts documents by fields, those without a value last.
func sortHits(s *source, documents []*document, by [][2]string) error {
	for _, field := range slices.Backward(by) {
		k, err := s.kind(field[0])
		if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		if k == texts || k == histograms || k == summaries {
			return fmt.Errorf("sort: field %s is of %s", field[0], k)
		}
		isTime := field[0] == s.view.Attributes.TimeFieldName
		slices.SortStableFunc(documents, func(a, b *document) int {
			if isTime {
				return compareRows(float64(a.time), float64(b.time), field[1] == "desc")
			}
			return compareRows(extremeOf(a, field), extremeOf(b, field), field[1] == "desc")
		})
	}
	return nil
}

// extremeOf returns by which of its values a document is sorted: the greatest if from
// the greatest, else the least.
func extremeOf(d *document, field [2]string) any {
	values := valuesOf(d.fields[field[0]])
	switch {
	case len(values) == 0:
		return nil
	case field[1] == "desc":
		return slices.MaxFunc(values, compare)
	default:
		return slices.MinFunc(values, compare)
	}
}

// ControlValues returns the values that a control offers: those of its field in the
// documents of the time range that match the dashboard's query and opts.Filters, in
// the control's order. It is empty if the control shows nothing, whatever the reason.
func ControlValues(f *kibana.File, d *kibana.Dashboard, c *kibana.Control, opts Options) []string {
	e, err := newEvaluation(f, d, opts)
	if err != nil {
		return nil
	}
	src, err := e.source(d.ControlDataView(c))
	if err != nil {
		return nil
	}
	k, err := src.kind(c.Input.Field)
	if err != nil || k != numbers && k != keywords && k != booleans {
		return nil
	}
	documents, err := src.matching(src.between(e.from, e.to), e.queries)
	if err != nil {
		return nil
	}
	t := &terms{
		fields: []string{c.Input.Field}, kinds: []kind{k}, size: math.MaxInt,
		ascend: c.Input.Sort.Direction == "asc", included: func(any) bool { return true },
	}
	if c.Input.Sort.By == "_count" {
		t.metric = &metric{column: &kibana.Column{Operation: kibana.OpCount, Field: kibana.Records}, compute: count, since: noLimit}
	}
	var values []string
	for _, b := range t.split(set{documents}) {
		values = append(values, show(b.key))
	}
	return values
}
