package nrql

import "strings"

// String writes the query as Parse reads it, with parentheses around every condition
// and calculation that has parts.
func (q *Query) String() string {
	items := make([]string, len(q.Select))
	for i, item := range q.Select {
		items[i] = exprString(item.Expr)
		if item.Alias != "" {
			items[i] += " AS '" + item.Alias + "'"
		}
	}
	s := "FROM " + q.From + " SELECT " + strings.Join(items, ", ")
	if q.Where != nil {
		s += " WHERE " + condString(q.Where)
	}
	if q.MetricFormat != "" {
		s += " WITH METRIC_FORMAT '" + q.MetricFormat + "'"
	}
	if len(q.Facet) > 0 {
		s += " FACET " + exprsString(q.Facet)
	}
	s += clause("SINCE", q.Since) + clause("UNTIL", q.Until) + clause("COMPARE WITH", q.CompareWith)
	if q.Timeseries {
		s += " TIMESERIES"
	}
	return s + clause("LIMIT", q.Limit)
}

func clause(word, value string) string {
	if value == "" {
		return ""
	}
	return " " + word + " " + value
}

// String returns a duration such as 3 minutes.
func (d Duration) String() string {
	if d.Number == "1" {
		return d.Number + " " + d.Unit
	}
	return d.Number + " " + d.Unit + "s"
}

func exprsString(all []Expr) string {
	s := make([]string, len(all))
	for i, e := range all {
		s[i] = exprString(e)
	}
	return strings.Join(s, ", ")
}

func exprString(e Expr) string {
	switch e := e.(type) {
	case Attr:
		if e.Quoted {
			return "`" + e.Name + "`"
		}
		return e.Name
	case Number:
		return e.Literal
	case Text:
		return "'" + e.Value + "'"
	case Variable:
		return "{{" + e.Name + "}}"
	case Call:
		return e.Function + "(" + exprsString(e.Args) + ")"
	case Binary:
		return "(" + exprString(e.Left) + " " + e.Op + " " + exprString(e.Right) + ")"
	case Default:
		return exprString(e.Expr) + " OR " + exprString(e.Else)
	case Duration:
		return e.String()
	case Filter:
		return "WHERE " + condString(e.Cond)
	default:
		return "*"
	}
}

func condString(c Cond) string {
	switch c := c.(type) {
	case And:
		return condsString(c.Conds, " AND ")
	case Or:
		return condsString(c.Conds, " OR ")
	case Not:
		return "NOT " + condString(c.Cond)
	case Compare:
		s := exprString(c.Left) + " " + c.Op
		if strings.HasSuffix(c.Op, "IN") {
			return s + " (" + exprsString(c.Right) + ")"
		}
		if len(c.Right) == 0 {
			return s
		}
		return s + " " + exprString(c.Right[0])
	default:
		return ""
	}
}

func condsString(all []Cond, between string) string {
	s := make([]string, len(all))
	for i, c := range all {
		s[i] = condString(c)
	}
	return "(" + strings.Join(s, between) + ")"
}
