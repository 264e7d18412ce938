package kibana

import (
	"fmt"
	"strconv"
	"strings"
)

// Expr is a part of a formula: a Part, a Calc, or a Num.
type Expr interface {
	// write appends the part to the formula's text and columns, and returns how an
	// operation on it names it.
	write(f *formula, inner bool) MathArg
}

// Part is what Elasticsearch computes for a formula.
type Part struct {
	Op    string
	Field string // empty: documents
	KQL   string // of which documents; empty: all
	Shift string // such as 1w
}

// Calc is arithmetic: Op is add, subtract, multiply or divide.
type Calc struct {
	Op          string
	Left, Right Expr
}

// Num is a number.
type Num float64

// formula is being written: its text and the columns that Kibana's editor would make
// of it. A formula without them shows nothing.
type formula struct {
	id, label string
	text      strings.Builder
	columns   map[string]*Column
	order     []string
}

// FormulaColumns returns the columns of a formula with their ids in order: its parts,
// the arithmetic, and last the formula, which has the id.
func FormulaColumns(id, label string, e Expr, format *Format) (columns map[string]*Column, order []string) {
	f := &formula{id: id, label: label, columns: make(map[string]*Column)}
	root := e.write(f, false)
	if root.Math != nil {
		f.add(&Column{
			DataType: "number", Operation: OpMath, Scale: "ratio",
			Params: &Params{AST: root.Math}, References: partsOf(root.Math),
		})
	}
	broken := false
	f.columns[id] = &Column{
		Label: label, CustomLabel: true, DataType: "number", Operation: OpFormula, Scale: "ratio",
		Params:     &Params{Formula: f.text.String(), IsFormulaBroken: &broken, Format: format},
		References: []string{f.order[len(f.order)-1]},
	}
	return f.columns, append(f.order, id)
}

// add keeps a column that the formula needs, and returns its id.
func (f *formula) add(c *Column) string {
	id := f.id + "X" + strconv.Itoa(len(f.order))
	c.Label, c.CustomLabel = "Part of "+f.label, true
	f.columns[id], f.order = c, append(f.order, id)
	return id
}

func (p Part) write(f *formula, _ bool) MathArg {
	var args []string
	if p.Field != "" {
		args = append(args, p.Field)
	}
	if p.KQL != "" {
		args = append(args, "kql='"+strings.ReplaceAll(p.KQL, "'", `\'`)+"'")
	}
	if p.Shift != "" {
		args = append(args, "shift='"+p.Shift+"'")
	}
	fmt.Fprintf(&f.text, "%s(%s)", p.Op, strings.Join(args, ", "))

	c := metric(p.Op, p.Field)
	c.TimeShift = p.Shift
	if p.KQL != "" {
		q := KQL(p.KQL)
		c.Filter = &q
	}
	return MathArg{Column: f.add(c)}
}

func (n Num) write(f *formula, _ bool) MathArg {
	f.text.WriteString(strconv.FormatFloat(float64(n), 'f', -1, 64))
	return MathArg{Number: float64(n)}
}

func (c Calc) write(f *formula, inner bool) MathArg {
	if inner {
		f.text.WriteByte('(')
	}
	start := f.text.Len()
	left := c.Left.write(f, true)
	f.text.WriteString(map[string]string{"add": " + ", "subtract": " - ", "multiply": " * ", "divide": " / "}[c.Op])
	right := c.Right.write(f, true)
	end := f.text.Len()
	m := &Math{
		Args: []MathArg{left, right}, Location: MathLocation{Min: start, Max: end}, Name: c.Op,
		Text: f.text.String()[start:end], Type: "function",
	}
	if inner {
		f.text.WriteByte(')')
	}
	return MathArg{Math: m}
}

// partsOf returns the columns that an operation needs.
func partsOf(m *Math) []string {
	var ids []string
	for _, arg := range m.Args {
		if arg.Math != nil {
			ids = append(ids, partsOf(arg.Math)...)
		} else if arg.Column != "" {
			ids = append(ids, arg.Column)
		}
	}
	return ids
}
