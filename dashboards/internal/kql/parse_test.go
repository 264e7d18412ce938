package kql

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseErrors(t *testing.T) {
	for query, want := range map[string]string{
		"a:":                   "character 3: a value is missing, the query ends",
		"a: ":                  "character 4: a value is missing, the query ends",
		": b":                  `character 1: a field or a value is missing, found ':'`,
		"a: b and ":            "character 10: a field or a value is missing, the query ends",
		"not not a: b":         "character 5: a field or a value is missing, found 'n'",
		"not(a: b)":            "character 4: ",
		"(a: b":                "character 6: the parenthesis of character 1 is not closed, the query ends",
		"a: b)":                "character 5: ",
		"()":                   "character 2: ",
		"a: ()":                "character 5: a value is missing, found ')'",
		"a: (b: c)":            "character 6: the parenthesis of character 4 is not closed, found ':'",
		"a: (b or c":           "character 11: ",
		`a: "b`:                "character 4: the quotation mark is not closed",
		`a: "b\"`:              "character 4: the quotation mark is not closed",
		`a: "b" c`:             "character 8: ",
		"a: b: c":              "character 5: ",
		"ä: b: c":              "character 5: ", // characters, not bytes
		"a: { b: c }":          "character 4: nested groups are not used here",
		"a { b }":              "character 3: ",
		"a > ":                 "character 5: the end of the range is missing, the query ends",
		"a > *":                "character 5: the end of a range has no wildcard",
		"a > (1 or 2)":         "character 5: the end of the range is missing, found '('",
		"a >> 1":               "character 4: ",
		"@timestamp > now-1h":  "character 14: computed dates are not used here",
		"@timestamp > now":     "character 14: computed dates are not used here",
		`t < "2024-01-01||/d"`: "character 5: computed dates",
		"a: null":              "character 4: nothing is null",
		"a > null":             "character 5: nothing is compared with null",
		`a: b\c`:               "character 5: a backslash that escapes nothing",
		`a: \ud800`:            "character 4: the code is no character",
		`a: "\u0000"`:          "character 5: the code is no character",
		// As in Kibana, the end of a word can be a keyword.
		"message: cannot say": "character 13: ",
		strings.Repeat("(", 101) + "a" + strings.Repeat(")", 101): "character 101: parentheses are nested deeper than 100",
	} {
		q, err := Parse(query)
		if err == nil {
			t.Errorf("%s: no error, but %s", query, q)
			continue
		}
		if !strings.HasPrefix(err.Error(), "kql: "+want) {
			t.Errorf("%s:\n got %v\nwant %s", query, err, want)
		}
	}
}

func TestString(t *testing.T) {
	for query, want := range map[string]string{
		"":                        "",
		" a : b ":                 "a: b",
		"a:b":                     "a: b",
		"a:b AND  c>1":            "a: b and c > 1",
		"a: (b or not c)":         "a: b or not a: c",
		"(a: b)":                  "a: b",
		"a: b and (c: d or e: f)": "a: b and (c: d or e: f)",
		"a: b or c: d and e: f":   "a: b or (c: d and e: f)",
		"not (a: b and not c: d)": "not (a: b and not c: d)",
		"not (not a: b)":          "not (not a: b)",
		`"a": "b c"`:              `"a": "b c"`,
		`a: b c`:                  "a: b c",
		`a: \(b\) \* *`:           `a: \(b\) \* *`,
		`a: b \or c`:              `a: b \or c`,
		`a: b \and`:               `a: b \and`,
		`a: b \u006eot c`:         `a: b \u006eot c`,
		`a: order nothing`:        "a: order nothing",
		`a: "\t\"\\ \d"`:          "a: \"\t\\\"\\\\ \\\\d\"",
		// A word that has nothing to join is a value, or a part of one.
		"a: b and":                      `a: b \and`,
		"and a: b":                      `\and a: b`,
		"a: b or or ":                   `a: b or \or`,
		`a: b\tc`:                       `a: b\tc`,
		"labels.*: (x or y) and z >= 1": "(labels.*: x or labels.*: y) and z >= 1",
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := q.String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestFields(t *testing.T) {
	q, err := Parse(`b: 1 and (a > 2 or not labels.*: x) and b: (3 or 4) and "c d": * and bare`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := q.Fields(), []string{"b", "a", "labels.*", "c d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if q, err = Parse(""); err != nil || len(q.Fields()) != 0 {
		t.Errorf("%v %v", q.Fields(), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, query := range []string{
		"", "a: b", `"a": "b\"" and not c: (d or e* and not f)`, "a >= 1 or b: {c: d}", `x: \or \u0041 \* and`, "a: not ", "a: \\not",
		"a: b  and\u00a0c: d", "cannot say", "a: \\u006eot *not or* and*",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := Parse(query)
		if err != nil {
			return
		}
		q.Match(map[string]any{"a": "b", "message": "x y", "c": []any{1.0, true}})
		again, err := Parse(q.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", query, q, err)
		}
		if !reflect.DeepEqual(q, again) {
			t.Fatalf("%q became %q became %q", query, q, again)
		}
	})
}
