package interop

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestRefusalsAreReported: CONNECT has the status that the client was given.
func TestRefusalsAreReported(t *testing.T) {
	t.Parallel()
	ok := handshake()
	type refusal struct {
		name, request string
		handler       func(l library) http.Handler
		status        int // 0: whatever the client reads
		reason        string
	}
	answering := func(status int, reason string) func(library) http.Handler {
		return func(library) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if reason != "" {
					apmws.FromContext(r.Context()).SetRefusalReason(reason)
				}
				w.WriteHeader(status)
			})
		}
	}
	upgrades := func(l library) http.Handler { return l.serve(upgrading{}, echo) }
	for _, x := range []refusal{
		{name: "bad version", request: strings.Replace(ok, "13", "12", 1), handler: upgrades, reason: "bad_handshake"},
		{name: "no upgrade", request: strings.Replace(ok, "Upgrade: websocket\r\n", "", 1), handler: upgrades},
		{name: "POST", request: strings.Replace(ok, "GET", "POST", 1), handler: upgrades},
		{name: "unauthenticated", request: ok, handler: answering(401, ""), status: 401, reason: "unauthenticated"},
		{name: "forbidden", request: ok, handler: answering(403, ""), status: 403, reason: "forbidden"},
		{name: "draining", request: ok, handler: answering(503, "draining"), status: 503, reason: "draining"},
		{name: "an unregistered reason", request: ok, handler: answering(429, "s3cret"), status: 429, reason: "_OTHER"},
		{name: "nothing written", request: ok, status: 200, handler: func(library) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		}},
		{name: "a panic", request: ok, status: -1, handler: func(library) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })
		}, reason: "upgrade_failed"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			eachLibrary(t, func(t *testing.T, l library) {
				w := newWatch(apmws.Options{})
				srv := start(t, w.agent.Handler(route, x.handler(l)), false)
				p := srv.connect(t)
				want := 0
				if x.status == -1 {
					p.write([]byte(x.request))
				} else {
					want = p.ask(x.request).StatusCode
				}
				_ = p.tcp.CloseWrite()
				_, _ = io.Copy(io.Discard, p.br)
				if x.status > 0 && want != x.status {
					t.Fatalf("the client reads status %d, want %d", want, x.status)
				}
				eventually(t, "a refusal", func() bool { return len(w.log.lines("websocket-refused")) == 1 })
				opens := w.rec.opens()
				if len(opens) != 1 || opens[0].end.Accepted || opens[0].end.Status != want {
					t.Fatalf("exported %+v, the client read status %d", opens, want)
				}
				line := w.log.lines("websocket-refused")[0]
				if status, _ := line["http.response.status_code"].(float64); int(status) != want {
					t.Errorf("logged status %v, the client read %d", line["http.response.status_code"], want)
				}
				result := fmt.Sprintf("HTTP %dxx", want/100)
				if want == 0 {
					result = "none"
				}
				if opens[0].end.Result != result {
					t.Errorf("result %q, want %q", opens[0].end.Result, result)
				}
				if failed := opens[0].end.Outcome == bad; failed != (want == 0 || want >= 500) {
					t.Errorf("outcome %s of status %d", opens[0].end.Outcome, want)
				}
				refused := w.stats(t).Refused
				if len(refused) != 1 || refused[0].Status != want || refused[0].Count != 1 {
					t.Fatalf("counters %+v, want one of status %d", refused, want)
				}
				if x.reason != "" && want != 500 && refused[0].Reason != x.reason {
					t.Errorf("reason %q, want %q", refused[0].Reason, x.reason)
				}
				if s := w.stats(t); s.ConnectionsOpened != 0 || len(w.rec.ends()) != 0 || len(w.agent.Connections()) != 0 {
					t.Errorf("a refused handshake became a connection: %+v", s)
				}
				if strings.Contains(w.log.String(), "s3cret") {
					t.Error("a secret was logged")
				}
			})
		})
	}
}

// TestOriginRefused: gorilla's check of the origin is recognised.
func TestOriginRefused(t *testing.T) {
	t.Parallel()
	w := newWatch(apmws.Options{})
	srv := start(t, w.agent.Handler(route, library{"gorilla", upgradeGorilla}.serve(upgrading{}, echo)), false)
	r := srv.connect(t).ask(handshake("Origin: https://evil.test/path?token=s3cret"))
	if r.StatusCode != http.StatusForbidden {
		t.Fatal(r.Status)
	}
	eventually(t, "a refusal", func() bool { return len(w.rec.opens()) == 1 })
	attrs := w.rec.opens()[0].attrs
	if attrs["websocket.refusal.reason"] != "origin" || attrs["websocket.origin"] != "https://evil.test" {
		t.Errorf("exported %v", attrs)
	}
}
