package interop

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// wsConn is a server's connection of any of the libraries, used the way its
// documentation shows.
type wsConn interface {
	// receive reads a message; it answers control frames on the way.
	receive() (op byte, payload []byte, err error)
	send(op byte, payload []byte) error
	// ping sends a ping and does not wait for the pong.
	ping() error
	// shut performs the closing handshake from the server's side.
	shut(code int, reason string)
	// drop closes the connection without a word.
	drop()
	// within bounds every later receive.
	within(d time.Duration)
	// limit bounds the size of messages.
	limit(bytes int64)
}

// upgrading says how to upgrade.
type upgrading struct {
	compress bool
	header   http.Header // what the handler passes to the library, where it can
}

// library is a WebSocket library.
type library struct {
	name string
	// upgrade answers the handshake; on an error it has been refused.
	upgrade func(w http.ResponseWriter, r *http.Request, opts upgrading) (wsConn, error)
}

var libraries = []library{
	{"gorilla", upgradeGorilla},
	{"coder", upgradeCoder},
	{"gobwas", upgradeGobwas},
}

// serve is a handler that upgrades and calls f. Like the libraries' examples it
// closes the connection when it is done.
func (l library) serve(opts upgrading, f func(wsConn, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := l.upgrade(w, r, opts)
		if err != nil {
			return
		}
		defer c.drop()
		f(c, r)
	})
}

// echo sends back what comes in, until that ends.
func echo(c wsConn, _ *http.Request) {
	c.limit(4 << 20)
	for {
		op, payload, err := c.receive()
		if err != nil {
			return
		}
		if c.send(op, payload) != nil {
			return
		}
	}
}

// eachLibrary runs f for each library but those named.
func eachLibrary(t *testing.T, f func(t *testing.T, l library), but ...string) {
	for _, l := range libraries {
		if slices.Contains(but, l.name) {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			f(t, l)
		})
	}
}

// eachTransport runs f over TCP and TLS.
func eachTransport(t *testing.T, f func(t *testing.T, withTLS bool)) {
	for name, withTLS := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, withTLS)
		})
	}
}
