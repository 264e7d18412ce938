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

// recorderOf finds the recorder below w. It is nil where a middleware in between
// has no Unwrap.
func recorderOf(w http.ResponseWriter) *responseRecorder {
	for {
		switch t := w.(type) {
		case interface{ recorder() *responseRecorder }:
			return t.recorder()
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// recorder is promoted by what asWriter returns.
func (w *responseRecorder) recorder() *responseRecorder { return w }

// answered reports whether something has been written to w, or can be no more.
func answered(w http.ResponseWriter) bool {
	rec := recorderOf(w)
	return rec != nil && (rec.status != 0 || rec.hijacked)
}
