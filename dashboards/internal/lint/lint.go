package lint

import "fmt"

// Finding is a fault.
type Finding struct {
	Rule  string // the rule's name
	Where string // the object's id, the panel's title, the layer and the column, as far as they apply
	Text  string // what is wrong there
}

// String returns all of it in one line.
func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Where, f.Rule, f.Text) }

// Options are what the file alone does not tell.
type Options struct {
	// FieldType returns the type that Elasticsearch gives a field (keyword, long,
	// histogram, …), and whether there is such a field, in the indices of a data
	// view, which is told by its id. Nil switches the rules about it off: field-known,
	// field-type and field-success-count.
	FieldType func(dataView, field string) (typ string, ok bool)
}

// Rule is what is demanded of a file.
type Rule struct {
	Name string
	Text string // what would break, and where
}

// File returns what is wrong with a file of saved objects, one object in a line. It
// never fails: what cannot be read is a finding. The order is that of Rules, and
// within a rule that of the file.
func File(ndjson []byte, opts Options) []Finding {
	f := read(ndjson, opts)
	var findings []Finding
	for _, r := range rules() {
		r.run(f, func(where, format string, args ...any) {
			findings = append(findings, Finding{r.Name, where, fmt.Sprintf(format, args...)})
		})
	}
	return findings
}

// Rules returns every rule.
func Rules() []Rule {
	var all []Rule
	for _, r := range rules() {
		all = append(all, r.Rule)
	}
	return all
}

// rule is a Rule with its check, one of these.
type rule struct {
	Rule
	file      func(*file, sayAt)
	object    func(*object, say)
	dashboard func(*object, say)
	panel     func(*panel, say)
	lens      func(*lens, say)
	layer     func(*layer, say)
	column    func(*column, say)
}

// sayAt reports a finding, say one whose place is known.
type (
	sayAt func(where, format string, args ...any)
	say   func(format string, args ...any)
)

// at makes a say of a sayAt.
func (s sayAt) at(place interface{ where() string }) say {
	return func(format string, args ...any) { s(place.where(), format, args...) }
}

func rules() []rule {
	var all []rule
	for _, some := range [][]rule{
		fileRules(), objectRules(), attributeRules(), dataViewRules(), searchRules(), referenceRules(), gridRules(), foldRules(),
		panelRules(), navigationRules(), controlRules(), lensRules(), nameRules(), accessorRules(), drawingRules(), layerRules(), columnRules(),
		paramRules(), termsRules(), queryRules(), formatRules(), formulaRules(), fieldRules(), projectRules(), saidRules(),
	} {
		all = append(all, some...)
	}
	return all
}

// run checks everything that the rule is about.
func (r rule) run(f *file, report sayAt) {
	if r.file != nil {
		r.file(f, report)
	}
	for _, o := range f.objects {
		if r.object != nil {
			r.object(o, report.at(o))
		}
		if r.dashboard != nil && o.typ == typeDashboard {
			r.dashboard(o, report.at(o))
		}
		for _, p := range o.panels {
			if r.panel != nil {
				r.panel(p, report.at(p))
			}
			if p.lens != nil {
				r.runLens(p.lens, report)
			}
		}
	}
}

func (r rule) runLens(l *lens, report sayAt) {
	if r.lens != nil {
		r.lens(l, report.at(l.panel))
	}
	for _, layer := range l.layers {
		if r.layer != nil {
			r.layer(layer, report.at(layer))
		}
		for _, c := range layer.columns {
			if r.column != nil {
				r.column(c, report.at(c))
			}
		}
	}
}
