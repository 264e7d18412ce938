package preview

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apmws/go-apmws/dashboards/internal/evaluate"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Sizes of tables, in pixels.
const (
	rowHigh  = 30.0
	headHigh = 32.0
	footHigh = 24.0
)

// grid is a table as it is drawn.
type grid struct {
	Columns []gridColumn
	Rows    [][]cell
	Foot    string
}

// gridColumn is the head of a column.
type gridColumn struct {
	Name   string
	Width  string // empty: its share of what is left
	Right  bool
	Sorted string // an arrow
}

// cell is a value.
type cell struct {
	Text       string
	Right      bool
	Link       bool
	Class      string
	Color      string
	Background string
}

// table draws the rows of a table for which a height has room, or nothing where there
// is none.
func (b *builder) table(p *evaluate.Panel, lens *kibana.Lens, t *kibana.Table, h float64) (*grid, error) {
	table, layer, err := layerOf(p, lens, t.LayerID)
	if err != nil || len(table.Rows) == 0 {
		return nil, err
	}
	out := new(grid)
	rows := slices.Clone(table.Rows)
	if t.Sorting.ColumnID != "" && t.Sorting.Direction != "none" {
		slices.SortStableFunc(rows, func(x, y map[string]any) int {
			return order(x[t.Sorting.ColumnID], y[t.Sorting.ColumnID], t.Sorting.Direction == "desc")
		})
	}
	page := len(rows)
	if t.Paging.Enabled {
		page = min(page, t.Paging.Size)
	}
	shown := out.room(page, len(rows), h, "rows")
	out.Rows = make([][]cell, shown)
	for _, tc := range columnsOf(t, table) {
		c := column(layer, tc.ColumnID)
		if c == nil {
			return nil, fmt.Errorf("layer %s has no column %s", t.LayerID, tc.ColumnID)
		}
		if tc.Transposed {
			return nil, fmt.Errorf("column %s is transposed", tc.ColumnID)
		}
		f, err := formatOf(b.view(p.Panel, t.LayerID), c)
		if err != nil {
			return nil, err
		}
		head := gridColumn{Name: c.Label, Right: tc.Alignment == "right" || (tc.Alignment == "" && c.DataType == "number")}
		if tc.Width > 0 {
			head.Width = px(tc.Width)
		}
		if t.Sorting.ColumnID == tc.ColumnID {
			head.Sorted = map[string]string{"asc": "↑", "desc": "↓"}[t.Sorting.Direction]
		}
		out.Columns = append(out.Columns, head)
		for i, row := range rows[:shown] {
			one := cell{Text: f.value(row[tc.ColumnID]), Right: head.Right, Link: f.id == "url"}
			if err := one.paint(tc, row[tc.ColumnID]); err != nil {
				return nil, err
			}
			out.Rows[i] = append(out.Rows[i], one)
		}
	}
	return out, nil
}

// columnsOf are a table's columns: those that it names first, then the others.
func columnsOf(t *kibana.Table, table *evaluate.Table) []kibana.TableColumn {
	all := slices.Clone(t.Columns)
	for _, id := range table.Columns {
		if !slices.ContainsFunc(all, func(c kibana.TableColumn) bool { return c.ColumnID == id }) {
			all = append(all, kibana.TableColumn{ColumnID: id})
		}
	}
	return all
}

// room returns how many rows of a page a height has room for, and says in the foot
// when those are not all.
func (g *grid) room(page, all int, h float64, what string) int {
	fits := int((h - headHigh) / rowHigh)
	if page <= fits && page == all {
		return page
	}
	fits = max(int((h-headHigh-footHigh)/rowHigh), 1)
	shown := min(page, fits)
	g.Foot = fmt.Sprintf("%d of %s %s", shown, format{}.plain(float64(all)), what)
	return shown
}

// order compares values of a column; those that are missing come last.
func order(x, y any, desc bool) int {
	if x == nil || y == nil {
		return cmp.Compare(missing(x), missing(y))
	}
	result := 0
	switch x := x.(type) {
	case float64:
		if y, ok := y.(float64); ok {
			result = cmp.Compare(x, y)
		}
	default:
		result = cmp.Compare(format{layout: "2006-01-02T15:04:05.000"}.value(x), format{layout: "2006-01-02T15:04:05.000"}.value(y))
	}
	if desc {
		return -result
	}
	return result
}

func missing(v any) int {
	if v == nil {
		return 1
	}
	return 0
}

// paint colours a cell by its value.
func (c *cell) paint(tc kibana.TableColumn, v any) error {
	if tc.ColorMode == "" || tc.ColorMode == "none" {
		return nil
	}
	colour, err := byValue(tc.Palette, v)
	if err != nil || colour == "" {
		return err
	}
	switch tc.ColorMode {
	case "cell":
		c.Background, c.Color = colour, textOn(colour)
	case "text":
		c.Color = colour
	default:
		return fmt.Errorf("colour mode %q", tc.ColorMode)
	}
	return nil
}
