package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// formulaRules are about formulas, which are shipped with the columns that they are
// computed from.
func formulaRules() []rule {
	return []rule{
		ofOperation("formula", "formula-parts", "The parts of a formula F are FX0, FX1, … without a gap, F refers to the last one alone, and every other part is used by another: Kibana does not expand a formula when it opens a dashboard, so that the panel is empty.", checkParts),
		ofOperation("formula", "formula-text", "The parts of a formula are what its text says: the operations in their order, their fields, filters and shifts, and the arithmetic; the dashboard shows the parts, the editor the text.", checkFormulaText),
		ofOperation("formula", "formula-broken", "isFormulaBroken is false: else Kibana shows an error in place of the number.", func(c *column, say say) {
			if !isFalse(c.params(), "isFormulaBroken") {
				say("isFormulaBroken is %v", at(c.params(), "isFormulaBroken"))
			}
		}),
		ofOperation("math", "formula-math", "A math column holds a tree of known functions whose leaves are numbers and columns of the layer, the same as its references, each with its place in the formula's text: a leaf that is no column is an error.", checkMath),
	}
}

var partID = regexp.MustCompile(`^(.*)X([0-9]+)$`)

// isPart says whether a column is a part of a formula.
func (c *column) isPart() bool { return c.formula() != nil }

// formula returns the formula that a column is a part of, or nil.
func (c *column) formula() *column {
	match := partID.FindStringSubmatch(c.id)
	if match == nil {
		return nil
	}
	if f := c.layer.column(match[1]); f != nil && f.operation == "formula" {
		return f
	}
	return nil
}

// parts returns a formula's parts as far as they are numbered without a gap.
func (c *column) parts() []*column {
	var all []*column
	for {
		part := c.layer.column(c.id + "X" + strconv.Itoa(len(all)))
		if part == nil {
			return all
		}
		all = append(all, part)
	}
}

func checkParts(c *column, say say) {
	parts := c.parts()
	for _, other := range c.layer.columns {
		if other.formula() == c && !slices.Contains(parts, other) {
			say("a part is missing before %s", other.id)
		}
	}
	if len(parts) == 0 {
		say("there is no part %sX0", c.id)
		return
	}
	last := parts[len(parts)-1]
	if !slices.Equal(texts(c.raw, "references"), []string{last.id}) {
		say("it refers to %v, not to %s", texts(c.raw, "references"), last.id)
	}
	for _, part := range parts[:len(parts)-1] {
		if !c.layer.refersTo(part.id) {
			say("nothing uses the part %s", part.id)
		}
	}
	for _, key := range []string{"filter", "timeShift", "reducedTimeRange"} {
		if has(c.raw, key) {
			say("%s belongs to the parts", key)
		}
	}
}

func checkFormulaText(c *column, say say) {
	formula := text(c.params(), "formula")
	e, err := parseFormula(formula)
	if err != nil {
		say("%v, in %q", err, formula)
		return
	}
	parts, calls := c.parts(), e.calls()
	numbered := make(map[*call]string)
	for i, call := range calls {
		numbered[call] = c.id + "X" + strconv.Itoa(i)
		if call.of != nil && call.of.call == nil {
			say("%s of a computed number is not used here", call.operation)
			return
		}
	}
	want := len(calls)
	if e.call == nil {
		want++ // the arithmetic
	}
	if len(parts) != want {
		say("there are %d parts, the text has %d", len(parts), want)
		return
	}
	for i, call := range calls {
		call.compare(parts[i], numbered, say)
	}
	if e.call != nil {
		return
	}
	last := parts[len(parts)-1]
	if last.operation != "math" {
		say("the last part, %s, is of operation %s, not math", last.id, last.operation)
		return
	}
	ast := at(last.params(), "tinymathAst")
	if got, want := written(ast), e.written(numbered); got != want {
		say("the text computes %s, the part %s", want, got)
	}
	checkPlaces(ast, utf16.Encode([]rune(formula)), say)
}

// compare says where a part is not what the text says.
func (c *call) compare(part *column, numbered map[*call]string, say say) {
	differ := func(what string, got, want any) {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			say("%s of the part %s is %q, that of the text is %q", what, part.id, fmt.Sprint(got), fmt.Sprint(want))
		}
	}
	differ("the operation", part.operation, c.operation)
	field := c.field
	if c.operation == "count" && field == "" {
		field = records
	}
	differ("the field", part.field, field)
	differ("the filter", text(part.raw, "filter", "query"), c.named["kql"])
	differ("the shift", text(part.raw, "timeShift"), c.named["shift"])
	differ("the range", text(part.raw, "reducedTimeRange"), c.named["reducedTimeRange"])
	for _, name := range []string{"percentile", "value", "window", "unit"} {
		if value, ok := c.named[name]; ok {
			differ("the "+name, at(part.params(), name), value)
		}
	}
	if c.of != nil {
		differ("the reference", strings.Join(texts(part.raw, "references"), " "), numbered[c.of.call])
	}
	for _, name := range sortedKeys(c.named) {
		if !oneOf(name, "kql shift reducedTimeRange percentile value window unit") {
			say("the argument %s is not used here", name)
		}
	}
}

// written writes an expression as the tree of a math column is written.
func (e *expression) written(numbered map[*call]string) string {
	switch {
	case e.call != nil:
		return numbered[e.call]
	case e.function == "":
		return fmt.Sprint(e.number)
	}
	var args []string
	for _, arg := range e.args {
		args = append(args, arg.written(numbered))
	}
	return e.function + "(" + strings.Join(args, ", ") + ")"
}

func written(ast any) string {
	node := members(ast)
	if node == nil {
		return fmt.Sprint(ast)
	}
	var args []string
	for _, arg := range elements(node, "args") {
		args = append(args, written(arg))
	}
	return text(node, "name") + "(" + strings.Join(args, ", ") + ")"
}

// checkPlaces compares the text of each node with what is at its place.
func checkPlaces(ast any, formula []uint16, say say) {
	if members(ast) == nil {
		return
	}
	from, okFrom := whole(ast, "location", "min")
	to, okTo := whole(ast, "location", "max")
	if !okFrom || !okTo || from < 0 || to > len(formula) || from > to {
		say("the place of %q is not within the text", text(ast, "text"))
	} else if there := string(utf16.Decode(formula[from:to])); there != text(ast, "text") {
		say("at the place of %q is %q", text(ast, "text"), there)
	}
	for _, arg := range elements(ast, "args") {
		checkPlaces(arg, formula, say)
	}
}

func checkMath(c *column, say say) {
	if c.formula() == nil {
		say("it is no part of a formula")
	}
	ast := at(c.params(), "tinymathAst")
	if members(ast) == nil {
		say("there is no tree")
		return
	}
	leaves := make(map[string]bool)
	checkNode(c, ast, leaves, say)
	references := texts(c.raw, "references")
	slices.Sort(references)
	if got := slices.Compact(references); !slices.Equal(got, sortedKeys(leaves)) {
		say("it refers to %v, its leaves are %v", got, sortedKeys(leaves))
	}
}

func checkNode(c *column, ast any, leaves map[string]bool, say say) {
	switch node := ast.(type) {
	case float64:
	case string:
		leaves[node] = true
		if c.layer.column(node) == nil || node == c.id {
			say("the leaf %q is no other column of the layer", node)
		}
	case map[string]any:
		if name := text(node, "name"); text(node, "type") != "function" || !oneOf(name, mathNames) {
			say("%q is no function", name)
		}
		if len(elements(node, "args")) == 0 {
			say("%q has no arguments", text(node, "name"))
		}
		for _, arg := range elements(node, "args") {
			checkNode(c, arg, leaves, say)
		}
	default:
		say("%v is neither a number, a column nor a function", ast)
	}
}
