package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// withoutHijack is a middleware whose ResponseWriter cannot be hijacked.
func withoutHijack(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
}

// onceMore is a plain request on the same connection.
const onceMore = "GET /plain HTTP/1.1\r\nHost: ws.test\r\nConnection: close\r\n\r\n"

// TestRefusals: handshakes that libraries and handlers refuse, or answer
// otherwise.
func TestRefusals(t *testing.T) {
	t.Parallel()
	ok := handshake()
	for name, request := range map[string]string{
		"no key":           strings.Replace(ok, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"bad key":          strings.Replace(ok, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1),
		"old version":      strings.Replace(ok, "Version: 13", "Version: 8", 1),
		"no version":       strings.Replace(ok, "Sec-WebSocket-Version: 13\r\n", "", 1),
		"no upgrade":       strings.Replace(ok, "Upgrade: websocket\r\n", "", 1),
		"no connection":    strings.Replace(ok, "Connection: Upgrade\r\n", "", 1),
		"foreign origin":   handshake("Origin: https://evil.test"),
		"malformed origin": handshake("Origin: ::"),
		"HTTP/1.0":         strings.Replace(ok, "HTTP/1.1", "HTTP/1.0", 1),
		"POST":             strings.Replace(ok, "GET", "POST", 1),
		"POST with a body": strings.Replace(handshake("Content-Length: 5"), "GET", "POST", 1) + "hello",
	} {
		for _, l := range libraries {
			scene{
				name:    fmt.Sprintf("%s/%s", l.name, name),
				handler: func(*notes) http.Handler { return l.serve(upgrading{}, echo) },
				client: func(p *peer) string {
					r := p.ask(request)
					if r.StatusCode == http.StatusSwitchingProtocols {
						closed(1000)(p)
						return "accepted"
					}
					_ = p.tcp.CloseWrite()
					return p.rest()
				},
			}.run(t)
		}
	}
	for _, l := range libraries {
		for _, placed := range []struct {
			name string
			wrap func(http.Handler) http.Handler
		}{{"no Hijacker", withoutHijack}, {"Hijacker behind Unwrap", hidesHijacker}} {
			scene{
				name:    l.name + "/" + placed.name,
				handler: func(*notes) http.Handler { return placed.wrap(l.serve(upgrading{}, echo)) },
				client: func(p *peer) string {
					r := p.ask(ok)
					if r.StatusCode == http.StatusSwitchingProtocols {
						closed(1000)(p)
						return "accepted"
					}
					_ = p.tcp.CloseWrite()
					return p.rest()
				},
			}.run(t)
		}
	}
	scene{
		name: "401 with JSON, then another request",
		handler: handle(func(_ *notes, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/plain" {
				_, _ = io.WriteString(w, "plain")
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"who are you?"}`)
		}),
		client: func(p *peer) string {
			first := asksOnce(ok)(p)
			return first + asks(onceMore)(p)
		},
	}.run(t)
	for name, f := range map[string]func(n *notes, w http.ResponseWriter, r *http.Request){
		"nothing":           func(*notes, http.ResponseWriter, *http.Request) {},
		"Write alone":       func(_ *notes, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"WriteString":       func(_ *notes, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"two statuses":      twoStatuses,
		"early hints":       earlyHints,
		"flushed stream":    flushedStream,
		"controlled stream": controlledStream,
		"ReaderFrom":        readerFrom,
		"trailer":           trailer,
		"too little":        tooLittle,
		"body read":         bodyRead,
		"full duplex":       fullDuplex,
		"304":               func(_ *notes, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"invalid status":    func(_ *notes, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) },
		"interfaces":        interfaces,
	} {
		scene{
			name: name, handler: handle(f),
			client: func(p *peer) string {
				p.write([]byte(ok))
				_ = p.tcp.CloseWrite()
				return p.rest()
			},
		}.run(t)
	}
}

func twoStatuses(_ *notes, w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	w.WriteHeader(http.StatusTeapot)
}

func earlyHints(_ *notes, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusForbidden)
}

func flushedStream(n *notes, w http.ResponseWriter, _ *http.Request) {
	f, ok := w.(http.Flusher)
	n.add("Flusher %t", ok)
	for i := range 3 {
		fmt.Fprintf(w, "line %d\n", i)
		f.Flush()
	}
}

func controlledStream(n *notes, w http.ResponseWriter, _ *http.Request) {
	rc := http.NewResponseController(w)
	n.add("deadlines %v %v", rc.SetReadDeadline(time.Now().Add(patience)), rc.SetWriteDeadline(time.Now().Add(patience)))
	w.WriteHeader(http.StatusForbidden)
	n.add("flush %v", rc.Flush())
	_, err := io.WriteString(w, "go away")
	n.add("write %v, flush %v", err, rc.Flush())
	n.add("past %v", rc.SetWriteDeadline(time.Unix(1, 0)))
	_, err = io.WriteString(w, "too late")
	n.add("write %v, flush fails %t", err, rc.Flush() != nil)
}

// readerFrom answers as a program does that copies a file.
func readerFrom(n *notes, w http.ResponseWriter, _ *http.Request) {
	copied, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(make([]byte, 1500))})
	n.add("copied %d %v", copied, err)
}

func trailer(_ *notes, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Trailer", "Checksum")
	_, _ = io.WriteString(w, "body")
	w.Header().Set("Checksum", "1")
}

func tooLittle(n *notes, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "3")
	_, err := io.WriteString(w, "four")
	n.add("too long: %t", errors.Is(err, http.ErrContentLength))
}

func bodyRead(n *notes, w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	n.add("%q %v", b, err)
	w.WriteHeader(http.StatusForbidden)
}

func fullDuplex(n *notes, w http.ResponseWriter, _ *http.Request) {
	n.add("%v", http.NewResponseController(w).EnableFullDuplex())
	w.WriteHeader(http.StatusForbidden)
}

// interfaces notes what libraries ask of a ResponseWriter.
func interfaces(n *notes, w http.ResponseWriter, _ *http.Request) {
	_, flusher := w.(http.Flusher)
	_, hijacker := w.(http.Hijacker)
	_, pusher := w.(http.Pusher)
	_, readerFrom := w.(io.ReaderFrom)
	_, closeNotifier := w.(interface{ CloseNotify() <-chan bool })
	n.add("Flusher %t, Hijacker %t, Pusher %t, ReaderFrom %t, CloseNotifier %t", flusher, hijacker, pusher, readerFrom, closeNotifier)
}
