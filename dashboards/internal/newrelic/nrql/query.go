// Package nrql reads the part of New Relic's query language that the dashboard uses.
//
// It is stricter than New Relic: a query begins with FROM one type of data, its clauses
// stand in one order, and functions and units are those that are known here. What it
// accepts is meant to be accepted by New Relic as well; nothing asks New Relic.
//
// The language is described at
// https://docs.newrelic.com/docs/nrql/nrql-syntax-clauses-functions/.
package nrql

// Query is a query that has been read. It is the caller's.
type Query struct {
	From         string // Metric, Transaction, TransactionError or Span
	Select       []Item
	Where        Cond   // nil: everything
	MetricFormat string // of WITH METRIC_FORMAT, such as Custom/{action}; or empty
	Facet        []Expr
	Since        string // such as 3 minutes ago; or empty
	Until        string // likewise
	CompareWith  string // likewise
	Timeseries   bool
	Limit        string // a number or MAX; or empty
}

// Item is what a query selects.
type Item struct {
	Expr  Expr
	Alias string // of AS, or empty
}

// Expr is an expression: Attr, Number, Text, Star, Variable, Call, Binary, Default,
// Duration or Filter.
type Expr interface{ expr() }

type (
	// Attr is an attribute. Quoted tells whether it stood between backticks.
	Attr struct {
		Name   string
		Quoted bool
	}
	// Number is a number as it was written.
	Number struct{ Literal string }
	// Text is a string.
	Text struct{ Value string }
	// Star is *: all attributes, or all events.
	Star struct{}
	// Variable is one of the dashboard, written {{name}}.
	Variable struct{ Name string }
	// Call calls a function, whose name is in the case of Functions.
	Call struct {
		Function string
		Args     []Expr
	}
	// Binary is arithmetic: + - * or /.
	Binary struct {
		Op          string
		Left, Right Expr
	}
	// Default is Expr, or Else where that is null.
	Default struct{ Expr, Else Expr }
	// Duration is an argument such as 1 minute.
	Duration struct {
		Number string
		Unit   string // in the singular
	}
	// Filter is an argument such as WHERE duration > 1.
	Filter struct{ Cond Cond }
)

func (Attr) expr()     {}
func (Number) expr()   {}
func (Text) expr()     {}
func (Star) expr()     {}
func (Variable) expr() {}
func (Call) expr()     {}
func (Binary) expr()   {}
func (Default) expr()  {}
func (Duration) expr() {}
func (Filter) expr()   {}

// Cond is a condition: And, Or, Not or Compare.
type Cond interface{ cond() }

type (
	// And holds when all do.
	And struct{ Conds []Cond }
	// Or holds when one does.
	Or struct{ Conds []Cond }
	// Not holds when Cond does not.
	Not struct{ Cond Cond }
	// Compare compares. Op is = != < <= > >= LIKE, NOT LIKE, IN, NOT IN, IS NULL or IS
	// NOT NULL; of the last two Right is empty, of IN it has any length, else one.
	Compare struct {
		Left  Expr
		Op    string
		Right []Expr
	}
)

func (And) cond()     {}
func (Or) cond()      {}
func (Not) cond()     {}
func (Compare) cond() {}

// Function tells how a function is called.
type Function struct {
	Least, Most int  // arguments
	Aggregate   bool // makes one value of many events
}

// Functions are those that are known, by name.
var Functions = map[string]Function{
	"average":     {1, 1, true},
	"count":       {1, 1, true},
	"filter":      {2, 2, true},
	"histogram":   {3, 3, true},
	"latest":      {1, 1, true},
	"max":         {1, 1, true},
	"min":         {1, 1, true},
	"percentage":  {2, 2, true},
	"percentile":  {2, 6, true},
	"rate":        {2, 2, true},
	"sum":         {1, 1, true},
	"uniqueCount": {1, 1, true},
	"uniques":     {1, 1, true},
}

// Walk calls visit for every expression of the query, parents first.
func (q *Query) Walk(visit func(Expr)) {
	for _, item := range q.Select {
		walkExpr(item.Expr, visit)
	}
	walkCond(q.Where, visit)
	for _, facet := range q.Facet {
		walkExpr(facet, visit)
	}
}

func walkExpr(e Expr, visit func(Expr)) {
	visit(e)
	switch e := e.(type) {
	case Call:
		for _, arg := range e.Args {
			walkExpr(arg, visit)
		}
	case Binary:
		walkExpr(e.Left, visit)
		walkExpr(e.Right, visit)
	case Default:
		walkExpr(e.Expr, visit)
		walkExpr(e.Else, visit)
	case Filter:
		walkCond(e.Cond, visit)
	}
}

func walkCond(c Cond, visit func(Expr)) {
	switch c := c.(type) {
	case And:
		for _, one := range c.Conds {
			walkCond(one, visit)
		}
	case Or:
		for _, one := range c.Conds {
			walkCond(one, visit)
		}
	case Not:
		walkCond(c.Cond, visit)
	case Compare:
		walkExpr(c.Left, visit)
		for _, right := range c.Right {
			walkExpr(right, visit)
		}
	}
}

// Attributes returns the names of all attributes of the query, each once, in order.
func (q *Query) Attributes() []Attr {
	var all []Attr
	seen := make(map[string]bool)
	q.Walk(func(e Expr) {
		if a, ok := e.(Attr); ok && !seen[a.Name] {
			seen[a.Name] = true
			all = append(all, a)
		}
	})
	return all
}

// Comparisons returns all comparisons of the query with an attribute, those in
// arguments of functions included.
func (q *Query) Comparisons(attribute string) []Compare {
	var all []Compare
	add := func(c Cond) {
		eachCompare(c, func(c Compare) {
			if a, ok := c.Left.(Attr); ok && a.Name == attribute {
				all = append(all, c)
			}
		})
	}
	add(q.Where)
	for _, item := range q.Select {
		walkExpr(item.Expr, func(e Expr) {
			if f, ok := e.(Filter); ok {
				add(f.Cond)
			}
		})
	}
	return all
}

func eachCompare(c Cond, visit func(Compare)) {
	switch c := c.(type) {
	case And:
		for _, one := range c.Conds {
			eachCompare(one, visit)
		}
	case Or:
		for _, one := range c.Conds {
			eachCompare(one, visit)
		}
	case Not:
		eachCompare(c.Cond, visit)
	case Compare:
		visit(c)
	}
}
