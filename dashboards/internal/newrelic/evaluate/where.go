package evaluate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/nrql"
)

func (e *evaluator) matching(rows []row, c nrql.Cond) []row {
	var all []row
	for _, r := range rows {
		if c == nil || e.holds(r, c) {
			all = append(all, r)
		}
	}
	return all
}

func (e *evaluator) holds(r row, c nrql.Cond) bool {
	switch c := c.(type) {
	case nrql.And:
		for _, one := range c.Conds {
			if !e.holds(r, one) {
				return false
			}
		}
		return true
	case nrql.Or:
		for _, one := range c.Conds {
			if e.holds(r, one) {
				return true
			}
		}
		return false
	case nrql.Not:
		return !e.holds(r, c.Cond)
	case nrql.Compare:
		return e.compare(r, c)
	default:
		e.unsupported(c)
		return false
	}
}

// compare holds for no comparison with null but IS NULL.
func (e *evaluator) compare(r row, c nrql.Compare) bool {
	left := e.scalar(r, c.Left)
	switch c.Op {
	case "IS NULL":
		return left == nil
	case "IS NOT NULL":
		return left != nil
	}
	var right []any
	for _, expr := range c.Right {
		if v, ok := expr.(nrql.Variable); ok {
			right = append(right, e.variable(v)...)
		} else {
			right = append(right, e.scalar(r, expr))
		}
	}
	if left == nil || len(right) == 0 {
		return false
	}
	switch c.Op {
	case "=", "IN":
		return slices.Contains(right, left)
	case "!=", "NOT IN":
		return !slices.Contains(right, left)
	case "LIKE":
		return like(fmt.Sprint(left), fmt.Sprint(right[0]))
	case "NOT LIKE":
		return !like(fmt.Sprint(left), fmt.Sprint(right[0]))
	default:
		return e.ordered(c.Op, left, right[0])
	}
}

func (e *evaluator) variable(v nrql.Variable) []any {
	values, known := e.variables[v.Name]
	if !known {
		e.unsupported(v)
	}
	all := make([]any, len(values))
	for i, one := range values {
		all[i] = one
	}
	return all
}

func (e *evaluator) ordered(op string, left, right any) bool {
	l, lok := left.(float64)
	r, rok := right.(float64)
	if !lok || !rok {
		e.unsupported(op)
		return false
	}
	switch op {
	case "<":
		return l < r
	case "<=":
		return l <= r
	case ">":
		return l > r
	default:
		return l >= r
	}
}

// like matches a pattern in which % is anything, and nothing else is more than itself:
// New Relic's reference names no other wildcard, in particular not SQL's underscore.
// Upper and lower case are the same to it:
// https://docs.newrelic.com/docs/nrql/nrql-syntax-clauses-functions/#sel-where.
func like(s, pattern string) bool {
	s, pattern = strings.ToLower(s), strings.ToLower(pattern)
	parts := strings.Split(pattern, "%")
	last := len(parts) - 1
	if last == 0 {
		return s == pattern
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1:last] {
		_, after, found := strings.Cut(s, part)
		if !found {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, parts[last])
}

// scalar is an expression's value for one row.
func (e *evaluator) scalar(r row, expr nrql.Expr) any {
	switch expr := expr.(type) {
	case nrql.Attr:
		return r[expr.Name]
	case nrql.Text:
		return expr.Value
	case nrql.Number:
		n, err := strconv.ParseFloat(expr.Literal, 64)
		if err != nil {
			return e.unsupported(expr)
		}
		return n
	case nrql.Default:
		if v := e.scalar(r, expr.Expr); v != nil {
			return v
		}
		return e.scalar(r, expr.Else)
	default:
		return e.unsupported(expr)
	}
}
