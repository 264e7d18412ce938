package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards"
)

// outcome is what a run of the command left.
type outcome struct {
	status   int
	out, err string
}

// command runs the command, and fails when it says anything secret.
func command(t *testing.T, environment map[string]string, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	o := outcome{status: run(t.Context(), args, func(name string) string { return environment[name] }, &out, &err)}
	o.out, o.err = out.String(), err.String()
	for _, secret := range []string{apiKey, password, basic, "pa55word"} {
		if strings.Contains(o.out+o.err, secret) {
			t.Errorf("%q is in the output\n%s%s", secret, o.out, o.err)
		}
	}
	return o
}

// has compares with an exit status and phrases that must be said.
func (o outcome) has(t *testing.T, status int, phrases ...string) {
	t.Helper()
	if o.status != status {
		t.Errorf("exit status %d, want %d", o.status, status)
	}
	for _, phrase := range phrases {
		if !strings.Contains(o.out+o.err, phrase) {
			t.Errorf("%q is not said", phrase)
		}
	}
	if status != 0 && o.out != "" {
		t.Errorf("a failure wrote to standard output: %s", o.out)
	}
	if t.Failed() {
		t.Logf("stdout\n%s\nstderr\n%s", o.out, o.err)
	}
}

var withKey = map[string]string{"KIBANA_API_KEY": apiKey}

// A data view, a search of it and two dashboards that link to one another.
const (
	dataView = `{"type":"index-pattern","id":"view","attributes":{"title":"traces-*","name":"A view"},"references":[],"typeMigrationVersion":"8.0.0"}` + "\n"
	search   = `{"type":"search","id":"search","attributes":{"title":"A search"},"references":[{"type":"index-pattern","id":"view","name":"x"}]}` + "\n"
	first    = `{"type":"dashboard","id":"first","attributes":{"title":"First"},"references":[{"type":"search","id":"search","name":"x"},{"type":"dashboard","id":"second","name":"y"}],"typeMigrationVersion":"8.9.0"}` + "\n"
	second   = `{"type":"dashboard","id":"second","attributes":{"title":"Second"},"references":[{"type":"index-pattern","id":"view","name":"x"}],"typeMigrationVersion":"8.9.0"}` + "\n"
	details  = `{"excludedObjects":[],"excludedObjectsCount":0,"exportedCount":4,"missingRefCount":0,"missingReferences":[]}` + "\n"
	whole    = dataView + search + first + second + details
)

// TestImport: every answer that Kibana, or what stands in its place, may give.
func TestImport(t *testing.T) {
	const (
		status = "GET /api/status"
		post   = "POST /api/saved_objects/_import"
		export = "POST /api/saved_objects/_export"
		space  = "GET /api/spaces/space/team"
		query  = "?overwrite=true"
	)
	all := []string{status, post + query, export}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	page := says(http.StatusOK, "<!DOCTYPE html><title>Sign in</title>")
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"success":true,`))
	}
	for _, c := range []struct {
		name    string
		kibana  func(*standIn)
		file    string // default: the one of the package
		env     map[string]string
		args    []string
		status  int
		phrases []string
		arrived []string
	}{
		{
			name: "the embedded file", phrases: []string{"Imported into Kibana 8.12.0: ", "/app/dashboards#/view/apmws-overview", "0 of which were there before"}, arrived: all,
		},
		{
			name: "a file", file: whole, arrived: all,
			phrases: []string{"Imported into Kibana 8.12.0: 4 objects, 0 of which", "\nFirst\n  http://", "/app/dashboards#/view/first\n", "\nSecond\n"},
		},
		{
			name: "a user with a password of the environment", env: map[string]string{"KIBANA_PASSWORD": password}, args: []string{"-user", user}, arrived: all,
		},
		{
			name: "a user of the environment", env: map[string]string{"KIBANA_USER": user, "KIBANA_PASSWORD": password}, arrived: all,
		},
		{
			name: "a user with a password", env: map[string]string{}, args: []string{"-user", user + ":" + password}, arrived: all,
		},
		{
			name: "a flag before the environment", args: []string{"-user", user + ":" + password}, arrived: all,
		},
		{
			name: "a key as a flag", env: map[string]string{"KIBANA_USER": user}, args: []string{"-api-key", apiKey}, arrived: all,
		},
		{
			name: "no security", kibana: func(s *standIn) { s.open = true }, env: map[string]string{}, arrived: all,
		},
		{
			name: "a space", args: []string{"-space", "team"}, phrases: []string{"/s/team/app/dashboards#/view/apmws-overview"},
			arrived: []string{status, space, "POST /s/team/api/saved_objects/_import" + query, "POST /s/team/api/saved_objects/_export"},
		},
		{
			name: "the default space by its name", args: []string{"-space", "default"}, arrived: all,
		},
		{
			name: "a base path", kibana: func(s *standIn) { s.basePath = "/kibana" }, phrases: []string{"/kibana/app/dashboards#/view/"},
			arrived: []string{"GET /kibana/api/status", "POST /kibana/api/saved_objects/_import" + query, "POST /kibana/api/saved_objects/_export"},
		},
		{
			name: "a base path and a space", kibana: func(s *standIn) { s.basePath = "/kibana" }, args: []string{"-space", "team"},
			phrases: []string{"/kibana/s/team/app/dashboards#/view/"},
			arrived: []string{"GET /kibana/api/status", "GET /kibana/api/spaces/space/team", "POST /kibana/s/team/api/saved_objects/_import" + query, "POST /kibana/s/team/api/saved_objects/_export"},
		},
		{name: "the newest", kibana: func(s *standIn) { s.version = "9.5.1" }, arrived: all},
		{name: "a snapshot", kibana: func(s *standIn) { s.version = "8.12.0-SNAPSHOT" }, arrived: all},
		{name: "a candidate", kibana: func(s *standIn) { s.version = "9.0.0-rc1" }, arrived: all},
		{
			name: "serverless", kibana: func(s *standIn) { s.version, s.flavor = "8.11.0", "serverless" }, args: []string{"-space", "team"},
			arrived: []string{status, space, "POST /s/team/api/saved_objects/_import" + query, "POST /s/team/api/saved_objects/_export"},
		},
		{
			name: "too old", kibana: func(s *standIn) { s.version = "8.11.4" }, status: 5, arrived: []string{status},
			phrases: []string{"is version 8.11.4", "need 8.12.0 or newer", "update Kibana"},
		},
		{name: "far too old", kibana: func(s *standIn) { s.version = "7.17.29" }, status: 5, phrases: []string{"7.17.29"}, arrived: []string{status}},
		{name: "no version of Kibana's", kibana: func(s *standIn) { s.version = "newest" }, status: 1, phrases: []string{`"newest"`}, arrived: []string{status}},
		{
			name: "starting", kibana: func(s *standIn) { s.at(status, says(503, "Kibana server is not ready yet")) }, status: 1, arrived: []string{status},
			phrases: []string{"503", "Kibana server is not ready yet", "wait until Kibana is ready"},
		},
		{
			name: "before setup", kibana: func(s *standIn) { s.at(status, says(503, `{"status":"unavailable"}`)) }, status: 1, arrived: []string{status},
			phrases: []string{"Kibana is starting"},
		},
		{
			name: "overloaded while importing", kibana: func(s *standIn) { s.at(post, says(502, "<html>Bad Gateway</html>")) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"502 Bad Gateway (a web page)", "whether the file was imported is not known"},
		},
		{
			name: "a stranger", env: map[string]string{}, status: 4, arrived: []string{status},
			phrases: []string{"does not tell its version", "without an API key or a user", "KIBANA_API_KEY"},
		},
		{
			name: "a wrong key", env: map[string]string{"KIBANA_API_KEY": "d3Jvbmc6a2V5"}, status: 4, arrived: []string{status},
			phrases: []string{"whose API key or user it does not know"},
		},
		{
			name: "a wrong key where strangers are told the version", kibana: func(s *standIn) { s.anonymous = true }, env: map[string]string{"KIBANA_API_KEY": "d3Jvbmc6a2V5"},
			status: 4, arrived: []string{status, post + query}, phrases: []string{"does not answer to this API key", "missing authentication credentials"},
		},
		{
			name: "a wrong password where strangers are told the version", kibana: func(s *standIn) { s.anonymous = true },
			env: map[string]string{"KIBANA_USER": user, "KIBANA_PASSWORD": "wrong"}, args: []string{"-space", "team"},
			status: 4, arrived: []string{status, space}, phrases: []string{"does not answer to this user and password"},
		},
		{
			name: "no status for strangers", kibana: func(s *standIn) { s.at(status, says(401, "")) }, env: map[string]string{}, status: 4, arrived: []string{status},
			phrases: []string{"401 Unauthorized"},
		},
		{
			name: "forbidden status", kibana: func(s *standIn) { s.at(status, says(403, "no")) }, status: 4, arrived: []string{status}, phrases: []string{"403 Forbidden (no)"},
		},
		{
			name: "no rights", kibana: func(s *standIn) { s.rights = []string{"team"} }, status: 4, arrived: []string{status, post + query},
			phrases: []string{"may not import dashboards in the default space", "Unable to bulk_create", "Saved Objects Management"},
		},
		{
			name: "no rights in a space", kibana: func(s *standIn) { s.rights = []string{"default"} }, args: []string{"-space", "team"}, status: 4,
			phrases: []string{`in the space "team", or there is no such space`},
			arrived: []string{status, space, "POST /s/team/api/saved_objects/_import" + query},
		},
		{
			name: "no such space", args: []string{"-space", "nowhere"}, status: 6, arrived: []string{status, "GET /api/spaces/space/nowhere"},
			phrases: []string{`has no space "nowhere"`, "it says 404 Not Found.", "after /s/"},
		},
		{name: "a space's name", args: []string{"-space", "My Team"}, status: 6, phrases: []string{`"My Team" is not the id of a space`}},
		{
			name: "no import in a space", kibana: func(s *standIn) { s.at(post, says(404, "")) }, args: []string{"-space", "team"}, status: 6,
			phrases: []string{`has no space "team"`}, arrived: []string{status, space, "POST /s/team/api/saved_objects/_import" + query},
		},
		{
			name: "no import", kibana: func(s *standIn) { s.at(post, says(404, "")) }, status: 1, phrases: []string{"answers the import with 404"}, arrived: []string{status, post + query},
		},
		{
			name: "twice in the file", file: dataView + dataView, status: 1, arrived: []string{status, post + query},
			phrases: []string{"Kibana refuses the file", "Non-unique import objects detected: [index-pattern:view]"},
		},
		{
			name: "a broken line", file: dataView + "{\n", status: 1, arrived: []string{status, post + query}, phrases: []string{"Kibana refuses the file", "JSON"},
		},
		{name: "nothing in the file", file: details, status: 1, phrases: []string{"holds no saved object"}},
		{
			name: "too large", kibana: func(s *standIn) { s.maxPayload = 100 }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"savedObjects.maxImportPayloadBytes", "greater than maximum allowed: 100"},
		},
		{
			name: "too large for a proxy", kibana: func(s *standIn) { s.at(post, says(413, "<html>")) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"or a proxy before it", "413"},
		},
		{
			name: "too many", kibana: func(s *standIn) { s.maxObjects = 3 }, file: whole, status: 1, arrived: []string{status, post + query},
			phrases: []string{"Can't import more than 3 objects"},
		},
		{
			name: "for a newer Kibana", kibana: func(s *standIn) { s.types["dashboard"] = "8.8.0" }, file: whole, status: 5, arrived: []string{status, post + query},
			phrases: []string{"belongs to a more recent version of Kibana [8.9.0]", "which is version 8.12.0"},
		},
		{
			name: "missing references", file: search + second, status: 3, arrived: []string{status, post + query},
			phrases: []string{
				"imported nothing", "search search (A search) refers to what is neither in the file nor in Kibana: index-pattern:view",
				"dashboard second (Second) refers", "-print",
			},
		},
		{
			name: "a missing dashboard", file: dataView + search + first, status: 3, arrived: all,
			phrases: []string{"were imported, but refer to objects that Kibana does not have: dashboard:second"},
		},
		{
			name: "a conflict", kibana: func(s *standIn) { s.changing = []string{"first"} }, file: whole, status: 2, arrived: []string{status, post + query},
			phrases: []string{"dashboard first (First) exists already, or was changed at the same moment", "run the import again"},
		},
		{
			name: "a conflict with another", kibana: func(s *standIn) {
				s.at(post, says(200, `{"success":false,"successCount":0,"errors":[{"type":"dashboard","id":"a","meta":{},"error":{"type":"conflict","destinationId":"b"}}]}`))
			},
			status: 2, phrases: []string{"dashboard a exists already as dashboard:b"}, arrived: []string{status, post + query},
		},
		{
			name: "an ambiguous conflict", file: whole, status: 2, arrived: []string{status, post + query},
			kibana: func(s *standIn) {
				for _, id := range []string{"copy-1", "copy-2"} {
					s.store[objectKey{"dashboard", id}] = &storedObject{space: "default", origin: "first", line: importedObject{Type: "dashboard", ID: id}}
				}
			},
			phrases: []string{"imported nothing", "dashboard first (First) could overwrite any of dashboard:copy-1, dashboard:copy-2"},
		},
		{
			name: "an unknown type", kibana: func(s *standIn) { delete(s.types, "search") }, file: whole, status: 1, arrived: []string{status, post + query},
			phrases: []string{"imported only 3 of 4", "search search (A search) is of a type that this Kibana does not import"},
		},
		{
			name: "an object without a title", file: dataView + `{"type":"dashboard","id":"bare","attributes":{},"references":[]}`, status: 1, arrived: []string{status, post + query},
			phrases: []string{"imported only 1 of 2", "dashboard bare was refused: [attributes.title]: expected value of type [string]"},
		},
		{
			name: "a failure without a reason", kibana: func(s *standIn) { s.at(post, says(200, `{"success":false,"successCount":0}`)) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"imported nothing, and does not say why"},
		},
		{
			name: "an object with an unheard-of reason", status: 1, arrived: []string{status, post + query}, kibana: func(s *standIn) {
				s.at(post, says(200, `{"success":false,"errors":[{"type":"dashboard","id":"a","error":{"type":"moon_phase"}}]}`))
			},
			phrases: []string{"dashboard a was refused without a reason (moon_phase)"},
		},
		{
			name: "no word of success", kibana: func(s *standIn) { s.at(post, says(200, `{"successCount":2}`)) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"does not say whether it has imported"},
		},
		{
			name: "warnings", kibana: func(s *standIn) { s.warnings = []string{"Mind the gap"} }, phrases: []string{"Warning: Mind the gap."}, arrived: all,
		},
		{
			name: "said and not done", kibana: func(s *standIn) { s.forgotten = []string{"first"} }, file: whole, status: 1, arrived: all,
			phrases: []string{"reported success, but does not have 1 of 4 objects", "dashboard first (First) was imported, says Kibana, but is not there"},
		},
		{
			name: "left out of the export", kibana: func(s *standIn) {
				s.at(export, says(200, strings.Replace(whole, second, "", 1)))
			}, file: whole, status: 1, arrived: all, phrases: []string{"does not have 1 of 4 objects", "dashboard second"},
		},
		{
			name: "no right to export", kibana: func(s *standIn) { s.noExport = true }, phrases: []string{"Warning: the import could not be confirmed: Kibana answers 403", "Unable to bulk_get"}, arrived: all,
		},
		{
			name: "a refused export", kibana: func(s *standIn) { s.at(export, says(400, `{"message":"Can't export more"}`)) }, phrases: []string{"could not be confirmed", "Can't export more"}, arrived: all,
		},
		{name: "a broken export", kibana: func(s *standIn) { s.at(export, says(200, "<html>")) }, phrases: []string{"the answer is not an export"}, arrived: all},
		{name: "an export without an end", kibana: func(s *standIn) { s.at(export, says(200, dataView)) }, phrases: []string{"the answer is not an export"}, arrived: all},
		{name: "no export", kibana: func(s *standIn) { s.at(export, says(500, "")) }, phrases: []string{"could not be confirmed", "500"}, arrived: all},
		{name: "a page", kibana: func(s *standIn) { s.at(status, page) }, status: 1, phrases: []string{"answers with a web page", "a proxy that wants a login"}, arrived: []string{status}},
		{name: "rubbish", kibana: func(s *standIn) { s.at(status, says(200, "hello")) }, status: 1, phrases: []string{"is not what Kibana's would be"}, arrived: []string{status}},
		{name: "another server", kibana: func(s *standIn) { s.at(status, says(200, "{}")) }, status: 1, phrases: []string{"answers without a version"}, arrived: []string{status}},
		{
			name: "Elasticsearch", kibana: func(s *standIn) {
				s.at(status, says(400, `{"error":"no handler found for uri [/api/status] and method [GET]"}`))
			},
			status: 1, phrases: []string{"there is no Kibana at", "400", "not Elasticsearch's"}, arrived: []string{status},
		},
		{
			name: "a page after the import", kibana: func(s *standIn) { s.at(post, page) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"answers with a web page", "whether the file was imported is not known"},
		},
		{
			name: "half an answer", kibana: func(s *standIn) { s.at(post, cut) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"unexpected EOF", "whether the file was imported is not known"},
		},
		{
			name: "half a document", kibana: func(s *standIn) { s.at(post, says(200, `{"success":true,`)) }, status: 1, arrived: []string{status, post + query},
			phrases: []string{"is not what Kibana's would be"},
		},
		{
			name: "an endless answer", kibana: func(s *standIn) {
				s.at(status, func(w http.ResponseWriter, _ *http.Request) {
					for range 17 {
						_, _ = w.Write(make([]byte, 1<<20))
					}
				})
			},
			status: 1, phrases: []string{"is longer than 16777216 bytes"}, arrived: []string{status},
		},
		{
			name: "no answer", kibana: func(s *standIn) { s.at(status, hang) }, args: []string{"-timeout", "5s"}, status: 1, arrived: []string{status},
			phrases: []string{"did not answer in time", "-timeout"},
		},
		{
			name: "no answer to the import", kibana: func(s *standIn) { s.at(post, hang) }, args: []string{"-timeout", "5s"}, status: 1, arrived: []string{status, post + query},
			phrases: []string{"did not answer in time", "whether the file was imported is not known"},
		},
		{
			name: "no answer to the export", kibana: func(s *standIn) { s.at(export, hang) }, args: []string{"-timeout", "5s"}, status: 1, arrived: all,
			phrases: []string{
				"reported success, which could not be confirmed", "did not answer in time", "Imported all the same into Kibana 8.12.0: ",
				"/app/dashboards#/view/apmws-overview", "run the import again with a longer -timeout, to have it confirmed",
			},
		},
		{
			name: "a redirect to a login", kibana: func(s *standIn) { s.at(status, goes(302, "/login?next=%2Fapi%2Fstatus&state=s3same")) }, status: 4, arrived: []string{status},
			phrases: []string{"wants a login: it redirects to http://", "/login."},
		},
		{
			name: "a redirect to the same path elsewhere", kibana: func(s *standIn) { s.at(status, goes(308, "https://kibana.example.com/base/api/status")) }, status: 1, arrived: []string{status},
			phrases: []string{"redirects to https://kibana.example.com/base."},
		},
		{
			name: "a redirect of the import", kibana: func(s *standIn) { s.at(post, goes(307, "https://sso.example.com/auth")) }, status: 4, arrived: []string{status, post + query},
			phrases: []string{"wants a login: it redirects to https://sso.example.com/auth."},
		},
		{name: "a redirect to nowhere", kibana: func(s *standIn) { s.at(status, says(302, "")) }, status: 1, phrases: []string{"redirects to nowhere"}, arrived: []string{status}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := unstarted()
			if c.kibana != nil {
				c.kibana(s)
			}
			s.start(t, httptest.NewServer)
			file := dashboards.Kibana()
			args := append([]string{"-kibana", s.url}, c.args...)
			if c.file != "" {
				file = []byte(c.file)
				args = append(args, "-file", written(t, file))
			}
			env := c.env
			if env == nil {
				env = withKey
			}
			command(t, env, args...).has(t, c.status, c.phrases...)
			if got := s.seen(); !slices.Equal(got, c.arrived) {
				t.Errorf("arrived %q, want %q", got, c.arrived)
			}
			for _, got := range s.files {
				if !bytes.Equal(got, file) {
					t.Errorf("another file arrived, of %d bytes", len(got))
				}
			}
			if c.status == statusOK && len(s.files) != 1 {
				t.Errorf("%d files arrived", len(s.files))
			}
			for _, r := range s.requests {
				if r.Header.Get("Kbn-Xsrf") != "true" {
					t.Errorf("%s without kbn-xsrf", r.URL)
				}
			}
		})
	}
}

func written(t *testing.T, file []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "changed.ndjson")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImportAgain: a second import overwrites, and in a second space Kibana
// chooses new ids, which a third import finds again.
func TestImportAgain(t *testing.T) {
	s := newStandIn(t)
	args := []string{"-kibana", s.url, "-file", written(t, []byte(whole))}
	command(t, withKey, args...).has(t, 0, "4 objects, 0 of which")
	command(t, withKey, args...).has(t, 0, "4 objects, 4 of which", "/app/dashboards#/view/first")
	if got := s.spaceOf("dashboard", "first"); got != "default" {
		t.Errorf("first is in the space %q", got)
	}
	args = append(args, "-space", "team")
	o := command(t, withKey, args...)
	o.has(t, 0, "4 objects, 0 of which", "dashboard first has the id 00000000-", "/s/team/app/dashboards#/view/00000000-")
	if strings.Contains(o.out, "view/first") {
		t.Errorf("the address of another space's dashboard is told: %s", o.out)
	}
	again := command(t, withKey, args...)
	again.has(t, 0, "4 objects, 4 of which")
	if _, want, _ := strings.Cut(o.out, "\n"); !strings.HasSuffix(again.out, want) {
		t.Errorf("the third import told\n%s\nwant the addresses of the second\n%s", again.out, o.out)
	}
}

// masked leaves in an answer only the credentials that the request had, since no
// program can know others for secrets.
type masked struct {
	http.ResponseWriter
	r    *http.Request
	name string
}

func (m masked) mask(text string) string {
	if m.name == "key" {
		return strings.NewReplacer(password, apiKey, basic, apiKey, "pa55word", "x").Replace(text)
	}
	return strings.ReplaceAll(text, apiKey, basic)
}

func (m masked) WriteHeader(status int) {
	if to := m.Header().Get("Location"); to != "" {
		m.Header().Set("Location", m.mask(to))
	}
	m.ResponseWriter.WriteHeader(status)
}

func (m masked) Write(p []byte) (int, error) {
	if _, err := m.ResponseWriter.Write([]byte(m.mask(string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m masked) WriteString(text string) (int, error) { return m.Write([]byte(text)) }

// TestBasePath: an address without it.
func TestBasePath(t *testing.T) {
	s := unstarted()
	s.basePath = "/kibana"
	s.start(t, httptest.NewServer)
	command(t, withKey, "-kibana", strings.TrimSuffix(s.url, "/kibana")).has(t, 1, "there is no Kibana at http://", "404 Not Found", "base path")
}

// TestUnreachable: nobody listens.
func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	command(t, withKey, "-kibana", "http://"+address).has(t, 1, "http://"+address+" cannot be reached", "connection refused", "5601")
}

// TestInterrupted: the context ends before there is an answer.
func TestInterrupted(t *testing.T) {
	s := unstarted()
	ctx, cancel := context.WithCancel(t.Context())
	s.at("GET /api/status", func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	s.start(t, httptest.NewServer)
	var out, errs bytes.Buffer
	status := run(ctx, []string{"-kibana", s.url}, func(string) string { return "" }, &out, &errs)
	outcome{status: status, out: out.String(), err: errs.String()}.has(t, 1, "interrupted before "+s.url)
}
