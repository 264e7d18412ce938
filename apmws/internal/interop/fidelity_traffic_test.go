package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// TestNetBuffers: a vector of writes.
func TestNetBuffers(t *testing.T) {
	t.Parallel()
	scene{
		name: "alone",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			large := bytes.Repeat([]byte("0123456789"), 10000)
			buffers := net.Buffers{[]byte(switching), []byte("\x82\x7f\x00\x00\x00\x00\x00\x01\x86\xa0"), large, nil, []byte("\x81\x00")}
			wrote, err := buffers.WriteTo(conn)
			n.add("%d %v, %d left", wrote, err, len(buffers))
			_ = conn.Close()
			buffers = net.Buffers{[]byte("more"), []byte("bytes")}
			wrote, err = buffers.WriteTo(conn)
			n.add("%d %t, %d left", wrote, errors.Is(err, net.ErrClosed), len(buffers))
		}),
		client: asks(handshake()),
	}.run(t)
	scene{
		name: "gorilla's large messages",
		handler: func(*notes) http.Handler {
			return library{"gorilla", upgradeGorilla}.serve(upgrading{}, func(c wsConn, _ *http.Request) {
				for _, size := range []int{4000, 4096, 5000, 100_000, 1 << 20} {
					_ = c.send(opBinary, make([]byte, size))
				}
			})
		},
		client: asks(handshake()),
	}.run(t)
}

// TestHalfClose: one direction ends before the other.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	scene{
		name: "server's",
		handler: hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
			put(conn, switching+"\x81\x02hi")
			closer, ok := conn.(interface{ CloseWrite() error })
			if !ok {
				n.add("no CloseWrite")
				return
			}
			n.add("%v", closer.CloseWrite())
			_, err := conn.Write([]byte("x"))
			n.add("write fails %t", err != nil)
			b, err := io.ReadAll(brw)
			n.add("%q %v", b, err)
		}),
		client: func(p *peer) string {
			p.ask101(handshake())
			how := p.rest()
			p.write([]byte("\x81\x80\x00\x00\x00\x00"))
			_ = p.conn.(interface{ CloseWrite() error }).CloseWrite()
			return how
		},
	}.run(t)
	scene{
		name: "client's",
		handler: hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
			put(conn, switching)
			b, err := io.ReadAll(brw)
			n.add("%q %v", b, err)
			put(conn, "\x81\x02hi")
		}),
		client: func(p *peer) string {
			p.ask101(handshake())
			p.write([]byte("\x81\x80\x00\x00\x00\x00"))
			_ = p.conn.(interface{ CloseWrite() error }).CloseWrite()
			return p.rest()
		},
	}.run(t)
	scene{
		name:    "server's reading",
		tcpOnly: true,
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			n.add("%v", conn.(interface{ CloseRead() error }).CloseRead())
			_, err := conn.Read(make([]byte, 1))
			n.add("%v", err)
			put(conn, "\x81\x02hi")
		}),
		client: asks(handshake()),
	}.run(t)
}

// TestCloseNotify: a TLS connection says goodbye when it is closed, also while
// a read is waiting.
func TestCloseNotify(t *testing.T) {
	t.Parallel()
	for name, reading := range map[string]bool{"idle": false, "reading": true} {
		scene{
			name: name,
			handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
				put(conn, switching)
				ended := make(chan error, 1)
				if reading {
					go func() {
						_, err := conn.Read(make([]byte, 1))
						ended <- err
					}()
				} else {
					ended <- net.ErrClosed
				}
				n.add("%v", conn.Close())
				n.add("%t", errors.Is(receive(n.t, "the read's end", ended), net.ErrClosed))
			}),
			client: asks(handshake()),
		}.run(t)
	}
	scene{
		name: "state",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			if secure, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
				n.add("%t %s", secure.ConnectionState().HandshakeComplete, secure.ConnectionState().ServerName)
			}
			n.add("done")
		}),
		client: asks(handshake()),
	}.run(t)
}

// TestManyWriters: frames of concurrent writers stay whole, and are counted.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 50
	write := func(send func(op byte, b []byte) error) error {
		var wg sync.WaitGroup
		errs := make(chan error, writers)
		for i := range writers {
			wg.Go(func() {
				for j := range each {
					b := bytes.Repeat([]byte{byte(i)}, (i*each+j)*7%3000)
					if err := send(opBinary, append(b, byte(j))); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
	for name, h := range map[string]func(n *notes) http.Handler{
		"coder": func(n *notes) http.Handler {
			return library{"coder", upgradeCoder}.serve(upgrading{}, func(c wsConn, _ *http.Request) {
				n.add("%v", write(c.send))
			})
		},
		"gorilla": func(n *notes) http.Handler {
			return library{"gorilla", upgradeGorilla}.serve(upgrading{}, func(c wsConn, _ *http.Request) {
				var mu sync.Mutex
				n.add("%v", write(func(op byte, b []byte) error {
					mu.Lock()
					defer mu.Unlock()
					return c.send(op, b)
				}))
			})
		},
		"net.Conn": hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			n.add("%v", write(func(op byte, b []byte) error {
				_, err := conn.Write(frame{fin: true, op: op, payload: b}.encode())
				return err
			}))
		}),
	} {
		// Their order is nobody's, so the frames are compared sorted.
		sorted := func(t *testing.T, watched, withTLS bool) (frames []string) {
			n := &notes{t: t, done: make(chan struct{})}
			handler := h(n)
			w := newWatch(apmws.Options{})
			if watched {
				handler = w.agent.Handler(route, handler)
			}
			p := start(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				defer close(n.done)
				handler.ServeHTTP(rw, r)
			}), withTLS).upgrade(t)
			for range writers * each {
				f := p.next()
				frames = append(frames, fmt.Sprintf("%t %d %x", f.fin, f.op, f.payload))
			}
			p.rest()
			receive(t, "the handler's end", n.done)
			slices.Sort(frames)
			if watched {
				checkEnd(t, w, tally{}, p.framesRead())
			}
			return append(frames, n.lines...)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachTransport(t, func(t *testing.T, withTLS bool) {
				if got, want := sorted(t, true, withTLS), sorted(t, false, withTLS); !slices.Equal(got, want) {
					t.Error("the peer reads other frames with the agent")
				}
			})
		})
	}
}
