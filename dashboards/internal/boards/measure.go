package boards

import (
	"maps"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// measure is a column of numbers that is being described: what it is, how it is
// shown, and how it is drawn.
type measure struct {
	label  string
	op     string
	field  string
	rank   float64 // of a percentile
	expr   kibana.Expr
	last   string // data type of a last value
	format *kibana.Format

	where, per, shift, recent string
	colour                    string
	dashed, nullable          bool
	palette                   *kibana.Palette // of a table's cells
}

func count(label string) *measure { return &measure{label: label, op: kibana.OpCount} }

func sum(label, field string) *measure { return &measure{label: label, op: kibana.OpSum, field: field} }

// tally is a sum of a counter for a tile: nothing where no server reports, and not 0,
// as after a filter by something that metrics do not have, such as a connection.
func tally(label, field string) *measure { return &measure{label: label, op: opTally, field: field} }

const opTally = "tally"

func maximum(label, field string) *measure {
	return &measure{label: label, op: kibana.OpMax, field: field}
}

func average(label, field string) *measure {
	return &measure{label: label, op: kibana.OpAverage, field: field}
}

func distinct(label, field string) *measure {
	return &measure{label: label, op: kibana.OpUniqueCount, field: field}
}

func percentile(label string, rank float64, field string) *measure {
	return &measure{label: label, op: kibana.OpPercentile, field: field, rank: rank}
}

// latest is the newest value; its type is number, string, ip or date.
func latest(label, dataType, field string) *measure {
	return &measure{label: label, op: kibana.OpLastValue, field: field, last: dataType}
}

func formula(label string, e kibana.Expr) *measure { return &measure{label: label, expr: e} }

func (m *measure) as(f *kibana.Format) *measure         { m.format = f; return m }
func (m *measure) in(colour string) *measure            { m.colour = colour; return m }
func (m *measure) of(query string) *measure             { m.where = query; return m }
func (m *measure) each(unit string) *measure            { m.per = unit; return m }
func (m *measure) aWeekBefore() *measure                { m.shift = "1w"; return m }
func (m *measure) within(recent string) *measure        { m.recent = recent; return m }
func (m *measure) withCells(p *kibana.Palette) *measure { m.palette = p; return m }
func (m *measure) dash() *measure                       { m.dashed = true; return m }
func (m *measure) orNothing() *measure                  { m.nullable = true; return m } // a 0 is no value

// into adds the columns of the measure to a layer, and returns their order.
func (m *measure) into(l *kibana.Layer, id string) []string {
	if m.op == opTally {
		m.expr = plus(
			kibana.Part{Op: kibana.OpSum, Field: m.field, KQL: m.where, Shift: m.shift},
			kibana.Calc{Op: "multiply", Left: kibana.Num(0), Right: kibana.Part{Op: kibana.OpMax, Field: active, Shift: m.shift}})
	}
	if m.expr != nil {
		columns, order := kibana.FormulaColumns(id, m.label, m.expr, m.format)
		columns[id].TimeScale = m.per
		maps.Copy(l.Columns, columns)
		return order
	}
	var c *kibana.Column
	switch m.op {
	case kibana.OpPercentile:
		c = kibana.PercentileOf(m.rank, m.field, m.label)
	case kibana.OpLastValue:
		c = kibana.LastOf(m.field, m.label, m.last)
	default:
		c = kibana.MetricOf(m.op, m.field, m.label)
	}
	c.Params.Format, c.TimeScale, c.TimeShift, c.ReducedTimeRange = m.format, m.per, m.shift, m.recent
	if m.where != "" {
		q := kibana.KQL(m.where)
		c.Filter = &q
	}
	if m.nullable {
		c.Params.EmptyAsNull = &m.nullable
	}
	l.Columns[id] = c
	return []string{id}
}
