package interop

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// ugly are ways in which a connection begins and ends badly, or not at all: what
// the server does, and the peer.
var ugly = []struct {
	name  string
	serve func(c wsConn, r *http.Request)
	peer  func(p *peer)
}{
	{"a close frame", echo, func(p *peer) { closed(1000)(p) }},
	{"nothing", echo, func(p *peer) { p.vanish() }},
	{"a reset", echo, func(p *peer) { p.reset() }},
	{"half a frame", echo, func(p *peer) { p.write([]byte{0x82, 0xFE, 1}); p.vanish() }},
	{"half a message", echo, func(p *peer) { p.frame(frame{op: opText, payload: []byte("x")}); p.reset() }},
	{"a bad frame", echo, func(p *peer) { p.write([]byte{0xFF, 0x80, 0, 0, 0, 0}); p.rest() }},
	{"half a close", echo, func(p *peer) { _ = p.tcp.CloseWrite(); p.rest() }},
	{"a drop", func(c wsConn, _ *http.Request) {}, func(p *peer) { p.rest() }},
	{"a panic", func(c wsConn, _ *http.Request) { panic(http.ErrAbortHandler) }, func(p *peer) { p.rest() }},
	{"a message too big", func(c wsConn, r *http.Request) { c.limit(10); _, _, _ = c.receive() }, func(p *peer) {
		p.send(opText, make([]byte, 100))
		p.rest()
	}},
	{"a ping without a pong", func(c wsConn, r *http.Request) { _ = c.ping(); echo(c, r) }, func(p *peer) { p.reset() }},
	{"another goroutine", func(c wsConn, r *http.Request) {
		done := make(chan struct{})
		go func() { defer close(done); echo(c, r) }()
		<-done
	}, func(p *peer) { p.send(opText, []byte("x")); p.message(); p.reset() }},
}

// unanswered are handshakes that are not upgraded.
var unanswered = map[string]http.HandlerFunc{
	"a refusal": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	"no answer": func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	},
	"a panic": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"half an answer": func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			put(conn, switching[:20])
			_ = conn.Close()
		}
	},
}

// TestLeaks is not parallel: it counts goroutines.
func TestLeaks(t *testing.T) {
	w := newWatch(apmws.Options{})
	mux := http.NewServeMux()
	var requests []string
	for _, l := range libraries {
		for i, way := range ugly {
			path := fmt.Sprintf("/%s/%d", l.name, i)
			mux.Handle(path, l.serve(upgrading{}, way.serve))
			requests = append(requests, path)
		}
	}
	for name, h := range unanswered {
		path := "/unanswered/" + strings.ReplaceAll(name, " ", "-")
		mux.Handle(path, h)
		requests = append(requests, path)
	}
	srv := start(t, w.agent.Handler(route, mux), false)
	secure := start(t, w.agent.Handler(route, mux), true)

	visit := func(srv *server, path string) {
		p := srv.connect(t)
		defer p.conn.Close()
		request := strings.Replace(handshake(), requestPath, path, 1)
		if strings.HasPrefix(path, "/unanswered") {
			p.write([]byte(request))
			_ = p.tcp.CloseWrite()
			_, _ = io.Copy(io.Discard, p.br)
			return
		}
		p.ask101(request)
		var lib string
		var way int
		if _, err := fmt.Sscanf(strings.ReplaceAll(path, "/", " "), "%s %d", &lib, &way); err != nil {
			t.Fatal(err)
		}
		ugly[way].peer(p)
	}
	visit(srv, requests[0])
	visit(secure, requests[0])
	w.idle(t)
	before := steadyGoroutines(t)
	visits := 2
	for visits < 200 {
		for _, path := range requests {
			visit(srv, path)
			visit(secure, path)
			visits += 2
		}
	}
	w.idle(t)
	eventually(t, fmt.Sprintf("%d goroutines as before", before), func() bool { return runtime.NumGoroutine() <= before })

	eventually(t, "an end of everything", func() bool { return len(w.rec.opens()) == visits })
	s := w.stats(t)
	var closed, refused int64
	for _, x := range s.Closed {
		closed += x.Count
	}
	for _, x := range s.Refused {
		refused += x.Count
	}
	if closed != s.ConnectionsOpened || closed+refused != int64(visits) || int64(len(w.rec.ends())) != closed {
		t.Errorf("%d visits: %d opened, %d closed, %d ends, %d refused", visits, s.ConnectionsOpened, closed, len(w.rec.ends()), refused)
	}
	if strays := w.rec.strays(); len(strays) > 0 {
		t.Error(strays)
	}
}

// TestIdleConnections: the agent adds no goroutine to one. It is not parallel:
// it counts goroutines.
func TestIdleConnections(t *testing.T) {
	const conns = 50
	for _, l := range libraries {
		// added is how many goroutines idle connections have.
		added := func(t *testing.T, watched bool) int {
			h := l.serve(upgrading{}, echo)
			if watched {
				h = newWatch(apmws.Options{}).agent.Handler(route, h)
			}
			srv := start(t, h, false)
			idle := make([]*peer, conns)
			before := steadyGoroutines(t)
			for i := range idle {
				idle[i] = srv.upgrade(t)
				idle[i].send(opText, []byte("x"))
				idle[i].message()
			}
			with := steadyGoroutines(t)
			for _, p := range idle {
				closed(1000)(p)
			}
			eventually(t, "the handlers' end", func() bool { return runtime.NumGoroutine() <= before })
			return with - before
		}
		t.Run(l.name, func(t *testing.T) {
			if got, want := added(t, true), added(t, false); got != want {
				t.Errorf("%d goroutines for %d idle connections, %d without the agent", got, conns, want)
			}
		})
	}
}

// steadyGoroutines waits until those that are about to end have ended.
func steadyGoroutines(t *testing.T) (n int) {
	t.Helper()
	same := 0
	eventually(t, "a steady number of goroutines", func() bool {
		if now := runtime.NumGoroutine(); now != n {
			n, same = now, 0
		}
		same++
		return same == 50
	})
	return n
}
