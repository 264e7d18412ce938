package interop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/apmws/go-apmws/apmws"
)

// TestHeartbeatTimeout: a read deadline passes while a ping is unanswered.
func TestHeartbeatTimeout(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		for _, pings := range []bool{true, false} {
			t.Run(fmt.Sprintf("ping=%t", pings), func(t *testing.T) {
				t.Parallel()
				w := newWatch(apmws.Options{})
				srv := start(t, w.agent.Handler(route, l.serve(upgrading{}, func(c wsConn, _ *http.Request) {
					if pings {
						if err := c.ping(); err != nil {
							t.Error(err)
						}
					}
					c.within(20 * time.Millisecond)
					if _, _, err := c.receive(); err == nil {
						t.Error("received a message")
					}
				})), false)
				srv.upgrade(t).rest()
				want := closeWanted{"none", "network", "read_error", unknown}
				if pings {
					want.cause = "heartbeat_timeout"
				}
				checkClose(t, w, want)
			})
		}
	}, "coder") // it sets no deadlines
}

// TestDeadlinesThatWereSurvived: a deadline that passed is not the end when the
// connection goes on.
func TestDeadlinesThatWereSurvived(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		serve func(t *testing.T, c *gobwasConn)
		peer  func(p *peer)
		want  closeWanted
	}{
		"read, then a message": {
			func(t *testing.T, c *gobwasConn) { missRead(t, c); echo(c, nil) },
			func(p *peer) { p.send(opText, []byte("x")); p.message(); closed(1000)(p) },
			closeWanted{"1000", "client", "normal", good},
		},
		"read, then the end of the stream": {
			func(t *testing.T, c *gobwasConn) { _ = c.ping(); missRead(t, c); echo(c, nil) },
			func(p *peer) { p.next(); p.vanish() },
			closeWanted{"none", "network", "read_error", unknown},
		},
		"read, then a close frame of our own": {
			func(t *testing.T, c *gobwasConn) { missRead(t, c); c.shut(1001, "idle") },
			answersClose,
			closeWanted{"1001", "server", "going_away", good},
		},
		"write, then the rest": {
			func(t *testing.T, c *gobwasConn) { missWrite(t, c); echo(c, nil) },
			func(p *peer) { p.message(); closed(1000)(p) },
			closeWanted{"1000", "client", "normal", good},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(apmws.Options{})
			missed := make(chan struct{})
			h := library{"gobwas", upgradeGobwas}.serve(upgrading{}, func(c wsConn, _ *http.Request) {
				g := c.(*gobwasConn)
				g.missed = missed
				tc.serve(t, g)
			})
			srv := start(t, w.agent.Handler(route, h), false)
			p := srv.upgrade(t)
			_ = p.tcp.SetReadBuffer(64 << 10)
			receive(t, "a missed deadline", missed)
			tc.peer(p)
			checkEnd(t, w, p.framesWrote(), p.framesRead())
			checkClose(t, w, tc.want)
		})
	}
}

// missRead waits for a message that does not come in time.
func missRead(t *testing.T, c *gobwasConn) {
	_ = c.SetReadDeadline(briefly())
	if _, err := c.br.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want a missed deadline", err)
	}
	close(c.missed)
	_ = c.SetReadDeadline(time.Time{})
}

// missWrite writes a message that the peer does not take in time, and then the
// rest of it.
func missWrite(t *testing.T, c *gobwasConn) {
	smallBuffers(t, c.Conn)
	b := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, 8<<20)))
	_ = c.SetWriteDeadline(briefly())
	n, err := c.Conn.Write(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %d bytes, %v, want a missed deadline", n, err)
	}
	close(c.missed)
	_ = c.SetWriteDeadline(time.Time{})
	if _, err := c.Conn.Write(b[n:]); err != nil {
		t.Error("write of the rest:", err)
	}
}

// smallBuffers makes writes to a peer that does not read block soon.
func smallBuffers(t *testing.T, conn net.Conn) {
	t.Helper()
	sized, ok := conn.(interface{ SetWriteBuffer(bytes int) error })
	if !ok {
		t.Fatalf("%T has no SetWriteBuffer", conn)
	}
	if err := sized.SetWriteBuffer(64 << 10); err != nil {
		t.Error(err)
	}
}
