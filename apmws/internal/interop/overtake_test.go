package interop

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/apmws/go-apmws/apmws"
)

// lateListener's connections return from a write only when what the peer
// answered has been read. A scheduler may do that to any connection that has a
// reader of its own.
type lateListener struct{ net.Listener }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &lateConn{Conn: c, reading: make(chan struct{}, 1)}, err
}

type lateConn struct {
	net.Conn
	late    atomic.Bool
	reading chan struct{} // the reader has come back for more
}

func (c *lateConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.late.Load() {
		<-c.reading
	}
	return n, err
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		c.late.Store(false)
	}
	return n, err
}

// TestAnswerOvertakesWrite: the answer to a ping or to a close frame is read
// before the write of it has returned.
func TestAnswerOvertakesWrite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		out  ws.Frame
		want map[string]any
	}{
		{"ping", ws.NewPingFrame([]byte("1")), map[string]any{"websocket.close.initiator": "server"}},
		{"close", ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")), map[string]any{
			"websocket.close.initiator": "server", "websocket.close.code": "1001", "websocket.close.cause": "going_away",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(apmws.Options{})
			h := w.agent.Handler(route, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				conn, _, _, err := ws.UpgradeHTTP(r, rw)
				if err != nil {
					t.Error(err)
					return
				}
				inner := conn.(interface{ NetConn() net.Conn }).NetConn().(*lateConn)
				inner.late.Store(true)
				written := make(chan error, 1)
				go func() {
					_, err := conn.Write(ws.MustCompileFrame(tc.out)) // one write
					written <- err
				}()
				answer := make([]byte, 100)
				if _, err := conn.Read(answer); err != nil {
					t.Error(err)
				}
				inner.reading <- struct{}{} // the answer has passed the agent
				if err := <-written; err != nil {
					t.Error(err)
				}
				_ = conn.Close()
			}))
			srv := startOn(t, h, func(l net.Listener) net.Listener { return lateListener{l} })
			p := srv.upgrade(t)
			f := p.next()
			if f.op == opPing {
				f.op = opPong
			}
			p.send(f.op, f.payload)
			p.rest()
			end := w.end(t)
			for key, want := range tc.want {
				if end.attrs[key] != want {
					t.Errorf("%s = %v, want %v", key, end.attrs[key], want)
				}
			}
			if tc.name == "ping" {
				s := w.stats(t)
				if rtt, _ := end.attrs["websocket.ping.rtt"].(float64); rtt <= 0 || s.PingRTT.Count != 1 || s.PingsUnanswered != 0 {
					t.Errorf("rtt %v, %d round trips, %d pings unanswered; want one round trip", rtt, s.PingRTT.Count, s.PingsUnanswered)
				}
			}
		})
	}
}
