package dashboards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// reference names an object in Kibana.
type reference struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// confirm asks Kibana for what it has imported. The way is an export, since that
// is public in every Kibana, where reading single objects is deprecated and
// serverless refuses it; and since an export follows all references, of which an
// import checks only those to data views and searches.
//
// What was imported is imported: that the question could not be asked is only a
// warning.
func (k *kibana) confirm(ctx context.Context, report *Report) error {
	query := struct {
		Objects []reference `json:"objects"`
		Deep    bool        `json:"includeReferencesDeep"`
	}{Deep: true}
	for i := range report.Objects {
		query.Objects = append(query.Objects, reference{Type: report.Objects[i].Type, ID: report.Objects[i].StoredAs})
	}
	body, err := json.Marshal(query)
	if err != nil {
		return &ImportError{Kind: ErrAnswer, Text: "the imported objects cannot be asked for", Err: err}
	}
	a, err := k.do(ctx, http.MethodPost, k.root()+"/api/saved_objects/_export", "application/json", body)
	var e *ImportError
	if ctx.Err() != nil && errors.As(err, &e) {
		e.Text = "Kibana reported success, which could not be confirmed: " + e.Text
		return e
	}
	unconfirmed := func(err error) {
		report.Warnings = append(report.Warnings, "the import could not be confirmed: "+strings.TrimPrefix(err.Error(), "dashboards: "))
	}
	switch {
	case err != nil:
		unconfirmed(err)
	case a.status == http.StatusBadRequest:
		if gone := a.notFound(); len(gone) > 0 {
			return report.notStored(gone)
		}
		unconfirmed(k.failure(ErrAnswer, a, "Kibana answers"))
	case a.status != http.StatusOK:
		unconfirmed(k.failure(ErrAnswer, a, "Kibana answers"))
	default:
		found, ok := a.export()
		if !ok {
			unconfirmed(errors.New("the answer is not an export"))
			return nil
		}
		return k.compare(report, found)
	}
	return nil
}

// notFound lists the objects that an export was refused for, since they do not
// exist.
func (a *answer) notFound() map[reference]bool {
	var refusal struct {
		Attributes struct {
			Objects []struct {
				reference
				Error struct{ StatusCode int }
			}
		}
	}
	gone := map[reference]bool{}
	if json.Unmarshal(a.body, &refusal) == nil {
		for _, o := range refusal.Attributes.Objects {
			if o.Error.StatusCode == http.StatusNotFound {
				gone[o.reference] = true
			}
		}
	}
	return gone
}

// exported is what an export holds.
type exported struct {
	objects map[reference]bool
	missing []reference // what they refer to and Kibana does not have
}

// export reads an export, whose last line says what it misses.
func (a *answer) export() (found exported, ok bool) {
	found.objects = map[reference]bool{}
	for line := range bytes.Lines(a.body) {
		var o struct {
			reference
			ExportedCount     *int
			MissingReferences []reference
		}
		if json.Unmarshal(line, &o) != nil {
			return found, false
		}
		if o.ExportedCount != nil {
			found.missing = o.MissingReferences
			ok = true
			continue
		}
		found.objects[o.reference] = true
	}
	return found, ok
}

// compare looks for each object of a report in an export.
func (k *kibana) compare(report *Report, found exported) error {
	gone := map[reference]bool{}
	for i := range report.Objects {
		o := reference{Type: report.Objects[i].Type, ID: report.Objects[i].StoredAs}
		if !found.objects[o] {
			gone[o] = true
		}
	}
	if len(gone) > 0 {
		return report.notStored(gone)
	}
	if len(found.missing) == 0 {
		return nil
	}
	names := make([]string, len(found.missing))
	for i, m := range found.missing {
		names[i] = k.words(m.Type + ":" + m.ID)
	}
	return &ImportError{
		Kind: ErrMissingReferences, Status: http.StatusOK,
		Text: "the dashboards were imported, but refer to objects that Kibana does not have: " + strings.Join(names, ", "),
	}
}

// notStored: Kibana said that it had imported what it does not have, and what the
// report therefore loses.
func (r *Report) notStored(gone map[reference]bool) error {
	e := &ImportError{
		Kind: ErrNotStored, Status: http.StatusOK,
		Text: fmt.Sprintf("Kibana reported success, but does not have %d of %d objects", len(gone), len(r.Objects)),
	}
	r.Objects = slices.DeleteFunc(r.Objects, func(o Object) bool {
		lost := gone[reference{Type: o.Type, ID: o.StoredAs}]
		if lost {
			e.Objects = append(e.Objects, ObjectProblem{Type: o.Type, ID: o.StoredAs, Title: o.Title, Reason: "not_found"})
		}
		return lost
	})
	return e
}
