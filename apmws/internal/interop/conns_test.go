package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// halfClosable is a connection of a listener that wraps: its type is nobody's
// business, its methods are.
type halfClosable struct {
	net.Conn
	tcp *net.TCPConn
}

func (c halfClosable) CloseWrite() error { return c.tcp.CloseWrite() }

type wrappingListener struct{ net.Listener }

func (l wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return halfClosable{c, c.(*net.TCPConn)}, nil
}

// TestOtherConns: connections that are neither plain TCP nor TLS can be half
// closed, if they could without the agent.
func TestOtherConns(t *testing.T) {
	t.Parallel()
	h := hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
		put(conn, switching+"\x81\x02hi")
		closer, ok := conn.(interface{ CloseWrite() error })
		n.add("CloseWrite %t", ok)
		if ok {
			n.add("%v", closer.CloseWrite())
		}
		b, err := io.ReadAll(brw)
		n.add("%q %v", b, err)
		close(n.done)
	})
	twice := func(h http.Handler) http.Handler {
		return newWatch(apmws.Options{}).agent.Handler(route, h)
	}
	for name, x := range map[string]struct {
		listen func(t *testing.T) net.Listener
		inside func(http.Handler) http.Handler
	}{
		"a wrapping listener": {listen: func(t *testing.T) net.Listener { return wrappingListener{listen(t, "tcp", "127.0.0.1:0")} }},
		"a unix socket": {listen: func(t *testing.T) net.Listener {
			return listen(t, "unix", filepath.Join(t.TempDir(), "s"))
		}},
		"a tap":     {listen: func(t *testing.T) net.Listener { return listen(t, "tcp", "127.0.0.1:0") }, inside: twice},
		"plain TCP": {listen: func(t *testing.T) net.Listener { return listen(t, "tcp", "127.0.0.1:0") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			see := func(watched bool) string {
				n := &notes{t: t, done: make(chan struct{})}
				handler := h(n)
				if watched {
					if x.inside != nil {
						handler = x.inside(handler)
					}
					handler = newWatch(apmws.Options{}).agent.Handler(route, handler)
				}
				srv := httptest.NewUnstartedServer(handler)
				_ = srv.Listener.Close()
				srv.Listener = x.listen(t)
				srv.Start()
				defer srv.Close()
				conn, err := net.Dial(srv.Listener.Addr().Network(), srv.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				put(conn, handshake())
				_ = conn.SetReadDeadline(time.Now().Add(patience)) // met only when there is no half-close
				read, err := io.ReadAll(conn)
				put(conn, "bye")
				_ = conn.(interface{ CloseWrite() error }).CloseWrite()
				receive(t, "the handler's end", n.done)
				return fmt.Sprintf("%q %s, the handler %q", read, ending(err), n.lines)
			}
			if got, want := see(true), see(false); got != want {
				t.Errorf("the client sees %s, without the agent %s", got, want)
			}
		})
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
