package lint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// mathNames are the functions that a formula may apply to numbers.
const mathNames = "add subtract multiply divide abs cbrt ceil clamp cube defaults exp fix floor ifelse log mod pick_max pick_min " +
	"pow round sqrt square eq gt gte lt lte"

// expression is a part of a formula's text: a number, a call of an operation on
// documents or columns, or a function of other expressions.
type expression struct {
	number   float64
	call     *call
	function string
	args     []*expression
}

// call is an operation that becomes a column.
type call struct {
	operation string
	field     string
	of        *expression       // of an operation on columns
	named     map[string]string // kql, shift, reducedTimeRange, percentile, …
}

// expressionParser reads a formula's text from pos on.
type expressionParser struct {
	text  string
	pos   int
	depth int
}

func parseFormula(text string) (*expression, error) {
	p := &expressionParser{text: text}
	e, err := p.sum()
	if err != nil {
		return nil, err
	}
	if p.next() != 0 {
		return nil, p.unexpected()
	}
	return e, nil
}

func (p *expressionParser) unexpected() error {
	if p.next() == 0 {
		return errors.New("the formula ends too early")
	}
	return fmt.Errorf("the formula cannot be read on at %q", p.text[p.pos:])
}

// next returns the next character that is no space, or 0.
func (p *expressionParser) next() byte {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos == len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

// accept skips a character if it is next.
func (p *expressionParser) accept(c byte) bool {
	if p.next() != c {
		return false
	}
	p.pos++
	return true
}

func (p *expressionParser) sum() (*expression, error) {
	return p.operators(map[byte]string{'+': "add", '-': "subtract"}, p.product)
}

func (p *expressionParser) product() (*expression, error) {
	return p.operators(map[byte]string{'*': "multiply", '/': "divide"}, p.operand)
}

func (p *expressionParser) operators(names map[byte]string, operand func() (*expression, error)) (*expression, error) {
	left, err := operand()
	for err == nil {
		name := names[p.next()]
		if name == "" {
			return left, nil
		}
		p.pos++
		var right *expression
		right, err = operand()
		left = &expression{function: name, args: []*expression{left, right}}
	}
	return nil, err
}

func (p *expressionParser) operand() (*expression, error) {
	if p.depth++; p.depth > 100 {
		return nil, errors.New("the formula is nested too deep")
	}
	defer func() { p.depth-- }()
	if p.accept('(') {
		e, err := p.sum()
		if err == nil && !p.accept(')') {
			err = p.unexpected()
		}
		return e, err
	}
	p.next()
	word := p.word()
	if p.accept('(') {
		return p.function(word)
	}
	n, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, p.unexpected()
	}
	return &expression{number: n}, nil
}

// word reads a name or a number.
func (p *expressionParser) word() string {
	start := p.pos
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		letter := c == '.' || c == '_' || c == '@' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c != '-' || p.pos != start) {
			break
		}
		p.pos++
	}
	return p.text[start:p.pos]
}

// function reads the arguments of a function, after its parenthesis.
func (p *expressionParser) function(name string) (*expression, error) {
	if oneOf(name, mathNames) {
		e := &expression{function: name}
		for {
			arg, err := p.sum()
			if err != nil {
				return nil, err
			}
			e.args = append(e.args, arg)
			if p.accept(')') {
				return e, nil
			}
			if !p.accept(',') {
				return nil, p.unexpected()
			}
		}
	}
	if !oneOf(name, fieldOperations) && !oneOf(name, pipelineOperations) || oneOf(name, bucketOperations) {
		return nil, fmt.Errorf("%q is no function of formulas", name)
	}
	c := &call{operation: name, named: make(map[string]string)}
	for first := true; !p.accept(')'); first = false {
		if !first && !p.accept(',') {
			return nil, p.unexpected()
		}
		if err := p.argument(c); err != nil {
			return nil, err
		}
	}
	return &expression{call: c}, nil
}

// argument reads a named argument, a field, or the columns that are computed with.
func (p *expressionParser) argument(c *call) error {
	p.next()
	start := p.pos
	if name := p.word(); name != "" && p.accept('=') {
		value, err := p.value()
		c.named[name] = value
		return err
	}
	p.pos = start
	if oneOf(c.operation, pipelineOperations) {
		of, err := p.sum()
		c.of = of
		return err
	}
	var err error
	if c.field != "" {
		return errors.New("an operation has two fields")
	}
	c.field, err = p.value()
	return err
}

// value reads a word, or what is in quotation marks.
func (p *expressionParser) value() (string, error) {
	quote := p.next()
	if quote != '\'' && quote != '"' {
		if word := p.word(); word != "" {
			return word, nil
		}
		return "", p.unexpected()
	}
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == quote:
			p.pos++
			return b.String(), nil
		case c == '\\' && p.pos+1 < len(p.text) && p.text[p.pos+1] == quote:
			p.pos++
			b.WriteByte(quote)
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a quotation mark of the formula is not closed")
}

// calls returns the calls in the order in which they become columns: what is
// computed with comes first.
func (e *expression) calls() []*call {
	if e.call != nil {
		var all []*call
		if e.call.of != nil {
			all = e.call.of.calls()
		}
		return append(all, e.call)
	}
	var all []*call
	for _, arg := range e.args {
		all = append(all, arg.calls()...)
	}
	return all
}
