package evaluate_test

import (
	"maps"
	"testing"
	"time"

	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// formula is a chart of a formula, m0, and of more columns.
func formula(e kibana.Expr, more ...*kibana.Column) chart {
	c := of(more...)
	columns, order := kibana.FormulaColumns("f", "Formula", e, nil)
	maps.Copy(columns, c.columns)
	return chart{order: append(order, c.order...), columns: columns}
}

func part(op, field, query string) kibana.Part { return kibana.Part{Op: op, Field: field, KQL: query} }

func calc(op string, left, right kibana.Expr) kibana.Calc {
	return kibana.Calc{Op: op, Left: left, Right: right}
}

func TestFormulas(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"n": 6.0, "outcome": "failure"}),
		doc(9*time.Minute, map[string]any{"n": 2.0, "outcome": "success"}),
		doc(-time.Hour, map[string]any{"n": 5.0}),
		doc(-55*time.Minute, map[string]any{"n": 7.0}),
	}
	all, failed := part(kibana.OpCount, "", ""), part(kibana.OpCount, "", "outcome: failure")
	none := part(kibana.OpCount, "", "outcome: none")
	sum, average := part(kibana.OpSum, "n", ""), part(kibana.OpAverage, "n", "")
	noAverage := part(kibana.OpAverage, "n", "outcome: none")
	ago := kibana.Part{Op: kibana.OpSum, Field: "n", Shift: "1h"}
	for name, test := range map[string]struct {
		e    kibana.Expr
		want string
	}{
		"a part alone":          {average, "4"},
		"a part that is null":   {noAverage, "<nil>"},
		"a part that is zero":   {none, "0"},
		"ratio":                 {calc("divide", failed, all), "0.5"},
		"zero by something":     {calc("divide", none, all), "0"},
		"something by zero":     {calc("divide", all, none), "<nil>"},
		"zero by zero":          {calc("divide", none, none), "<nil>"},
		"by the number zero":    {calc("divide", all, kibana.Num(0)), "<nil>"},
		"null and something":    {calc("add", noAverage, all), "<nil>"},
		"something and null":    {calc("subtract", all, noAverage), "<nil>"},
		"null times zero":       {calc("multiply", noAverage, none), "<nil>"},
		"null by something":     {calc("divide", noAverage, all), "<nil>"},
		"something by null":     {calc("divide", all, noAverage), "<nil>"},
		"add":                   {calc("add", sum, all), "10"},
		"subtract":              {calc("subtract", sum, all), "6"},
		"multiply by a number":  {calc("multiply", sum, kibana.Num(0.25)), "2"},
		"nested":                {calc("divide", calc("subtract", sum, kibana.Num(2)), calc("multiply", all, average)), "0.75"},
		"division in a fault":   {calc("add", calc("divide", all, none), all), "<nil>"},
		"with what was before":  {calc("divide", sum, ago), "0.6666666667"},
		"a number of a formula": {calc("add", kibana.Num(1), kibana.Num(2)), "3"},
	} {
		t.Run(name, func(t *testing.T) {
			is(t, formula(test.e).table(t, documents), "f", test.want)
		})
	}
}

func TestFormulasInBuckets(t *testing.T) {
	documents := []map[string]any{
		doc(0, map[string]any{"route": "/a", "outcome": "failure"}),
		doc(0, map[string]any{"route": "/a", "outcome": "success"}),
		doc(5*time.Minute, map[string]any{"route": "/b", "outcome": "success"}),
	}
	rate := calc("divide", part(kibana.OpCount, "", "outcome: failure"), part(kibana.OpCount, "", ""))
	is(t, formula(rate, counted()).by(top(5, "route")).table(t, documents), "b0 f m0", "/a | 0.5 | 2", "/b | 0 | 1")
	is(t, formula(rate).by(minutes("2m")).table(t, documents),
		"b0 f", "+ | 0.5", "+2m | <nil>", "+4m | 0", "+6m | <nil>", "+8m | <nil>")

	// Parts are computed whole, and the result alone is scaled.
	scaled := formula(calc("multiply", part(kibana.OpCount, "", ""), kibana.Num(10)))
	scaled.columns["f"].TimeScale = "m"
	is(t, scaled.table(t, documents), "f", "3")
	scaled.columns["fX0"].TimeScale = "m"
	scaled.columns["f"].TimeScale = ""
	is(t, scaled.table(t, documents), "f", "30")
}

func TestStaticValues(t *testing.T) {
	static := &kibana.Column{Operation: kibana.OpStaticValue, Static: true, Params: &kibana.Params{Value: "0.95"}}
	is(t, of(static).table(t, nil), "m0", "0.95")
	is(t, of(static, filled(counted())).table(t, nil), "m0 m1", "0.95 | 0")
	of(static).by(minutes("1m")).fails(t, nil, "show nothing")
	static.Params.Value = "much"
	of(static).fails(t, nil, "m0", "much")
}

func TestFormulasThatCannotBe(t *testing.T) {
	documents := []map[string]any{doc(0, map[string]any{"n": 1.0})}
	broken := true
	ratio := calc("divide", part(kibana.OpCount, "", ""), part(kibana.OpSum, "n", ""))
	for name, test := range map[string]struct {
		change func(c chart)
		reason string
	}{
		"not expanded":        {func(c chart) { c.columns["f"].References = nil }, "not expanded"},
		"broken":              {func(c chart) { c.columns["f"].Params.IsFormulaBroken = &broken }, "not expanded"},
		"part that is gone":   {func(c chart) { c.columns["f"].References = []string{"fX9"} }, "fX9"},
		"argument is gone":    {func(c chart) { c.columns["fX2"].Params.AST.Args[0].Column = "fX9" }, "fX9"},
		"needs itself":        {func(c chart) { c.columns["fX2"].Params.AST.Args[0].Column = "f" }, "needs itself"},
		"no arithmetic":       {func(c chart) { c.columns["fX2"].Params.AST = nil }, "no arithmetic"},
		"unknown operation":   {func(c chart) { c.columns["fX2"].Params.AST.Name = "pow" }, "pow"},
		"of one part":         {func(c chart) { c.columns["fX2"].Params.AST.Args = c.columns["fX2"].Params.AST.Args[:1] }, "of 1 parts"},
		"filter of a formula": {func(c chart) { where(c.columns["f"], "n: 1") }, "in the parts alone"},
		"shift of a formula":  {func(c chart) { c.columns["f"].TimeShift = "1w" }, "in the parts alone"},
		"end of a formula":    {func(c chart) { c.columns["f"].ReducedTimeRange = "5m" }, "in the parts alone"},
		"scale in no unit":    {func(c chart) { c.columns["f"].TimeScale = "x" }, "time scale"},
		"scale in arithmetic": {func(c chart) { c.columns["fX2"].TimeScale = "s" }, "time scale"},
		"fault of a part":     {func(c chart) { c.columns["fX1"].Field = "none" }, "fX1"},
		"other operation":     {func(c chart) { c.columns["fX1"].Operation = "counter_rate" }, "counter_rate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := formula(ratio)
			test.change(c)
			c.fails(t, documents, "layer main", test.reason)
		})
	}
}
