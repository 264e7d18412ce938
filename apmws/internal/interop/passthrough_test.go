package interop

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestNotAHandshake: a request that is none reaches the handler as it came.
func TestNotAHandshake(t *testing.T) {
	t.Parallel()
	plain := "GET / HTTP/1.1\r\nHost: ws.test\r\nConnection: close\r\n"
	for name, request := range map[string]string{
		"plain":       plain + "\r\n",
		"h2c":         strings.Replace(plain, "close", "Upgrade, HTTP2-Settings", 1) + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"POST":        "POST / HTTP/1.1\r\nHost: ws.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
		"no upgrade":  plain + "Upgrade: websocket\r\n\r\n",
		"other token": strings.Replace(plain, "close", "Upgrade", 1) + "Upgrade: websockets\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(apmws.Options{})
			var outerW, innerW http.ResponseWriter
			var outerR, innerR *http.Request
			watched := w.agent.Handler(route, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				innerW, innerR = rw, r
				if apmws.FromContext(r.Context()) != nil {
					t.Error("a connection is in the context")
				}
				rw.Header().Set("Connection", "close")
				put(rw, "hello")
			}))
			done := make(chan struct{})
			srv := start(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				defer close(done)
				outerW, outerR = rw, r
				watched.ServeHTTP(rw, r)
			}), false)
			p := srv.connect(t)
			p.write([]byte(request))
			p.rest()
			receive(t, "the handler's end", done)
			if innerW != outerW || innerR != outerR {
				t.Errorf("the handler got %T and %p, net/http gave %T and %p", innerW, innerR, outerW, outerR)
			}
			if s := w.stats(t); s.ConnectionsOpened != 0 || len(s.Refused) != 0 || len(w.rec.opens()) != 0 || w.log.String() != "" {
				t.Errorf("counted %+v, logged %q", s, w.log.String())
			}
		})
	}
}

// TestConnState: net/http's hook sees the same states.
func TestConnState(t *testing.T) {
	t.Parallel()
	states := func(t *testing.T, watched bool, h http.Handler, client func(p *peer)) []string {
		var mu sync.Mutex
		var states []string
		if watched {
			h = newWatch(apmws.Options{}).agent.Handler(route, h)
		}
		srv := start(t, h, false, func(s *http.Server) {
			s.ConnState = func(_ net.Conn, state http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, state.String())
			}
		})
		client(srv.connect(t))
		last := func() string {
			mu.Lock()
			defer mu.Unlock()
			if len(states) == 0 {
				return ""
			}
			return states[len(states)-1]
		}
		eventually(t, "a last state", func() bool { return last() == "hijacked" || last() == "closed" })
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
	for name, x := range map[string]struct {
		handler http.Handler
		client  func(p *peer)
	}{
		"upgraded": {libraries[0].serve(upgrading{}, echo), func(p *peer) { p.ask101(handshake()); closed(1000)(p) }},
		"refused": {http.NotFoundHandler(), func(p *peer) {
			p.write([]byte(handshake()))
			_ = p.tcp.CloseWrite()
			p.rest()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, want := states(t, true, x.handler, x.client), states(t, false, x.handler, x.client)
			if !slices.Equal(got, want) {
				t.Errorf("states %q, without the agent %q", got, want)
			}
		})
	}
}

// TestWatchedTwice: a handler under the agent on the mux and on the route.
// Both count; neither disturbs the other.
func TestWatchedTwice(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		outside, inside := newWatch(apmws.Options{}), newWatch(apmws.Options{})
		h := outside.agent.Handler(route, setsCookies(inside.agent.Handler(route, l.serve(upgrading{}, echo))))
		p := start(t, h, false).upgrade(t)
		head := p.read.String()[:p.head]
		if n := strings.Count(head, "session=1"); n != 1 {
			t.Errorf("a cookie %d times in %q", n, head)
		}
		p.send(opText, []byte("hello"))
		p.message()
		closed(1000)(p)
		for name, w := range map[string]*watch{"outside": outside, "inside": inside} {
			t.Run(name, func(t *testing.T) {
				one := tally{messages: 1, bytes: 5}
				checkEnd(t, w, one, one)
				checkClose(t, w, closeWanted{"1000", "client", "normal", good})
			})
		}
	})
}
