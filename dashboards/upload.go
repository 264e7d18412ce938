package dashboards

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
)

// savedObject is what an import needs to know of an object in the file.
type savedObject struct {
	Type, ID   string
	Attributes struct{ Title, Name string }
}

// title is what Kibana calls the object: the name of a data view, whose title is
// its pattern.
func (o *savedObject) title() string { return cmp.Or(o.Attributes.Name, o.Attributes.Title) }

// savedObjects lists those of a file. Lines that are none, as the last one of an
// export, are left to Kibana's judgement.
func savedObjects(file []byte) []savedObject {
	var objects []savedObject
	for line := range bytes.Lines(file) {
		var o savedObject
		if json.Unmarshal(line, &o) == nil && o.Type != "" && o.ID != "" {
			objects = append(objects, o)
		}
	}
	return objects
}

// importAnswer is that of _import; status 200 says nothing of success.
type importAnswer struct {
	Success        *bool
	SuccessCount   int
	SuccessResults []struct {
		Type, ID      string
		DestinationID string `json:"destinationId"`
		Overwrite     bool
	}
	Errors   []importFailure
	Warnings []struct{ Message string }
}

type importFailure struct {
	Type, ID string
	Meta     struct{ Title string }
	Error    struct {
		Type          string
		Message       string
		DestinationID string `json:"destinationId"`
		Destinations  []struct{ ID string }
		References    []struct{ Type, ID string }
	}
}

// has says whether an object was not imported for a reason.
func (a *importAnswer) has(reason string) bool {
	return slices.ContainsFunc(a.Errors, func(f importFailure) bool { return f.Error.Type == reason })
}

// createdNothing: Kibana looks for missing references and ambiguous conflicts
// first, and creates nothing if there are any, whatever it says of success.
func (a *importAnswer) createdNothing() bool {
	return a.has("missing_references") || a.has("ambiguous_conflict")
}

// upload imports the file. Beside an error the report is that of what was imported
// in spite of it.
func (k *kibana) upload(ctx context.Context, file []byte, objects []savedObject) (*Report, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	// Kibana refuses names that do not end in .ndjson.
	part, err := form.CreateFormFile("file", "apmws.ndjson")
	if err == nil {
		_, err = part.Write(file)
	}
	if err = cmp.Or(err, form.Close()); err != nil {
		return nil, &ImportError{Kind: ErrRefused, Text: "the file cannot be sent", Err: err}
	}
	a, err := k.do(ctx, http.MethodPost, k.root()+"/api/saved_objects/_import?overwrite=true", form.FormDataContentType(), body.Bytes())
	if err != nil {
		return nil, halfway(err)
	}
	if a.status != http.StatusOK {
		return nil, k.notImported(a)
	}
	var result importAnswer
	if err := k.decode(a, &result); err != nil {
		return nil, halfway(err)
	}
	if result.Success == nil {
		return nil, &ImportError{Kind: ErrAnswer, Status: a.status, Text: k.base + " does not say whether it has imported the file"}
	}
	if !*result.Success || len(result.Errors) > 0 {
		return k.part(&result, objects), k.failed(&result, len(objects))
	}
	return k.report(&result, objects), nil
}

// halfway adds to an error that broke off the import what it leaves behind.
func halfway(err error) error {
	var e *ImportError
	broken := errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAnswer) || errors.Is(err, ErrUnavailable)
	if broken && errors.As(err, &e) {
		e.Text += "; whether the file was imported is not known, and importing it again does no harm"
	}
	return err
}

// notImported: an answer other than 200, after which nothing is stored.
func (k *kibana) notImported(a *answer) error {
	switch a.status {
	case http.StatusBadRequest:
		return k.failure(ErrRefused, a, "Kibana refuses the file:")
	case http.StatusForbidden:
		where := "in the default space"
		if k.space != "" {
			where = fmt.Sprintf("in the space %q, or there is no such space", k.space)
		}
		return k.failure(ErrAuth, a, "the API key or the user may not import dashboards "+where+"; Kibana says")
	case http.StatusNotFound:
		if k.space != "" {
			return k.noSpace(a)
		}
	case http.StatusRequestEntityTooLarge:
		return k.failure(ErrRefused, a, "the file is larger than Kibana takes (savedObjects.maxImportPayloadBytes), or a proxy before it:")
	case http.StatusUnprocessableEntity:
		return k.failure(ErrVersion, a, "the file is for a newer Kibana than "+k.base+", which is version "+k.version+":")
	}
	return k.failure(ErrAnswer, a, "Kibana answers the import with")
}

// failed: what success false means, of which the object errors say why.
func (k *kibana) failed(result *importAnswer, count int) error {
	e := &ImportError{Kind: ErrRefused, Status: http.StatusOK}
	for i := range result.Errors {
		e.Objects = append(e.Objects, k.problem(&result.Errors[i]))
	}
	switch {
	case result.has("missing_references"):
		e.Kind = ErrMissingReferences
		e.Text = "Kibana imported nothing, since the file refers to objects that are missing"
	case result.has("ambiguous_conflict"):
		e.Kind = ErrConflict
		e.Text = "Kibana imported nothing, since it cannot tell which of its objects to overwrite"
	case result.has("conflict"):
		// In spite of overwrite this happens while Kibana creates.
		e.Kind = ErrConflict
		e.Text = "Kibana could not overwrite all objects; it may have imported the others"
	case result.SuccessCount > 0:
		e.Text = fmt.Sprintf("Kibana imported only %d of %d objects", result.SuccessCount, count)
	default:
		e.Text = "Kibana imported nothing"
	}
	if len(e.Objects) == 0 {
		e.Text += ", and does not say why"
	}
	return e
}

func (k *kibana) problem(f *importFailure) ObjectProblem {
	o := ObjectProblem{
		Type: k.words(f.Type), ID: k.words(f.ID), Title: k.words(f.Meta.Title),
		Reason: k.words(f.Error.Type), Message: k.words(f.Error.Message),
	}
	if id := f.Error.DestinationID; id != "" {
		o.Related = append(o.Related, k.words(f.Type+":"+id))
	}
	for _, d := range f.Error.Destinations {
		o.Related = append(o.Related, k.words(f.Type+":"+d.ID))
	}
	for _, r := range f.Error.References {
		o.Related = append(o.Related, k.words(r.Type+":"+r.ID))
	}
	return o
}

// part is the report of an import that failed for some objects. It holds those
// that Kibana says it has created, and is nil without any.
func (k *kibana) part(result *importAnswer, objects []savedObject) *Report {
	if result.createdNothing() {
		return nil
	}
	created := map[reference]bool{}
	for _, s := range result.SuccessResults {
		created[reference{Type: s.Type, ID: s.ID}] = true
	}
	var stored []savedObject
	for _, o := range objects {
		if created[reference{Type: o.Type, ID: o.ID}] {
			stored = append(stored, o)
		}
	}
	if stored == nil {
		return nil
	}
	return k.report(result, stored)
}

// report joins what Kibana says with what is in the file.
func (k *kibana) report(result *importAnswer, objects []savedObject) *Report {
	r := &Report{Version: k.version}
	for i := range objects {
		object := &objects[i]
		o := Object{Type: object.Type, ID: object.ID, Title: object.title(), StoredAs: object.ID}
		for _, s := range result.SuccessResults {
			if s.Type == o.Type && s.ID == o.ID {
				o.StoredAs = cmp.Or(k.words(s.DestinationID), o.ID)
				o.Overwritten = s.Overwrite
			}
		}
		if o.Type == "dashboard" {
			o.URL = k.root() + "/app/dashboards#/view/" + url.PathEscape(o.StoredAs)
		}
		r.Objects = append(r.Objects, o)
	}
	for _, w := range result.Warnings {
		r.Warnings = append(r.Warnings, k.words(w.Message))
	}
	return r
}
