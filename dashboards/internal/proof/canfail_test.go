//go:build !race

package proof

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// mutation is a wrong result.
type mutation struct {
	name  string
	table *evaluate.Table
}

// TestNumbersCanFail: every check notices every kind of wrong result, in every column
// of every layer.
func TestNumbersCanFail(t *testing.T) {
	s := newScene(t)
	all, planted := checks(), 0
	for _, d := range s.file.Dashboards {
		for _, p := range s.show(t, d) {
			check := all[keyOf(d, p)]
			if p.Panel.Type != kibana.PanelLens || check == nil {
				continue
			}
			want := check(s.world)
			if verify(p, want) != nil {
				continue // which TestNumbers says
			}
			for id, shown := range p.Tables {
				for _, m := range mutations(shown) {
					planted++
					wrong := *p
					wrong.Tables = maps.Clone(p.Tables)
					wrong.Tables[id] = m.table
					if verify(&wrong, want) == nil {
						t.Errorf("%s, layer %s: %s is not noticed", keyOf(d, p), id, m.name)
					}
				}
			}
		}
	}
	t.Logf("%d wrong results", planted)
}

func mutations(of *evaluate.Table) []mutation {
	all := []mutation{
		{"all numbers by 1.3", mutated(of, func(_ string, value any) any {
			if n, ok := value.(float64); ok {
				return n * 1.3
			}
			return value
		})},
	}
	if !slices.ContainsFunc(of.Rows, hasNumber) { // of which 1.3 times nothing makes no difference
		all = nil
	}
	if n := len(of.Rows); n > 0 {
		last := mutated(of, keep)
		last.Rows = last.Rows[:n-1]
		all = append(all, mutation{"no last row", last})
	}
	twice := mutated(of, keep)
	twice.Rows = append(twice.Rows, of.Rows[max(0, len(of.Rows)-1):]...)
	if len(of.Rows) > 0 {
		all = append(all, mutation{"the last row twice", twice})
	}
	for i, id := range of.Columns {
		all = append(all, mutation{"another " + id, mutated(of, func(column string, value any) any {
			if column == id {
				return another(value)
			}
			return value
		})})
		next := of.Columns[(i+1)%len(of.Columns)]
		swapped := mutated(of, keep)
		differ := false
		for _, row := range swapped.Rows {
			row[id], row[next] = row[next], row[id]
			differ = differ || row[id] != row[next]
		}
		if differ {
			all = append(all, mutation{fmt.Sprintf("%s and %s swapped", id, next), swapped})
		}
	}
	return all
}

func keep(_ string, value any) any { return value }

func hasNumber(row map[string]any) bool {
	for _, value := range row {
		if n, ok := value.(float64); ok && n != 0 {
			return true
		}
	}
	return false
}

// another is a wrong value.
func another(value any) any {
	switch value := value.(type) {
	case float64:
		return value*1.3 + 1e-3
	case string:
		return value + "!"
	case time.Time:
		return value.Add(time.Minute)
	default:
		return 1.0
	}
}

func mutated(of *evaluate.Table, change func(column string, value any) any) *evaluate.Table {
	m := *of
	m.Rows = nil
	for _, row := range of.Rows {
		wrong := make(map[string]any)
		for id, value := range row {
			wrong[id] = change(id, value)
		}
		m.Rows = append(m.Rows, wrong)
	}
	return &m
}
