package nrql

import (
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds how deep expressions may be nested.
const maxDepth = 40

// keywords cannot be attributes without backticks.
var keywords = []string{
	"AND", "AS", "COMPARE", "FACET", "FROM", "IN", "IS", "LIKE", "LIMIT", "NOT", "NULL", "OR", "SELECT", "SINCE",
	"TIMESERIES", "UNTIL", "WHERE", "WITH", "TRUE", "FALSE",
}

var units = []string{"second", "minute", "hour", "day", "week"}

// Parse reads a query. What is wrong with it is a *SyntaxError.
func Parse(query string) (*Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	q := p.query()
	if p.err != nil {
		return nil, p.err
	}
	return q, nil
}

// parser goes through the tokens. After a mistake it goes on to the end without
// reading any more, and err tells of the first.
type parser struct {
	tokens []token
	at     int
	depth  int
	err    error
}

func (p *parser) next() token {
	if p.err != nil {
		return p.tokens[len(p.tokens)-1]
	}
	return p.tokens[p.at]
}

func (p *parser) take() token {
	t := p.next()
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &SyntaxError{p.tokens[p.at].pos, fmt.Sprintf(format, args...)}
	}
}

// accept takes the words or operators if they all come next.
func (p *parser) accept(values ...string) bool {
	if p.err != nil || p.at+len(values) > len(p.tokens) {
		return false
	}
	for i, value := range values {
		if !p.tokens[p.at+i].is(value) {
			return false
		}
	}
	p.at += len(values)
	return true
}

func (p *parser) expect(values ...string) {
	if !p.accept(values...) {
		p.fail("expected %s instead of %v", strings.Join(values, " "), p.next())
	}
}

func (p *parser) expectKind(k kind, what string) string {
	if p.next().kind != k {
		p.fail("expected %s instead of %v", what, p.next())
	}
	return p.take().value
}

func (p *parser) query() *Query {
	q := &Query{}
	p.expect("FROM")
	q.From = p.expectKind(word, "a type of data")
	p.expect("SELECT")
	for ok := true; ok; ok = p.accept(",") {
		item := Item{Expr: p.expr()}
		if p.accept("AS") {
			item.Alias = p.expectKind(text, "a name in quotes")
		}
		q.Select = append(q.Select, item)
	}
	if p.accept("WHERE") {
		q.Where = p.or()
	}
	if p.accept("WITH", "METRIC_FORMAT") {
		q.MetricFormat = p.expectKind(text, "a format in quotes")
	}
	if p.accept("FACET") {
		for ok := true; ok; ok = p.accept(",") {
			q.Facet = append(q.Facet, p.expr())
		}
	}
	if p.accept("SINCE") {
		q.Since = p.ago()
	}
	if p.accept("UNTIL") {
		q.Until = p.ago()
	}
	if p.accept("COMPARE", "WITH") {
		q.CompareWith = p.ago()
	}
	q.Timeseries = p.accept("TIMESERIES")
	if p.accept("LIMIT") {
		if p.accept("MAX") {
			q.Limit = "MAX"
		} else {
			q.Limit = p.expectKind(number, "a number or MAX")
		}
	}
	if p.next().kind != end {
		p.fail("%v is not in its place", p.next())
	}
	return q
}

// ago reads a time such as 3 minutes ago.
func (p *parser) ago() string {
	d := p.duration(p.expectKind(number, "a number"))
	p.expect("ago")
	return d.String() + " ago"
}

func (p *parser) duration(n string) Duration {
	unit := strings.TrimSuffix(strings.ToLower(p.expectKind(word, "a unit of time")), "s")
	if p.err == nil && !slices.Contains(units, unit) {
		p.fail("%q is no unit of time", unit)
	}
	return Duration{n, unit}
}

// enter bounds the depth; the caller leaves with p.depth--.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested too deep")
	}
}

func (p *parser) or() Cond {
	p.enter()
	defer func() { p.depth-- }()
	all := []Cond{p.and()}
	for p.accept("OR") {
		all = append(all, p.and())
	}
	if len(all) == 1 {
		return all[0]
	}
	return Or{all}
}

func (p *parser) and() Cond {
	all := []Cond{p.not()}
	for p.accept("AND") {
		all = append(all, p.not())
	}
	if len(all) == 1 {
		return all[0]
	}
	return And{all}
}

func (p *parser) not() Cond {
	if p.accept("NOT") {
		p.enter()
		defer func() { p.depth-- }()
		return Not{p.not()}
	}
	if p.accept("(") {
		c := p.or()
		p.expect(")")
		return c
	}
	return p.compare()
}

func (p *parser) compare() Cond {
	c := Compare{Left: p.primary()}
	for _, op := range [][]string{{"IS", "NOT", "NULL"}, {"IS", "NULL"}} {
		if p.accept(op...) {
			c.Op = strings.Join(op, " ")
			return c
		}
	}
	for _, op := range [][]string{{"NOT", "IN"}, {"IN"}} {
		if p.accept(op...) {
			c.Op = strings.Join(op, " ")
			p.expect("(")
			for ok := true; ok; ok = p.accept(",") {
				c.Right = append(c.Right, p.primary())
			}
			p.expect(")")
			return c
		}
	}
	for _, op := range [][]string{{"NOT", "LIKE"}, {"LIKE"}, {"="}, {"!="}, {"<="}, {">="}, {"<"}, {">"}} {
		if p.accept(op...) {
			c.Op = strings.Join(op, " ")
			c.Right = []Expr{p.primary()}
			return c
		}
	}
	p.fail("expected a comparison instead of %v", p.next())
	return c
}
