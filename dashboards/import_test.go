package dashboards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKibana: the copy is the caller's.
func TestKibana(t *testing.T) {
	file := Kibana()
	clear(file)
	if bytes.Equal(file, Kibana()) || len(savedObjects(Kibana())) == 0 {
		t.Error("the file can be changed, or is empty")
	}
}

// answering is a client whose requests never leave the process.
type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func (a answering) client() *http.Client { return &http.Client{Transport: a} }

func answered(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// TestErrors: each error is of its kind, tells the status and wraps its cause.
func TestErrors(t *testing.T) {
	const status = `{"status":{},"version":{"number":"9.0.0"}}`
	cause := errors.New("the cable is cut")
	kinds := []error{
		ErrOptions, ErrUnreachable, ErrUnavailable, ErrAnswer, ErrAuth, ErrVersion, ErrSpace, ErrConflict, ErrMissingReferences, ErrRefused, ErrNotStored,
	}
	for _, c := range []struct {
		name    string
		address string
		options KibanaOptions
		answer  func(*http.Request) (*http.Response, error)
		want    error
		status  int
		cause   error
		text    string
	}{
		{name: "address", address: "kibana", want: ErrOptions, text: "dashboards: Kibana's address must start"},
		{name: "two credentials", options: KibanaOptions{APIKey: "k", User: "u"}, want: ErrOptions, text: "one of them suffices"},
		{name: "no password", options: KibanaOptions{User: "u"}, want: ErrOptions, text: "one of them is empty"},
		{name: "no user", options: KibanaOptions{Password: "p"}, want: ErrOptions, text: "one of them is empty"},
		{name: "space", options: KibanaOptions{Space: "a/../b"}, want: ErrSpace, text: `"a/../b" is not the id`},
		{name: "empty file", options: KibanaOptions{File: []byte{}}, want: ErrRefused, text: "no saved object"},
		{
			name: "unreachable", want: ErrUnreachable, cause: cause, text: "the cable is cut",
			answer: func(*http.Request) (*http.Response, error) { return nil, cause },
		},
		{
			name: "timeout", want: ErrUnreachable, cause: context.DeadlineExceeded, text: "in time",
			answer: func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded },
		},
		{
			name: "unavailable", want: ErrUnavailable, status: 503, text: "503 Service Unavailable",
			answer: func(*http.Request) (*http.Response, error) { return answered(503, ""), nil },
		},
		{
			name: "conflict", want: ErrConflict, status: 200,
			text: "; dashboard a (A) exists already, or was changed at the same moment; dashboard b could overwrite any of dashboard:c, dashboard:d",
			answer: func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					return answered(200, status), nil
				}
				return answered(200, `{"success":false,"errors":[{"type":"dashboard","id":"a","meta":{"title":"A"},"error":{"type":"conflict"}},`+
					`{"type":"dashboard","id":"b","error":{"type":"ambiguous_conflict","destinations":[{"id":"c"},{"id":"d"}]}}]}`), nil
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.address == "" {
				c.address = "http://kibana.example"
			}
			if c.answer == nil {
				c.answer = func(*http.Request) (*http.Response, error) { panic("something was sent") }
			}
			c.options.Client = answering(c.answer).client()
			report, err := ImportKibana(t.Context(), c.address, c.options)
			var failure *ImportError
			if report != nil || !errors.As(err, &failure) {
				t.Fatalf("%+v, %v", report, err)
			}
			for _, kind := range kinds {
				if is := errors.Is(err, kind); is != (kind == c.want) {
					t.Errorf("Is(%v) is %v", kind, is)
				}
			}
			if failure.Status != c.status || !strings.Contains(err.Error(), c.text) || c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("status %d, %v", failure.Status, err)
			}
		})
	}
}

// TestReportBesideError: what Kibana has stored is told although the import failed.
func TestReportBesideError(t *testing.T) {
	const (
		file = `{"type":"dashboard","id":"a","attributes":{"title":"A"}}` + "\n" + `{"type":"dashboard","id":"b","attributes":{"title":"B"}}` + "\n"
		done = `{"success":true,"successResults":[{"type":"dashboard","id":"a","destinationId":"c","overwrite":true}],"warnings":[{"message":"beware"}]}`
	)
	// said is what Kibana says of b, having created a or having said so.
	said := func(reason string) string {
		return `{"success":false,"successCount":1,"successResults":[{"type":"dashboard","id":"a","destinationId":"c","overwrite":true}],` +
			`"errors":[{"type":"dashboard","id":"b","error":{"type":"` + reason + `"}}],"warnings":[{"message":"beware"}]}`
	}
	for _, c := range []struct {
		name           string
		imported       string
		exportStatus   int
		exported       string
		cancel         bool
		want           error
		objects, wrong []string // as Title:StoredAs, and ids
		none           bool     // no report
	}{
		{
			name: "ended before the confirmation", imported: done, cancel: true, want: ErrUnreachable, objects: []string{"A:c", "B:b"},
		},
		{
			name: "one is not found", imported: done, exportStatus: 400, want: ErrNotStored, objects: []string{"A:c"}, wrong: []string{"b"},
			exported: `{"attributes":{"objects":[{"type":"dashboard","id":"b","error":{"statusCode":404}}]}}`,
		},
		{
			name: "one is not exported", imported: done, exportStatus: 200, want: ErrNotStored, objects: []string{"B:b"}, wrong: []string{"c"},
			exported: `{"type":"dashboard","id":"b"}` + "\n" + `{"exportedCount":1}`,
		},
		{
			name: "none is exported", imported: done, exportStatus: 200, exported: `{"exportedCount":0}`, want: ErrNotStored, wrong: []string{"c", "b"},
		},
		{
			name: "a reference leads nowhere", imported: done, exportStatus: 200, want: ErrMissingReferences, objects: []string{"A:c", "B:b"},
			exported: `{"type":"dashboard","id":"b"}` + "\n" + `{"type":"dashboard","id":"c"}` + "\n" + `{"exportedCount":2,"missingReferences":[{"type":"tag","id":"t"}]}`,
		},
		{name: "one is of an unknown type", imported: said("unsupported_type"), want: ErrRefused, objects: []string{"A:c"}, wrong: []string{"b"}},
		{name: "one is changed by another", imported: said("conflict"), want: ErrConflict, objects: []string{"A:c"}, wrong: []string{"b"}},
		// After these Kibana creates nothing.
		{name: "one refers to nothing", imported: said("missing_references"), want: ErrMissingReferences, none: true, wrong: []string{"b"}},
		{name: "one is ambiguous", imported: said("ambiguous_conflict"), want: ErrConflict, none: true, wrong: []string{"b"}},
		{name: "no word of any", imported: `{"success":false,"successCount":1}`, want: ErrRefused, none: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client := answering(func(r *http.Request) (*http.Response, error) {
				switch {
				case r.Method == http.MethodGet:
					return answered(200, `{"status":{},"version":{"number":"9.0.0"}}`), nil
				case strings.HasSuffix(r.URL.Path, "/_import"):
					return answered(200, c.imported), nil
				case c.cancel:
					cancel()
					return nil, ctx.Err()
				}
				return answered(c.exportStatus, c.exported), nil
			}).client()
			report, err := ImportKibana(ctx, "http://kibana.example", KibanaOptions{File: []byte(file), Client: client})
			var failure *ImportError
			if !errors.As(err, &failure) || !errors.Is(err, c.want) || (report == nil) != c.none {
				t.Fatalf("%+v, %v", report, err)
			}
			var wrong, objects []string
			for _, o := range failure.Objects {
				wrong = append(wrong, o.ID)
			}
			if !slices.Equal(wrong, c.wrong) {
				t.Errorf("the error names %q, want %q", wrong, c.wrong)
			}
			if c.none {
				return
			}
			for _, o := range report.Objects {
				objects = append(objects, o.Title+":"+o.StoredAs)
				if o.URL != "http://kibana.example/app/dashboards#/view/"+o.StoredAs || o.Overwritten != (o.ID == "a") {
					t.Errorf("%+v", o)
				}
			}
			if !slices.Equal(objects, c.objects) || report.Version != "9.0.0" {
				t.Errorf("the report of %s has %q, want %q", report.Version, objects, c.objects)
			}
			if want := []string{"beware"}; !slices.Equal(report.Warnings, want) {
				t.Errorf("warnings %q, want %q", report.Warnings, want)
			}
		})
	}
}

// TestObjectProblem: package fmt finds the words, in a slice, too.
func TestObjectProblem(t *testing.T) {
	p := ObjectProblem{Type: "tag", ID: "t", Reason: "unsupported_type"}
	const want = "tag t is of a type that this Kibana does not import"
	if got := fmt.Sprint(p, []ObjectProblem{p}); got != want+" ["+want+"]" {
		t.Error(got)
	}
}

// TestClient: the caller's client is used with its timeout, not changed, and not
// allowed to follow redirects.
func TestClient(t *testing.T) {
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/status" {
			w.Header().Set("Location", "/api/status")
			w.WriteHeader(http.StatusFound)
			return
		}
		<-r.Context().Done()
	}))
	defer hanging.Close()
	client := &http.Client{Timeout: 50 * time.Millisecond}
	_, err := ImportKibana(t.Context(), hanging.URL, KibanaOptions{Client: client})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("no answer: %v", err)
	}
	client.Timeout = 0
	_, err = ImportKibana(t.Context(), hanging.URL+"/base", KibanaOptions{Client: client})
	if !errors.Is(err, ErrAnswer) || client.CheckRedirect != nil {
		t.Errorf("a redirect: %v", err)
	}
}

// TestParseVersion.
func TestParseVersion(t *testing.T) {
	for version, want := range map[string][]int{
		"8.12.0": {8, 12}, "9.10.1-SNAPSHOT": {9, 10}, "10.0.0-rc1": {10, 0}, "8.12": nil, "8.12.x": nil, "8.-1.0": nil, "": nil, "8.12.0.1": nil, "v8.12.0": nil,
	} {
		major, minor, ok := parseVersion(version)
		if ok != (want != nil) || ok && !slices.Equal([]int{major, minor}, want) {
			t.Errorf("%q is %d.%d, %v", version, major, minor, ok)
		}
	}
}
