package apmws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestHeartbeatRTT: pings are answered by a client that reads, and measured.
func TestHeartbeatRTT(t *testing.T) {
	for name, withTLS := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			b := newBeating(t, withTLS, EndpointOptions{Heartbeat: Heartbeat{Interval: 20 * time.Millisecond}})
			conn := b.dial(t, "")
			reads(conn)
			eventually(t, "five round trips", func() bool { return b.route().PingRTT.Count >= 5 })
			if rtt := b.agent.Connections()[0].PingRTT; rtt <= 0 || rtt > 10*time.Second {
				t.Errorf("the last round trip took %v", rtt)
			}
			conn.Close()
			b.rec.wait(t, "disconnect", 1)
			if n := len(b.lines(t, "websocket peer lost")); n != 0 {
				t.Errorf("%d peers lost", n)
			}
		})
	}
}

// TestHeartbeatLost: a peer to which, or from which, nothing passes any more is
// lost. The proxy goes on accepting what either side sends, and keeps its
// connections, so that neither learns anything from TCP.
func TestHeartbeatLost(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	for _, test := range []struct {
		name             string
		withTLS          bool
		toServer, toPeer bool
	}{
		{"both directions", false, true, true},
		{"to the server", false, true, false},
		{"to the peer", false, false, true},
		{"both directions, TLS", true, true, true},
		{"to the server, TLS", true, true, false},
		{"to the peer, TLS", true, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBeating(t, test.withTLS, EndpointOptions{
				Heartbeat: Heartbeat{Interval: 50 * time.Millisecond, Timeout: timeout},
				Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
					c.SetUser("anna")
					return ctx, nil
				},
			})
			proxy := newCutter(t, b.Listener.Addr().String())
			conn := b.dial(t, proxy.addr)
			reads(conn)
			eventually(t, "a round trip", func() bool { return b.route().PingRTT.Count > 0 })
			proxy.toServer.Store(test.toServer)
			proxy.toPeer.Store(test.toPeer)

			end := b.rec.wait(t, "disconnect", 1)[0]
			if end.result != "heartbeat_timeout" || end.outcome != OutcomeUnknown ||
				end.attrs["websocket.close.initiator"] != "network" || end.attrs["websocket.close.code"] != "none" || end.attrs["hook"] != true {
				t.Errorf("DISCONNECT is %s, %s, %v", end.result, end.outcome, end.attrs)
			}
			if err := receive(t, b.closed); !errors.Is(err, ErrPeerLost) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("Close got %v", err)
			}
			if s := b.route(); s.PingsUnanswered == 0 {
				t.Errorf("%d pings unanswered", s.PingsUnanswered)
			}
			eventually(t, "no connection is left", func() bool { return len(b.agent.Connections()) == 0 })
			lines := b.lines(t, "websocket peer lost")
			if len(lines) != 1 {
				t.Fatalf("the lines are %v", lines)
			}
			for key, want := range map[string]any{
				"level": "warn", "event.action": "websocket-peer-lost", "labels.websocket_event": "disconnect",
				"event.reason": "heartbeat_timeout", "client.address": "127.0.0.1", "user.id": "anna",
				"labels.http_route": "/ws", "labels.websocket_connection_id": end.attrs["websocket.connection.id"],
			} {
				if lines[0][key] != want {
					t.Errorf("%s is %v, want %v", key, lines[0][key], want)
				}
			}
			if silence, ok := lines[0]["event.duration"].(float64); !ok || time.Duration(silence) < timeout*3/4 {
				t.Errorf("it was silent for %v", lines[0]["event.duration"])
			}
		})
	}
}

// TestAbandonDuringClose: when a peer is given up while the Close hook runs, the
// connection has not ended before that.
func TestAbandonDuringClose(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	server := httptest.NewServer(agent.Endpoint("/ws", EndpointOptions{
		Message: func(context.Context, Message) error { return nil },
		Close: func(_ context.Context, c *Conn, _ error) {
			c.tapped().abandon()
			c.SetAttrs(slog.Bool("hook", true))
		},
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+server.Listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if end := rec.wait(t, "disconnect", 1)[0]; end.attrs["hook"] != true {
		t.Errorf("DISCONNECT is without what the hook has set: %v", end.attrs)
	}
}

// TestHeartbeatSlowHandler: a peer that has answered is not lost while a handler
// keeps the program from reading that, whatever has come before the pong.
func TestHeartbeatSlowHandler(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]int{"one message": 0, "messages ahead of the pong": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			entered := make(chan struct{}, 100)
			var begin sync.Once
			b := newBeating(t, false, EndpointOptions{
				Heartbeat: Heartbeat{Interval: -1},
				Message: func(ctx context.Context, m Message) error {
					begin.Do(func() { // until now the program has waited for the peer
						FromContext(ctx).Heartbeat(Heartbeat{Interval: 30 * time.Millisecond, Timeout: 80 * time.Millisecond})
					})
					entered <- struct{}{}
					<-release
					return FromContext(ctx).Write(ctx, m.Type, m.Data)
				},
			})
			conn := b.dial(t, "")
			answered := make(chan struct{}, 1000)
			conn.SetPingHandler(func(data string) error {
				err := conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(10*time.Second))
				answered <- struct{}{}
				return err
			})
			for range 1 + ahead {
				if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			receive(t, entered)
			got := make(chan error, 1)
			go func() {
				for range 1 + ahead {
					if _, _, err := conn.ReadMessage(); err != nil {
						got <- err
						return
					}
				}
				got <- nil
			}()
			receive(t, answered) // after the handler was entered: it lies unread
			// The wheel looks again and again: many times the timeout passes.
			c := b.agent.registry.open()[0]
			for range 10 {
				from := c.looked()
				eventually(t, "the heartbeat looks", func() bool { return c.looked() != from })
			}
			close(release)
			if err := receive(t, got); err != nil {
				t.Fatalf("the peer was lost: %v", err)
			}
			if lines := b.lines(t, "websocket peer lost"); len(lines) != 0 {
				t.Errorf("%v", lines)
			}
		})
	}
}

// looked returns when the heart looks next.
func (c *Conn) looked() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.heart.Load(); h != nil {
		return h.alarm.at
	}
	return 0
}

// TestHeartbeatTraffic: a peer that answers no ping lives as long as anything
// comes from it, if that is a message that never ends.
func TestHeartbeatTraffic(t *testing.T) {
	const each, timeout = 50 * time.Millisecond, 400 * time.Millisecond
	opts := EndpointOptions{Heartbeat: Heartbeat{Interval: 20 * time.Millisecond, Timeout: timeout}, Message: neverMessage(t)}
	lived, end := inBubble(t, opts, func(t *testing.T, conn net.Conn, br *bufio.Reader) {
		go func() { _, _ = io.Copy(io.Discard, br) }()
		// A message of 1,000 bytes in parts, altogether for more than twice the timeout.
		whole := frame(true, opText, anyMask, make([]byte, 1000))
		for i := range 20 {
			if _, err := conn.Write(whole[i*10 : i*10+10]); err != nil {
				t.Fatalf("after %d parts: %v", i, err)
			}
			time.Sleep(each)
		}
	})
	if end.result != "heartbeat_timeout" {
		t.Errorf("DISCONNECT is %s", end.result)
	}
	between(t, lived, 19*each+timeout*3/4, 20*each+2*timeout)
}

// TestHeartbeatLevel1: beside a plain handler, begun before the upgrade, replaced,
// and ended.
func TestHeartbeatLevel1(t *testing.T) {
	agent := New(Options{})
	conns := make(chan *Conn, 1)
	echo := echoLoop(&websocket.Upgrader{})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := FromContext(r.Context())
		c.Heartbeat(Heartbeat{Interval: 20 * time.Millisecond, Timeout: 10 * time.Second})
		conns <- c
		echo.ServeHTTP(w, r)
	})))
	conn := dial(t, url, nil)
	reads(conn)
	c := receive(t, conns)
	count := func() uint64 { return agent.Stats().Routes[0].PingRTT.Count }
	eventually(t, "three round trips", func() bool { return count() >= 3 })
	c.Heartbeat(Heartbeat{Interval: -1})
	if agent.wheel.scheduled() != 0 {
		t.Error("an alarm is set after the end of the heartbeat")
	}
	c.Heartbeat(Heartbeat{Interval: time.Hour})
	c.Heartbeat(Heartbeat{Interval: 10 * time.Millisecond})
	n := count()
	eventually(t, "three more", func() bool { return count() >= n+3 })
	if agent.wheel.scheduled() > 1 {
		t.Errorf("%d alarms are set", agent.wheel.scheduled())
	}
	conn.Close()
	// One that rings is not set, either: the connection must have ended.
	eventually(t, "the end", func() bool { return agent.Stats().Routes[0].ConnectionsActive == 0 })
	eventually(t, "no alarm is set", func() bool { return agent.wheel.scheduled() == 0 })
	c.Heartbeat(Heartbeat{})
	(*Conn)(nil).Heartbeat(Heartbeat{})
	if agent.wheel.scheduled() != 0 {
		t.Error("a connection that has ended has a heartbeat")
	}
}

func (w *wheel) scheduled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heap)
}

// TestHeartbeatForgotten: a heartbeat does not keep a connection that the program
// has lost.
func TestHeartbeatForgotten(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Long enough for the garbage collector to run in between.
		FromContext(r.Context()).Heartbeat(Heartbeat{Interval: 400 * time.Millisecond})
		_, _ = (&websocket.Upgrader{}).Upgrade(w, r, nil)
	})))
	conn := dial(t, url, nil)
	pinged := make(chan struct{}, 100)
	conn.SetPingHandler(func(string) error { pinged <- struct{}{}; return nil })
	reads(conn)
	receive(t, pinged)
	eventually(t, "the garbage collector closes it", func() bool {
		runtime.GC()
		return len(rec.all("disconnect")) == 1
	})
	eventually(t, "no alarm is set", func() bool { return agent.wheel.scheduled() == 0 })
}

// TestHeartbeatLeavesNothing: no goroutine stays when the connections have ended.
func TestHeartbeatLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	b := newBeating(t, false, EndpointOptions{Heartbeat: Heartbeat{Interval: 10 * time.Millisecond}})
	for range 20 {
		reads(b.dial(t, ""))
	}
	eventually(t, "round trips", func() bool { return b.route().PingRTT.Count > 100 })
	for _, c := range b.agent.registry.open() {
		if tp := c.tapped(); tp != nil {
			tp.Close()
		}
	}
	b.rec.wait(t, "disconnect", 20)
	b.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// TestHeartbeatOfAges: times that nobody lives to see are no times of the past.
func TestHeartbeatOfAges(t *testing.T) {
	c := watched(t)
	for _, h := range []Heartbeat{{Interval: math.MaxInt64}, {Timeout: math.MaxInt64}, {Interval: math.MaxInt64, Timeout: math.MaxInt64}} {
		c.Heartbeat(h)
		now := monotonic()
		c.mu.Lock()
		heart := c.heart.Load()
		heart.since = now
		if heart.alarm.at < now || now+heart.opts.jittered() < now || heart.firstLook() < now {
			t.Errorf("%+v: the first ping is in %s, the next %s later", h, heart.alarm.at-now, heart.opts.jittered())
		}
		c.mu.Unlock()
	}
}

// TestLostOnce: where the end has another cause already, no line says that the peer was
// lost.
func TestLostOnce(t *testing.T) {
	for how, lines := range map[endingKind]int{endedByClose: 1, endedByTimeout: 1, endedByRead: 0, endedByPeerFrame: 0} {
		l := newLogged(Options{})
		c := l.arrive(upgradeRequest())
		c.accepted()
		tp := &tap{Conn: &scripted{}, conn: c}
		c.ended(ending{how: how})
		l.lines(t)
		c.lose(tp, time.Second)
		lost := 0
		for _, line := range l.lines(t) {
			if line["message"] == "websocket peer lost" {
				lost++
			}
		}
		if lost != lines {
			t.Errorf("%d: %d lines", how, lost)
		}
	}
}
