package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSecrets: a server that repeats what it was sent, wherever it can.
func TestSecrets(t *testing.T) {
	both := apiKey + " " + password + " " + basic
	for _, c := range []struct {
		name, request string
		answer        http.HandlerFunc
		status        int
		phrase        string
	}{
		{"a refusal", "GET /api/status", says(401, `{"message":"who is `+both+`?"}`), 4, "who is [credentials]"},
		{"a text", "GET /api/status", says(404, both), 1, "[credentials]"},
		{"a version", "GET /api/status", says(200, `{"version":{"number":"`+both+`"}}`), 1, "[credentials]"},
		{"a redirect", "GET /api/status", goes(302, "http://"+user+":pa55word@127.0.0.1/"+apiKey+"?token="+basic), 4, "wants a login: it redirects to http://127.0.0.1/[credentials]."},
		{"an object", "POST /api/saved_objects/_import", says(200, `{"success":false,"errors":[{"type":"`+apiKey+`","id":"`+both+`","meta":{"title":"`+both+`"},`+
			`"error":{"type":"unknown","message":"`+both+`","destinationId":"`+both+`"}}]}`), 1, "was refused: [credentials]"},
		{"a reference", "POST /api/saved_objects/_export", says(200, whole[:len(whole)-len(details)]+
			`{"exportedCount":4,"missingReferences":[{"type":"dashboard","id":"`+both+`"}]}`), 3, "dashboard:[credentials]"},
		{"an id", "POST /api/saved_objects/_import", says(200, `{"success":true,"successResults":[{"type":"dashboard","id":"first","destinationId":"`+both+`"}],"warnings":[{"message":"`+both+`"}]}`), 1, "[credentials]"},
		{"control characters", "GET /api/status", says(403, "\x1b[2J\r\nhello\x00"), 4, "403 Forbidden ([2J hello)"},
	} {
		for name, env := range map[string]map[string]string{
			"key":  withKey,
			"user": {"KIBANA_USER": user, "KIBANA_PASSWORD": password},
		} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				s := unstarted()
				s.at(c.request, func(w http.ResponseWriter, r *http.Request) {
					c.answer(masked{w, r, name}, r)
				})
				s.start(t, httptest.NewServer)
				o := command(t, env, "-kibana", s.url, "-file", written(t, []byte(whole)))
				o.has(t, c.status, c.phrase)
				if strings.ContainsAny(o.err, "\x1b\r\x00") {
					t.Errorf("control characters are in %q", o.err)
				}
			})
		}
	}
}

// TestSecretWarning: a warning of an import that has succeeded.
func TestSecretWarning(t *testing.T) {
	s := unstarted()
	s.warnings = []string{"beware of " + apiKey}
	s.start(t, httptest.NewServer)
	command(t, withKey, "-kibana", s.url).has(t, 0, "Warning: beware of [credentials].")
}

// TestRedirectKeepsCredentials: they are not sent to where a server points.
func TestRedirectKeepsCredentials(t *testing.T) {
	other := newStandIn(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newStandIn(t)
		s.at("GET /api/status", goes(status, other.url+"/api/status"))
		command(t, withKey, "-kibana", s.url).has(t, 1, "redirects to "+other.url)
	}
	if got := other.seen(); got != nil {
		t.Errorf("the other host got %q", got)
	}
}
