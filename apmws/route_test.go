package apmws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRouteOf(t *testing.T) {
	for _, test := range []struct{ pattern, want string }{
		{"", "_OTHER"},
		{"/ws", "/ws"},
		{"GET /ws", "/ws"},
		{"GET  \t/ws", "/ws"},
		{"example.com/ws", "/ws"},
		{"GET example.com/rooms/{id}", "/rooms/{id}"},
		{"/ws/{$}", "/ws/"},
		{"/{$}", "/"},
		{"/", "/"},
		{"/files/{path...}", "/files/{path...}"},
		{"no slash", "_OTHER"},
		{"/line\nbreak", "/line break"},
		{"/" + strings.Repeat("x", 1000), "/" + strings.Repeat("x", maxRoute-1)},
	} {
		if got := routeOf(test.pattern); got != test.want {
			t.Errorf("routeOf(%q) is %q, want %q", test.pattern, got, test.want)
		}
	}
}

// TestRouteOfPattern: a handler without a route has those of the mux, with their
// own message options.
func TestRouteOfPattern(t *testing.T) {
	agent := New(Options{Routes: map[string]MessageOptions{"/rooms/{id}": {Names: []string{"chat.say"}}}})
	mux := http.NewServeMux()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, tx := StartMessage(r.Context(), MessageInfo{Name: "chat.say"})
		tx.End(nil)
		w.WriteHeader(http.StatusForbidden)
	})
	h := agent.Handler("", refuse)
	mux.Handle("GET /rooms/{id}", h)
	mux.Handle("GET example.com/news", h)
	for _, url := range []string{"http://x/rooms/7", "http://x/rooms/8", "http://example.com/news"} {
		r := upgradeRequest()
		r.URL = httptest.NewRequest(http.MethodGet, url, nil).URL
		r.Host = r.URL.Host
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	h.ServeHTTP(httptest.NewRecorder(), upgradeRequest()) // outside of the mux
	got := make(map[string]string)
	for _, r := range agent.Stats().Routes {
		got[r.Route] = fmt.Sprintf("%d %s", r.Refused[0].Count, r.Messages[0].Name)
	}
	want := map[string]string{"/rooms/{id}": "2 chat.say", "/news": "1 _OTHER", "_OTHER": "1 _OTHER"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("routes %v, want %v", got, want)
	}
}

// TestRoutesAreBounded: who sets a raw path as the pattern does not fill the
// memory, and routes that were named are not affected.
func TestRoutesAreBounded(t *testing.T) {
	agent := New(Options{})
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	h := agent.Handler("", refuse)
	for i := range maxPatternRoutes + 50 {
		r := upgradeRequest()
		r.Pattern = fmt.Sprintf("/users/%d", i)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	agent.Handler("/named", refuse).ServeHTTP(httptest.NewRecorder(), upgradeRequest())
	stats := agent.Stats()
	if n := len(stats.Routes); n != maxPatternRoutes+2 {
		t.Errorf("%d routes", n)
	}
	counted := make(map[string]int64)
	for _, r := range stats.Routes {
		counted[r.Route] = r.Refused[0].Count
	}
	if counted["_OTHER"] != 50 || counted["/named"] != 1 || counted["/users/0"] != 1 {
		t.Errorf("counted %d others", counted["_OTHER"])
	}
	if len(stats.Dropped) != 1 || stats.Dropped[0] != (Dropped{"apmws", "too_many_routes", 50}) {
		t.Errorf("dropped %+v", stats.Dropped)
	}
}
