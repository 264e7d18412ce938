package nrql

import (
	"slices"
	"strings"
)

func (p *parser) expr() Expr {
	p.enter()
	defer func() { p.depth-- }()
	left := p.product()
	for {
		op := p.next()
		if !p.accept("+") && !p.accept("-") {
			return left
		}
		left = Binary{op.value, left, p.product()}
	}
}

func (p *parser) product() Expr {
	left := p.primary()
	for {
		op := p.next()
		if !p.accept("*") && !p.accept("/") {
			return left
		}
		left = Binary{op.value, left, p.primary()}
	}
}

func (p *parser) primary() Expr {
	switch t := p.next(); {
	case p.accept("*"):
		return Star{}
	case p.accept("("):
		e := p.expr()
		p.expect(")")
		return e
	case t.kind == number:
		return Number{p.take().value}
	case t.kind == text:
		return Text{p.take().value}
	case t.kind == variable:
		return Variable{p.take().value}
	case t.kind == quoted:
		return Attr{p.take().value, true}
	case t.kind == word && !slices.Contains(keywords, strings.ToUpper(t.value)):
		p.take()
		if p.accept("(") {
			return p.call(t.value)
		}
		return Attr{t.value, false}
	default:
		p.fail("expected an expression instead of %v", t)
		return Star{}
	}
}

// call reads the arguments of a function, after the parenthesis.
func (p *parser) call(name string) Expr {
	f, known := Functions[name]
	if !known {
		p.fail("there is no function %q", name)
	}
	c := Call{Function: name}
	for ok := true; ok; ok = p.accept(",") {
		c.Args = append(c.Args, p.arg())
	}
	p.expect(")")
	if p.err == nil && (len(c.Args) < f.Least || len(c.Args) > f.Most) {
		p.fail("%s with %d arguments", name, len(c.Args))
	}
	return c
}

func (p *parser) arg() Expr {
	if p.accept("WHERE") {
		return Filter{p.or()}
	}
	e := p.expr()
	if n, ok := e.(Number); ok && p.next().kind == word && !p.next().is("OR") {
		return p.duration(n.Literal)
	}
	if p.accept("OR") {
		return Default{e, p.primary()}
	}
	return e
}
