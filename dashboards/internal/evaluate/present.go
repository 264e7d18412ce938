package evaluate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// present does to the tables what a visualization does before it draws them.
func present(visual kibana.Visualization, tables map[string]*Table) error {
	switch visual := visual.(type) {
	case *kibana.Metric:
		if visual.CollapseFn == "" {
			return nil
		}
		columns := []string{visual.MetricAccessor}
		if visual.SecondaryAccessor != "" {
			columns = append(columns, visual.SecondaryAccessor)
		}
		err := collapse(tables[visual.LayerID], visual.CollapseFn, nil, columns)
		if err == nil && visual.TrendLayerID != "" {
			err = collapse(tables[visual.TrendLayerID], visual.CollapseFn, []string{visual.TrendTime}, []string{visual.TrendMetric})
		}
		return err
	case *kibana.XY:
		for _, layer := range visual.Layers {
			if layer.CollapseFn == "" {
				continue
			}
			var by []string
			if layer.XAccessor != "" {
				by = append(by, layer.XAccessor)
			}
			if err := collapse(tables[layer.LayerID], layer.CollapseFn, by, layer.Accessors); err != nil {
				return err
			}
		}
	case *kibana.Table:
		if t := tables[visual.LayerID]; t != nil && visual.Sorting.ColumnID != "" {
			return order(t, visual.Sorting)
		}
	}
	return nil
}

// collapse makes one row of those that have the same values of some columns, and
// keeps, of the rest, only columns of numbers, by what the function makes of them.
func collapse(t *Table, function string, by, columns []string) error {
	if t == nil {
		return errors.New("the layer to collapse is not there")
	}
	combine, err := combinationOf(function)
	if err != nil {
		return err
	}
	kept := append(slices.Clone(by), columns...)
	for _, id := range kept {
		if !slices.Contains(t.Columns, id) {
			return fmt.Errorf("column %q, to collapse, is not there", id)
		}
	}
	var (
		names  []string
		rows   = make(map[string]map[string]any)
		values = make(map[string]map[string][]float64)
	)
	for _, row := range t.Rows {
		var of []any
		for _, id := range by {
			of = append(of, row[id])
		}
		name := fmt.Sprintf("%q", of)
		if rows[name] == nil {
			names = append(names, name)
			rows[name], values[name] = make(map[string]any), make(map[string][]float64)
			for _, id := range by {
				rows[name][id] = row[id]
			}
		}
		for _, id := range columns {
			switch value := row[id].(type) {
			case nil:
			case float64:
				values[name][id] = append(values[name][id], value)
			default:
				return fmt.Errorf("column %q, to collapse, has %v", id, value)
			}
		}
	}
	t.Rows = nil
	for _, name := range names {
		for _, id := range columns {
			rows[name][id] = nil
			if all := values[name][id]; len(all) > 0 {
				rows[name][id] = combine(all)
			}
		}
		t.Rows = append(t.Rows, rows[name])
	}
	t.Columns = slices.DeleteFunc(t.Columns, func(id string) bool { return !slices.Contains(kept, id) })
	return nil
}

func combinationOf(function string) (func(all []float64) float64, error) {
	total := func(all []float64) float64 {
		sum := 0.0
		for _, value := range all {
			sum += value
		}
		return sum
	}
	switch function {
	case "sum":
		return total, nil
	case "avg":
		return func(all []float64) float64 { return total(all) / float64(len(all)) }, nil
	case "min":
		return slices.Min[[]float64], nil
	case "max":
		return slices.Max[[]float64], nil
	default:
		return nil, fmt.Errorf("collapse by %q is not supported", function)
	}
}

// order sorts the rows of a table as it shows them, those without a value last.
func order(t *Table, by kibana.Sorting) error {
	if !slices.Contains(t.Columns, by.ColumnID) {
		return fmt.Errorf("column %q, to sort by, is not there", by.ColumnID)
	}
	slices.SortStableFunc(t.Rows, func(a, b map[string]any) int {
		return compareRows(a[by.ColumnID], b[by.ColumnID], by.Direction == "desc")
	})
	return nil
}

func compareRows(a, b any, descending bool) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	case descending:
		return compare(b, a)
	default:
		return compare(a, b)
	}
}
