package lint

import "testing"

func FuzzFile(f *testing.F) {
	// The whole file would keep the fuzzer busy with making it smaller.
	d := newDraft()
	d.one.panels, d.two.panels = nil, []m{bar(), ratio()}
	f.Add(d.write())
	f.Add([]byte(`{"type":"dashboard","attributes":{"panelsJSON":"[{\"type\":\"lens\"}, 1, null]"}}`))
	f.Add([]byte("null\n[]\n{\"exportedCount\":[]}"))
	f.Add([]byte(`{"type":"dashboard","attributes":{"panelsJSON":"[{\"type\":\"lens\",\"embeddableConfig\":{\"attributes\":{\"visualizationType\":` +
		`\"lnsXY\",\"state\":{\"visualization\":{\"layers\":[1]},\"datasourceStates\":{\"formBased\":{\"layers\":{\"a\":{\"columns\":{` +
		`\"f\":{\"operationType\":\"formula\",\"params\":{\"formula\":\"((1\"}},\"fX0\":{\"operationType\":\"math\"}}}}}}}}}}]"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, finding := range File(data, Options{FieldType: fieldType}) {
			if finding.Rule == "" || finding.Where == "" || finding.Text == "" {
				t.Fatalf("a finding that says nothing: %#v", finding)
			}
		}
	})
}

func FuzzFormula(f *testing.F) {
	for _, formula := range []string{
		"count()", "count(kql='a: \\'b\\'') / (sum(x, shift='1w') + 1)", "counter_rate(max(x))", "-1 * abs(average('a b'))", "((", "count(",
	} {
		f.Add(formula)
	}
	f.Fuzz(func(t *testing.T, formula string) {
		e, err := parseFormula(formula)
		if (e == nil) == (err == nil) {
			t.Fatalf("%q: %v and %v", formula, e, err)
		}
	})
}
