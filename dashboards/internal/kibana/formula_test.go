package kibana_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// TestFormula: the text reads as a person would type it, and the parts are what
// Kibana's editor makes of that.
func TestFormula(t *testing.T) {
	part := func(op, field, query string) kibana.Part { return kibana.Part{Op: op, Field: field, KQL: query} }
	for _, test := range []struct {
		name  string
		expr  kibana.Expr
		text  string
		order []string
		ast   string // of the arithmetic; empty: there is none
	}{
		{"one part", part(kibana.OpAverage, "a.b", ""), "average(a.b)", []string{"fX0", "f"}, ""},
		{"records", part(kibana.OpCount, "", ""), "count()", []string{"fX0", "f"}, ""},
		{
			"quotes", part(kibana.OpSum, "a", `b: "it's"`), `sum(a, kql='b: "it\'s"')`, []string{"fX0", "f"}, "",
		},
		{
			"shifted",
			kibana.Part{Op: kibana.OpMax, Field: "a", KQL: "b: c", Shift: "1w"},
			"max(a, kql='b: c', shift='1w')",
			[]string{"fX0", "f"},
			"",
		},
		{
			"a ratio",
			kibana.Calc{Op: "divide", Left: part(kibana.OpSum, "a", "b: c"), Right: part(kibana.OpSum, "a", "")},
			"sum(a, kql='b: c') / sum(a)",
			[]string{"fX0", "fX1", "fX2", "f"},
			`{"args":["fX0","fX1"],"location":{"max":27,"min":0},"name":"divide","text":"sum(a, kql='b: c') / sum(a)","type":"function"}`,
		},
		{
			"nested",
			kibana.Calc{
				Op: "multiply", Left: kibana.Num(100),
				Right: kibana.Calc{Op: "add", Left: part(kibana.OpSum, "a", ""), Right: part(kibana.OpSum, "b", "")},
			},
			"100 * (sum(a) + sum(b))",
			[]string{"fX0", "fX1", "fX2", "f"},
			`{"args":[100,{"args":["fX0","fX1"],"location":{"max":22,"min":7},"name":"add","text":"sum(a) + sum(b)","type":"function"}],` +
				`"location":{"max":23,"min":0},"name":"multiply","text":"100 * (sum(a) + sum(b))","type":"function"}`,
		},
	} {
		columns, order := kibana.FormulaColumns("f", "Share", test.expr, kibana.Number(1))
		if !slices.Equal(order, test.order) || len(columns) != len(order) {
			t.Errorf("%s: %d columns in the order %v, want %v", test.name, len(columns), order, test.order)
			continue
		}
		f := columns["f"]
		if f.Params.Formula != test.text {
			t.Errorf("%s: the text is %s, want %s", test.name, f.Params.Formula, test.text)
		}
		last := test.order[len(test.order)-2]
		if !slices.Equal(f.References, []string{last}) {
			t.Errorf("%s: refers to %v, want %s", test.name, f.References, last)
		}
		ast := ""
		if m := columns[last].Params.AST; m != nil {
			encoded, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			ast = string(encoded)
			if !slices.Equal(columns[last].References, []string{"fX0", "fX1"}) {
				t.Errorf("%s: the arithmetic refers to %v", test.name, columns[last].References)
			}
		}
		if ast != test.ast {
			t.Errorf("%s: the arithmetic is\n%s\nwant\n%s", test.name, ast, test.ast)
		}
		for id, c := range columns {
			if id != "f" && c.Params.EmptyAsNull != nil && *c.Params.EmptyAsNull {
				t.Errorf("%s: nothing is not 0 in %s", test.name, id)
			}
		}
	}
}
