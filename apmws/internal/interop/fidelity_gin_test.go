package interop

import (
	"bufio"
	"net"
	"net/http"
	"testing"
)

// lazyHeader is a middleware whose ResponseWriter, like gin's, writes the
// status with the first byte of the body, or when WriteHeaderNow is called.
func lazyHeader(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lazy := &lazyWriter{ResponseWriter: w}
		next.ServeHTTP(lazy, r)
		if !lazy.hijacked {
			lazy.WriteHeaderNow()
		}
	})
}

type lazyWriter struct {
	http.ResponseWriter
	status            int
	written, hijacked bool
}

func (w *lazyWriter) WriteHeader(status int) { w.status = status }

func (w *lazyWriter) WriteHeaderNow() {
	if !w.written && w.status != 0 {
		w.written = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

func (w *lazyWriter) Write(b []byte) (int, error) {
	w.WriteHeaderNow()
	return w.ResponseWriter.Write(b)
}

func (w *lazyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// TestLazyHeader: the agent's handler is mounted in a framework like gin.
// coder calls its WriteHeaderNow.
func TestLazyHeader(t *testing.T) {
	t.Parallel()
	for _, l := range libraries {
		scene{
			name:    l.name,
			handler: func(*notes) http.Handler { return l.serve(upgrading{}, echo) },
			outer:   lazyHeader,
			client: func(p *peer) string {
				p.ask101(handshake())
				closed(1000)(p)
				return "accepted"
			},
		}.run(t)
	}
}
