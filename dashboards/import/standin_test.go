package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The credentials that a stand-in knows.
const (
	apiKey   = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="
	user     = "elastic"
	password = "pa55word:with a colon"
	basic    = "ZWxhc3RpYzpwYTU1d29yZDp3aXRoIGEgY29sb24=" // of both
)

// standIn answers as a Kibana with spaces and security does, as far as an import
// goes. Its fields are set before the first request.
type standIn struct {
	url string // with the base path

	version, flavor string
	basePath        string
	spaces          []string
	open            bool     // without security
	rights          []string // spaces in which the user may write; nil for all
	anonymous       bool     // whether strangers are told the version
	noExport        bool     // whether the user lacks the right to export
	types           map[string]string
	maxPayload      int64
	maxObjects      int
	warnings        []string
	// changing objects get a conflict in spite of overwrite; forgotten ones are
	// said to be stored and are not.
	changing, forgotten []string
	// instead answers a request in the stand-in's place, by method and path.
	instead map[string]http.HandlerFunc

	mu       sync.Mutex // of what follows
	store    map[objectKey]*storedObject
	ids      int
	arrived  []string
	requests []*http.Request
	files    [][]byte
}

type objectKey struct{ Type, ID string }

// storedObject lives in one space, but its id is taken in all.
type storedObject struct {
	line   importedObject
	space  string
	origin string
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := unstarted()
	s.start(t, httptest.NewServer)
	return s
}

func unstarted() *standIn {
	return &standIn{
		version: "8.12.0", flavor: "traditional",
		spaces:     []string{"default", "team", "other"},
		types:      map[string]string{"dashboard": "10.2.0", "index-pattern": "8.0.0", "search": "10.5.0", "tag": "8.0.0"},
		maxPayload: 26214400, maxObjects: 10000,
		instead: map[string]http.HandlerFunc{},
		store:   map[objectKey]*storedObject{},
	}
}

func (s *standIn) start(t *testing.T, start func(http.Handler) *httptest.Server) {
	t.Helper()
	server := start(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	s.url = server.URL + s.basePath
}

// at makes the stand-in answer a request otherwise.
func (s *standIn) at(request string, answer http.HandlerFunc) { s.instead[request] = answer }

// seen returns what arrived, as method and path.
func (s *standIn) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrived)
}

// spaceOf returns where an object is.
func (s *standIn) spaceOf(kind, id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.store[objectKey{kind, id}]; o != nil {
		return o.space
	}
	return ""
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, below := strings.CutPrefix(r.URL.Path, s.basePath)
	request := r.Method + " " + r.URL.Path
	if r.URL.RawQuery != "" {
		request += "?" + r.URL.RawQuery
	}
	s.mu.Lock()
	s.arrived = append(s.arrived, request)
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	space := "default"
	if rest, found := strings.CutPrefix(path, "/s/"); found {
		space, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	if answer := s.instead[r.Method+" "+path]; answer != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, r)
		return
	}
	known := s.open || s.knows(r)
	switch {
	case !below:
		refuse(w, http.StatusNotFound, "Not Found")
	case r.Method == http.MethodGet && path == "/api/status":
		s.status(w, known || s.anonymous)
	case r.Method == http.MethodPost && r.Header.Get("kbn-xsrf") == "":
		refuse(w, http.StatusBadRequest, "Request must contain a kbn-xsrf header.")
	case !known:
		refuse(w, http.StatusUnauthorized, "[security_exception\n\tRoot causes:\n\t\tsecurity_exception: missing authentication credentials]: missing authentication credentials")
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/api/spaces/space/"):
		s.getSpace(w, strings.TrimPrefix(path, "/api/spaces/space/"), r)
	case r.Method == http.MethodPost && path == "/api/saved_objects/_import":
		s.importFile(w, r, space)
	case r.Method == http.MethodPost && path == "/api/saved_objects/_export":
		s.export(w, r, space)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func (s *standIn) knows(r *http.Request) bool {
	authorization := r.Header.Get("Authorization")
	return authorization == "ApiKey "+apiKey || authorization == "Basic "+basic
}

// may says whether the user has rights in a space, which need not exist.
func (s *standIn) may(space string) bool { return s.rights == nil || slices.Contains(s.rights, space) }

func (s *standIn) status(w http.ResponseWriter, known bool) {
	overall := map[string]any{"overall": map[string]any{"level": "available", "summary": "All services are available"}}
	if !known {
		reply(w, http.StatusOK, map[string]any{"status": map[string]any{"overall": map[string]any{"level": "available"}}})
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"name": "stand-in", "uuid": "5b2de169-2785-441b-ae8c-186a1936b17d",
		"version": map[string]any{"number": s.version, "build_hash": "0", "build_number": 1, "build_snapshot": false, "build_flavor": s.flavor},
		"status":  overall, "metrics": map[string]any{},
	})
}

func (s *standIn) getSpace(w http.ResponseWriter, id string, r *http.Request) {
	switch {
	case s.flavor == "serverless":
		refuse(w, http.StatusBadRequest, "uri ["+r.URL.Path+"] with method [get] exists but is not available with the current configuration")
	case !s.may(id):
		refuse(w, http.StatusForbidden, "Unauthorized to get "+id+" space")
	case !slices.Contains(s.spaces, id):
		refuse(w, http.StatusNotFound, "Not Found")
	default:
		reply(w, http.StatusOK, map[string]any{"id": id, "name": strings.ToUpper(id), "disabledFeatures": []string{}})
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"statusCode": status, "error": http.StatusText(status), "message": message})
}

// says answers with a status and a text as it is.
func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// goes redirects.
func goes(status int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}
}
