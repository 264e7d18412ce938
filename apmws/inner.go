package apmws

import (
	"bufio"
	"net"
	"net/http"
)

// A handler may be inside of another one of the same agent, with middleware in
// between. The outer one watches then.

// watched reports whether the agent watches a handshake already.
func (a *Agent) watched(r *http.Request) bool {
	c := FromContext(r.Context())
	return c != nil && c.agent == a
}

// withHijacker returns w with the Hijacker that a middleware in between hides
// behind Unwrap: gorilla looks for it on w alone.
func withHijacker(w http.ResponseWriter) http.ResponseWriter {
	if _, ok := w.(http.Hijacker); ok || !canHijack(w) {
		return w
	}
	return hijackingWriter{w}
}

type hijackingWriter struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (w hijackingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the writer underneath.
func (w hijackingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
