package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAdvice: what to do fits what was done, with the file of the command and with
// one's own.
func TestAdvice(t *testing.T) {
	const (
		post   = "POST /api/saved_objects/_import"
		export = "POST /api/saved_objects/_export"
	)
	answers := func(request string, answer http.HandlerFunc) func(*standIn) {
		return func(s *standIn) { s.at(request, answer) }
	}
	lacks := `{"exportedCount":0,"missingReferences":[]}`
	refers := `{"success":false,"errors":[{"type":"dashboard","id":"a","error":{"type":"missing_references","references":[{"type":"search","id":"b"}]}}]}`
	tooNew := says(422, `{"message":"belongs to a more recent version of Kibana"}`)
	for _, c := range []struct {
		name        string
		kibana      func(*standIn)
		own         bool
		status      int
		advice, not string
	}{
		{"not stored", answers(export, says(200, lacks)), false, 1, "run the import again: something may have deleted the objects", "-print"},
		{"own, not stored", answers(export, says(200, lacks)), true, 1, "run the import again: something may have deleted the objects", "-print"},
		{"refused", answers(post, says(400, "")), false, 1, "The file is this command's own: please report", "-print"},
		{"own, refused", answers(post, says(400, "")), true, 1, "mend the file by what is said above", "report"},
		{"too large", func(s *standIn) { s.maxPayload = 100 }, false, 1, "raise the limit of Kibana", "report"},
		{"own, too large", func(s *standIn) { s.maxPayload = 100 }, true, 1, "raise the limit of Kibana", "mend"},
		{"too new", answers(post, tooNew), false, 5, "The file is made for 8.12 and newer: if this one is, please report", "no other file"},
		{"own, too new", answers(post, tooNew), true, 5, "export the file from a Kibana that is not newer than this one", "no other file"},
		{"too old", func(s *standIn) { s.version = "8.11.4" }, false, 5, "there is no other file for them", "export"},
		{"own, too old", func(s *standIn) { s.version = "8.11.4" }, true, 5, "import the file by Kibana's own page", "no other file"},
		{"missing references", answers(post, says(200, refers)), false, 3, "the objects named above were deleted while it was imported", "-print"},
		{"own, missing references", answers(post, says(200, refers)), true, 3, "add the objects named above to the file", "deleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := unstarted()
			c.kibana(s)
			s.start(t, httptest.NewServer)
			args := []string{"-kibana", s.url}
			if c.own {
				args = append(args, "-file", written(t, []byte(whole)))
			}
			o := command(t, withKey, args...)
			o.has(t, c.status)
			_, advice, _ := strings.Cut(o.err, "What to do: ")
			if !strings.Contains(advice, c.advice) || strings.Contains(advice, c.not) {
				t.Errorf("the advice is %q, want %q and not %q", advice, c.advice, c.not)
			}
		})
	}
}

// TestImportedAllTheSame: what a failed import leaves is told, with its addresses
// and warnings.
func TestImportedAllTheSame(t *testing.T) {
	for _, c := range []struct {
		name   string
		kibana func(*standIn)
		file   string
		status int
		says   string
		lost   string // the dashboard whose address is not told
	}{
		{"one lost", func(s *standIn) { s.forgotten = []string{"first"} }, whole, 1, "3 objects", "first"},
		{"a missing dashboard", nil, dataView + search + first, 3, "3 objects", "second"},
		{"one refused", func(s *standIn) { s.changing = []string{"first"} }, whole, 2, "3 objects", "first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := unstarted()
			s.warnings = []string{"Mind the gap"}
			if c.kibana != nil {
				c.kibana(s)
			}
			s.start(t, httptest.NewServer)
			o := command(t, withKey, "-kibana", s.url, "-file", written(t, []byte(c.file)))
			o.has(t, c.status, "Imported all the same into Kibana 8.12.0: "+c.says+", 0 of which were there before.", "Warning: Mind the gap.")
			for _, id := range []string{"first", "second"} {
				url := s.url + "/app/dashboards#/view/" + id + "\n"
				if told, want := strings.Contains(o.err, url), id != c.lost; told != want {
					t.Errorf("%s is told: %v\n%s", id, told, o.err)
				}
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		s := newStandIn(t)
		s.forgotten = []string{"view"}
		o := command(t, withKey, "-kibana", s.url, "-file", written(t, []byte(dataView)))
		o.has(t, 1, "does not have 1 of 1 objects")
		if strings.Contains(o.err, "all the same") {
			t.Errorf("nothing is told to be imported: %s", o.err)
		}
	})
}
