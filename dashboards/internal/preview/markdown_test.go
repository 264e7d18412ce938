package preview

import (
	"fmt"
	"testing"
)

func TestMarkdown(t *testing.T) {
	plain := func(text string) span { return span{Text: text} }
	for text, want := range map[string][]block{
		"one\ntwo\n\nthree": {{Items: [][]span{{plain("one two")}}}, {Items: [][]span{{plain("three")}}}},
		"## Head":           {{Heading: 2, Items: [][]span{{plain("Head")}}}},
		"- a\n- **b**\n1. c": {
			{List: true, Items: [][]span{{plain("a")}, {{Text: "b", Bold: true}}}},
			{List: true, Ordered: true, Items: [][]span{{plain("c")}}},
		},
		"x `a*b*` *y* [z](javascript:alert(1))": {{Items: [][]span{{
			plain("x "),
			{Text: "a*b*", Code: true},
			plain(" "),
			{Text: "y", Soft: true},
			plain(" "),
			{Text: "z", Link: true},
			plain(")"),
		}}}},
		"```\na <b>\n  c\n```\nd": {{Code: "a <b>\n  c"}, {Items: [][]span{{plain("d")}}}},
		"<b>no</b>":               {{Items: [][]span{{plain("<b>no</b>")}}}},
		"":                        nil,
	} {
		if got := markdown(text); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%q is\n%+v, want\n%+v", text, got, want)
		}
	}
}
