package apmws

import (
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// handler is level 1: it watches what next does with a handshake.
type handler struct {
	agent *Agent
	route *route // nil: that of the request's pattern
	next  http.Handler
}

// IsHandshake reports whether a request is what Handler watches: a WebSocket
// handshake (RFC 6455, section 4.1), or what was one before a proxy took its
// hop-by-hop headers away. The key that remains then makes a frequent
// misconfiguration visible.
func IsHandshake(r *http.Request) bool {
	return websocket.IsWebSocketUpgrade(r) || r.Header["Sec-Websocket-Key"] != nil
}

// ServeHTTP implements http.Handler. It lasts as long as the connection does, so its
// frame must be small: see watch.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next, w, r, rec := h.watch(w, r)
	defer rec.handlerEnded()
	next.ServeHTTP(w, r)
	if rec != nil {
		rec.returned = true
	}
}

// watch begins to watch a handshake, unless the request is none or is watched already;
// rec is nil then. It returns what to call with what. It is apart, as other parts of the
// way to a read that waits are: a stack that has once been more than 4 KiB deep, of which
// net/http and gorilla need three quarters, takes 8 KiB for as long as the connection lives.
//
//go:noinline
func (h *handler) watch(w http.ResponseWriter, r *http.Request) (http.Handler, http.ResponseWriter, *http.Request, *responseRecorder) {
	if !IsHandshake(r) {
		return h.next, w, r, nil
	}
	if h.agent.watched(r) {
		return h.next, withHijacker(w), r, nil
	}
	rt := h.route
	if rt == nil {
		rt = h.agent.patternRoute(r.Pattern)
	}
	h.agent.handshakes.Add(1) // before it is looked whether those are over
	c := h.agent.connect(rt, r)
	c.arriving = true
	rec := &responseRecorder{ResponseWriter: w, conn: c}
	if h.agent.Draining() {
		return http.HandlerFunc(rec.refuseDraining), w, r, rec
	}
	return h.next, rec.asWriter(), r.WithContext(c.scope), rec
}

// refuseDraining answers a handshake that comes while the agent drains.
func (w *responseRecorder) refuseDraining(_ http.ResponseWriter, r *http.Request) {
	w.conn.agent.refuseDraining(w, r, w.conn)
}

// handlerEnded is deferred around the handler. w is nil for what is not watched.
func (w *responseRecorder) handlerEnded() {
	if w == nil {
		return
	}
	c := w.conn
	defer c.reportLostCookies(w) // when all else has been reported
	if w.returned {
		c.handlerReturned(w, false, nil)
		return
	}
	switch p := recover(); p {
	case nil, http.ErrAbortHandler: // nil: runtime.Goexit
		c.handlerReturned(w, true, nil)
		if p != nil {
			panic(p)
		}
	default:
		c.handlerReturned(w, true, panicFailure(p, debug.Stack()))
		panic(p)
	}
}

// connect makes the connection of a handshake that has arrived, starts CONNECT
// and writes the arrival line.
func (a *Agent) connect(rt *route, r *http.Request) *Conn {
	id := newConnID()
	peer := sanitize(r.RemoteAddr, maxPeer)
	c := &Conn{
		agent: a, route: rt, id: id, peer: peer, start: time.Now(),
		shard: shardOf(id),
		request: &opening{RequestInfo: RequestInfo{
			Method: sanitize(r.Method, 16), Host: sanitize(r.Host, 256), Path: sanitize(r.URL.Path, 1024),
			UserAgent: sanitize(r.UserAgent(), 512), Origin: originOf(r), Peer: peer, Proto: r.Proto, TLS: r.TLS != nil,
		}},
	}
	if addr, ok := a.proxies.forwardedFor(r.RemoteAddr, r.Header["X-Forwarded-For"]); ok {
		client := addr.String()
		c.client = &client
	}
	c.request.Client = c.ClientAddress()
	base := r.Context()
	s := &scope{Context: a.exporter.Mask(base, c.shard), conn: c, event: semconv.EventConnect}
	c.scope = s

	scratch := getScratch()
	attrs := c.appendArrival(scratch.attrs)
	live, span := a.exporter.StartConn(base, c.shard, &ConnStart{
		Time: c.start, ID: id, Route: rt.name, Name: "CONNECT " + rt.name,
		Remote:  a.remoteContext(strings.Join(r.Header.Values("Traceparent"), ","), strings.Join(r.Header.Values("Tracestate"), ",")),
		Request: c.request.RequestInfo,
		Attrs:   attrs,
	})
	scratch.put(attrs)
	c.span = span
	ls := &liveScope{ctx: live}
	if span != nil {
		s.ids, ls.parent = span, span
	}
	s.live.Store(ls)

	c.logArrival()
	return c
}

// remoteContext parses a trace context that came from outside; one that is
// malformed is counted.
func (a *Agent) remoteContext(traceparent, tracestate string) SpanContext {
	if traceparent == "" {
		return SpanContext{}
	}
	sc, err := ParseTraceParent(traceparent, tracestate)
	if err != nil {
		a.drops.traceContexts.Add(1)
		return SpanContext{}
	}
	return sc
}

// originOf returns the scheme and host of the Origin header.
func originOf(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return semconv.Other
	}
	return sanitize(u.Scheme+"://"+u.Host, 256)
}

// postponedEnd is an end that waits for the handler's panic: a handler that
// panics closes its connection in its deferred calls, before its panic is known
// here.
type postponedEnd struct {
	tap   *tap
	timer *time.Timer
}

// maxPostponed bounds the wait for a panic that the handler itself recovers.
const maxPostponed = time.Second

// closing is called when the connection is about to be closed.
func (c *Conn) closing(t *tap) {
	if panickingHandler() {
		c.mu.Lock()
		c.postponed = &postponedEnd{tap: t, timer: time.AfterFunc(maxPostponed, c.reportPostponed)}
		c.mu.Unlock()
	}
}

// reportPostponed reports the end that has waited, if any, when no call is under
// way any more.
func (c *Conn) reportPostponed() {
	c.mu.Lock()
	postponed := c.postponed
	c.postponed = nil
	c.mu.Unlock()
	if postponed != nil {
		postponed.timer.Stop()
		postponed.tap.enter()
		postponed.tap.leave()
	}
}

// panickingHandler reports whether the caller is deferred by a panic on the
// goroutine of a watched handler.
func panickingHandler() bool {
	var pcs [64]uintptr
	panicking := false
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			switch f.Function {
			case "runtime.gopanic":
				panicking = true
			case handlerFrame:
				return panicking
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// handlerFrame is how the runtime names what calls handlers and reports their panics.
const handlerFrame = "github.com/apmws/go-apmws/apmws.(*handler).ServeHTTP"
