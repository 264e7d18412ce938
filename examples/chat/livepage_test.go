package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLivePageIsLocal(t *testing.T) {
	for _, c := range []struct {
		name, peer, host string
		header           string
		ok               bool
	}{
		{"this machine", "127.0.0.1:1", "127.0.0.1:8080", "", true},
		{"by name", "127.0.0.1:1", "localhost:8080", "", true},
		{"by name, without port", "127.0.0.1:1", "LocalHost", "", true},
		{"IPv6", "[::1]:1", "[::1]:8080", "", true},
		{"IPv6 without port", "[::1]:1", "[::1]", "", true},
		{"IPv4 as IPv6", "[::ffff:127.0.0.1]:1", "127.0.0.1", "", true},
		{"another machine", "192.0.2.1:1", "127.0.0.1:8080", "", false},
		{"another machine, IPv6", "[2001:db8::1]:1", "localhost", "", false},
		{"DNS rebinding", "127.0.0.1:1", "evil.example:8080", "", false},
		{"DNS rebinding, lookalike", "127.0.0.1:1", "127.0.0.1.evil.example", "", false},
		{"no host", "127.0.0.1:1", "", "", false},
		{"proxy", "127.0.0.1:1", "localhost", "X-Forwarded-For", false},
		{"standard proxy", "127.0.0.1:1", "localhost", "Forwarded", false},
		{"proxy that says how", "127.0.0.1:1", "localhost", "X-Forwarded-Proto", false},
		{"proxy that says what for", "127.0.0.1:1", "localhost", "X-Forwarded-Host", false},
		{"proxy of the old kind", "127.0.0.1:1", "localhost", "X-Real-IP", false},
		{"proxy that names itself", "127.0.0.1:1", "localhost", "Via", false},
		{"delivery network", "127.0.0.1:1", "localhost", "CF-Connecting-IP", false},
		{"another delivery network", "127.0.0.1:1", "localhost", "True-Client-IP", false},
		{"another header", "127.0.0.1:1", "localhost", "X-Request-Id", true},
		{"no address", "@", "localhost", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range 4 {
				exposed, value := i%2 == 1, []string{"192.0.2.1", ""}[i/2] // a proxy may leave the header empty
				s := &server{cfg: config{exposeLive: exposed}, live: http.NotFoundHandler()}
				r := httptest.NewRequest(http.MethodGet, livePath, nil)
				r.RemoteAddr, r.Host = c.peer, c.host
				if c.header != "" {
					r.Header.Set(c.header, value)
				}
				w := httptest.NewRecorder()
				s.livePage().ServeHTTP(w, r)
				want := http.StatusForbidden
				if c.ok || exposed {
					want = http.StatusNotFound // from behind the guard
				}
				if w.Code != want {
					t.Errorf("exposed=%v, header %q: %d, want %d", exposed, value, w.Code, want)
				}
			}
		})
	}
}

func TestLivePageThroughTheServer(t *testing.T) {
	n := startNode(t, nil)
	res, body := request(t, "GET", n.url+"debug/ws/", "", nil)
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("%s %.80s", res.Status, body)
	}
	if res, _ := request(t, "GET", n.url+"debug/ws/", "", map[string]string{"Host": "evil.example"}); res.StatusCode != http.StatusForbidden {
		t.Errorf("another host's name: %s", res.Status)
	}
	join(t, n.url, "Ada", "tea")
	n.log.wait(t, "message", 1, action("websocket-message")) // written when the exporters have it
	if live := liveData(t, n.url); !strings.Contains(live, `"Ada"`) || !strings.Contains(live, "chat.join") {
		t.Errorf("the live page does not know of Ada: %s", live)
	}
	if found, _ := n.log.all(func(l logLine) bool { return l["url.path"] == "/debug/ws/data.json" && l["log.level"] != "debug" }); len(found) > 0 {
		t.Errorf("the live page's own requests are logged: %v", found)
	}
}
