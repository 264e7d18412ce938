package apmws

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// cutter is a proxy that can stop forwarding, in either direction, without a word
// to anybody: what a network does that drops packets.
type cutter struct {
	addr             string
	toServer, toPeer atomic.Bool // cut
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{addr: l.Addr().String()}
	var conns []net.Conn
	var mu sync.Mutex
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	pass := func(to, from net.Conn, cut *atomic.Bool) {
		b := make([]byte, 4096)
		for {
			n, err := from.Read(b)
			if cut.Load() {
				if err != nil {
					return
				}
				continue
			}
			if err != nil {
				to.Close()
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			peer, err := l.Accept()
			if err != nil {
				return
			}
			keep(peer)
			up, err := net.Dial("tcp", server)
			if err != nil {
				continue
			}
			keep(up)
			go pass(up, peer, &p.toServer)
			go pass(peer, up, &p.toPeer)
		}
	}()
	return p
}

// beating is a server with an endpoint and a heartbeat.
type beating struct {
	*httptest.Server
	agent  *Agent
	rec    *recorder
	logs   *lockedBuffer
	closed chan error // of the Close hook
}

// lines returns the log's lines with that message.
func (b *beating) lines(t *testing.T, msg string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.logs.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["message"] == msg {
			found = append(found, m)
		}
	}
	return found
}

func newBeating(t *testing.T, withTLS bool, opts EndpointOptions) *beating {
	t.Helper()
	b := &beating{rec: newRecorder(), logs: new(lockedBuffer), closed: make(chan error, 1000)}
	logger := zerolog.New(b.logs)
	b.agent = New(Options{Exporters: []Exporter{b.rec}, Logger: &logger})
	if opts.Message == nil {
		opts.Message = func(ctx context.Context, m Message) error { return FromContext(ctx).Write(ctx, m.Type, m.Data) }
	}
	opts.Close = func(_ context.Context, c *Conn, err error) {
		c.SetAttrs(slog.Bool("hook", true))
		b.closed <- err
	}
	b.Server = httptest.NewUnstartedServer(b.agent.Endpoint("/ws", opts))
	if withTLS {
		b.StartTLS()
	} else {
		b.Start()
	}
	t.Cleanup(b.Close)
	return b
}

// dial connects a client, through a proxy where addr is one's.
func (b *beating) dial(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		NetDial: func(network, addr string) (net.Conn, error) {
			conn, err := net.Dial(network, addr)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(16 << 10) // so that little is in flight to who does not read
			}
			return conn, err
		},
	}
	scheme := "ws://"
	if b.TLS != nil {
		scheme = "wss://"
	}
	if addr == "" {
		addr = b.Listener.Addr().String()
	}
	conn, _, err := d.Dial(scheme+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (b *beating) route() RouteStats { return b.agent.Stats().Routes[0] }

// reads makes a client read, and so answer pings.
func reads(conn *websocket.Conn) {
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
}

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
	const timeout = 300 * time.Millisecond
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

// TestHeartbeatSlowHandler: a peer that has answered is not lost while a handler
// keeps the program from reading that, whatever has come before the pong.
func TestHeartbeatSlowHandler(t *testing.T) {
	for name, ahead := range map[string]int{"one message": 0, "messages ahead of the pong": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			entered := make(chan struct{}, 100)
			b := newBeating(t, false, EndpointOptions{
				Heartbeat: Heartbeat{Interval: 30 * time.Millisecond, Timeout: 80 * time.Millisecond},
				Message: func(ctx context.Context, m Message) error {
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
	b := newBeating(t, false, EndpointOptions{Heartbeat: Heartbeat{Interval: 20 * time.Millisecond, Timeout: 400 * time.Millisecond}})
	conn := rawHandshake(t, "ws://"+b.Listener.Addr().String())
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	// A message of 1,000 bytes in parts, each after a while.
	whole := frame(true, opText, anyMask, make([]byte, 1000))
	for i := range 20 {
		if _, err := conn.Write(whole[i*10 : i*10+10]); err != nil {
			t.Fatalf("after %d parts: %v", i, err)
		}
		time.Sleep(50 * time.Millisecond) // altogether more than twice the timeout
	}
	if lines := b.lines(t, "websocket peer lost"); len(lines) != 0 {
		t.Fatalf("%v", lines)
	}
	if end := b.rec.wait(t, "disconnect", 1)[0]; end.result != "heartbeat_timeout" {
		t.Errorf("DISCONNECT is %s", end.result)
	}
}

// TestHeartbeatFullSockets: peers that read nothing, more than there are writers,
// delay nobody's ping, and are lost.
func TestHeartbeatFullSockets(t *testing.T) {
	for name, withTLS := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			const full, others = maxWriters + 16, 50
			blocked := make(chan struct{}, full)
			b := newBeating(t, withTLS, EndpointOptions{
				Heartbeat:    Heartbeat{Interval: 50 * time.Millisecond, Timeout: 2 * time.Second},
				WriteTimeout: -1,
				Message: func(ctx context.Context, m Message) error {
					blocked <- struct{}{}
					return FromContext(ctx).Write(ctx, m.Type, make([]byte, 16<<20))
				},
			})
			for range full {
				conn := b.dial(t, "")
				if err := conn.WriteMessage(websocket.BinaryMessage, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			for range full {
				receive(t, blocked)
			}
			var pinged [others]atomic.Int64
			for i := range others {
				conn := b.dial(t, "")
				answer := conn.PingHandler()
				conn.SetPingHandler(func(data string) error {
					pinged[i].Add(1)
					return answer(data)
				})
				reads(conn)
			}
			eventually(t, "all others are pinged three times", func() bool {
				for i := range pinged {
					if pinged[i].Load() < 3 {
						return false
					}
				}
				return true
			})
			for _, end := range b.rec.wait(t, "disconnect", full) {
				if end.result != "heartbeat_timeout" {
					t.Errorf("DISCONNECT is %s", end.result)
				}
			}
			eventually(t, "the others are left", func() bool { return len(b.agent.Connections()) == others })
		})
	}
}

// TestHeartbeatSlowPeer: a peer that takes a large message slowly, and says nothing
// meanwhile, is not lost.
func TestHeartbeatSlowPeer(t *testing.T) {
	const size = 24 << 20
	b := newBeating(t, false, EndpointOptions{
		Heartbeat:    Heartbeat{Interval: 20 * time.Millisecond, Timeout: 500 * time.Millisecond},
		WriteTimeout: -1,
		Message: func(ctx context.Context, m Message) error {
			return FromContext(ctx).Write(ctx, m.Type, make([]byte, size))
		},
	})
	conn := b.dial(t, "")
	if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
		t.Fatal(err)
	}
	_, message, err := conn.NextReader()
	if err != nil {
		t.Fatal(err)
	}
	for left := int64(size); left > 0; left -= 1 << 20 {
		if _, err := io.CopyN(io.Discard, message, min(left, 1<<20)); err != nil {
			t.Fatalf("%d bytes before the end: %v", left, err)
		}
		time.Sleep(50 * time.Millisecond) // in all, more than twice the timeout
	}
	if lines := b.lines(t, "websocket peer lost"); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
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

// TestHeartbeatHalfClosed: a program that has closed its side of the connection
// goes on reading.
func TestHeartbeatHalfClosed(t *testing.T) {
	agent := New(Options{})
	got := make(chan string, 1)
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := FromContext(r.Context())
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.NetConn().(halfCloser).CloseWrite()
		c.Heartbeat(Heartbeat{Interval: 10 * time.Millisecond, Timeout: 40 * time.Millisecond})
		_, data, err := conn.ReadMessage()
		if err != nil {
			data = []byte(err.Error())
		}
		got <- string(data)
	})))
	conn := dial(t, url, nil)
	eventually(t, "the heartbeat gives up", func() bool { return len(agent.Connections()) == 1 && agent.wheel.scheduled() == 0 })
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if text := receive(t, got); text != "hello" {
		t.Errorf("the handler read %q", text)
	}
}

// TestHeartbeatForgotten: a heartbeat does not keep a connection that the program
// has lost.
func TestHeartbeatForgotten(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		FromContext(r.Context()).Heartbeat(Heartbeat{Interval: 10 * time.Millisecond})
		_, _ = (&websocket.Upgrader{}).Upgrade(w, r, nil)
	})))
	conn := dial(t, url, nil)
	reads(conn)
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

// TestHeartbeatHours: the pings of ten hours are as far apart as they should be, in
// no step, and on time on the whole.
func TestHeartbeatHours(t *testing.T) {
	const hours = 10
	var at []time.Duration
	lived, end := inBubble(t, EndpointOptions{Message: func(context.Context, Message) error { return nil }},
		func(_ *testing.T, conn net.Conn, br *bufio.Reader) {
			start := time.Now()
			for time.Since(start) < hours*time.Hour {
				var header [2]byte
				if _, err := io.ReadFull(br, header[:]); err != nil {
					return
				}
				payload := make([]byte, header[1])
				if _, err := io.ReadFull(br, payload); err != nil {
					return
				}
				if header[0] == finBit|opPing {
					at = append(at, time.Since(start))
					_, _ = conn.Write(frame(true, opPong, anyMask, payload))
				}
			}
			conn.Close()
		})
	if lived < hours*time.Hour || end.result != "read_error" {
		t.Fatalf("it lived for %v, and DISCONNECT is %s", lived, end.result)
	}
	if at[0] < defaultInterval/2 || at[0] > defaultInterval+2*grain {
		t.Errorf("the first ping came after %v", at[0])
	}
	distances := map[time.Duration]bool{}
	for i := range at[1:] {
		d := at[i+1] - at[i]
		if d < defaultInterval*9/10 || d > defaultInterval*11/10+2*grain {
			t.Errorf("ping %d came after %v", i+1, d)
		}
		distances[d.Round(100*time.Millisecond)] = true
	}
	if want := int(hours * time.Hour / defaultInterval); len(at) < want*98/100 || len(at) > want*102/100 {
		t.Errorf("%d pings in %d hours, want about %d", len(at), hours, want)
	}
	if len(distances) < 30 {
		t.Errorf("the distances are but %d", len(distances))
	}
}

// TestHeartbeatSuspended: peers are not lost because the machine has slept: what
// they have sent meanwhile is read first.
func TestHeartbeatSuspended(t *testing.T) {
	c := watched(t)
	tp := &tap{Conn: &scripted{}, conn: c}
	tp.framed.Store(true)
	c.tappedBy(tp)
	tp.reads.Store(1) // a read is under way
	h := &heart{opts: Heartbeat{Timeout: 4 * time.Second}.settings()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heart.Store(h)
	h.listen(tp, time.Minute)
	h.phase = waiting
	if _, lost := c.judgeSilence(tp, h, 2*time.Hour); lost {
		t.Fatal("lost at the first look")
	}
	tp.reads.Add(1 + heardOnce) // it was there already
	tp.reads.Add(1)
	if _, lost := c.judgeSilence(tp, h, 2*time.Hour+time.Second); lost || h.phase != resting {
		t.Errorf("lost %v, phase %d", lost, h.phase)
	}
	c.stopHeart()
}

// TestHeartbeatLate: an alarm that rings when its time is long over says that the
// process has been suspended. The peer is asked once more before it is lost.
func TestHeartbeatLate(t *testing.T) {
	pings := make(chan []byte, 10)
	tp := tapOver(t, &scripted{write: func(b []byte) (int, error) { pings <- b; return len(b), nil }})
	c := tp.conn
	tp.reads.Store(1) // a read is under way
	h := &heart{opts: Heartbeat{Timeout: 4 * time.Second}.settings()}
	c.mu.Lock()
	c.heart.Store(h)
	h.listen(tp, monotonic()-time.Hour)
	h.phase, h.reads = doubted, 1
	h.alarm.at = monotonic() - time.Hour
	c.mu.Unlock()
	c.beat()
	if ping := receive(t, pings); ping[0] != finBit|opPing {
		t.Errorf("% x", ping)
	}
	if tp.lost.Load() {
		t.Error("the peer is lost")
	}
	c.beatBy(nil)
}

// TestHeartbeatUnread: who does not read is pinged all the same, since proxies in
// between close what is idle.
func TestHeartbeatUnread(t *testing.T) {
	release := make(chan struct{})
	b := newBeating(t, false, EndpointOptions{
		Heartbeat: Heartbeat{Interval: 20 * time.Millisecond, Timeout: 40 * time.Millisecond},
		Message:   func(context.Context, Message) error { <-release; return nil },
	})
	defer close(release)
	conn := b.dial(t, "")
	send(t, conn, "x")
	var pings atomic.Int64
	answer := conn.PingHandler()
	conn.SetPingHandler(func(data string) error { pings.Add(1); return answer(data) })
	reads(conn)
	eventually(t, "ten pings", func() bool { return pings.Load() >= 10 })
}

// TestJudgeSilence: whose silence it is.
func TestJudgeSilence(t *testing.T) {
	const none, begins, ends, brings, writes = 0, 1, 2, 3, 4
	for _, test := range []struct {
		name string
		// What reads do before the first look, between it and the second, and so on.
		does []int
		lost int // at which look; 0: never
	}{
		{"it waits all the time", []int{begins, none, none}, 2},
		{"it does not read", []int{none, none, none, none, none}, 0},
		{"it begins to read late", []int{none, none, none, begins, none, none}, 5},
		{"it begins just before the second look", []int{none, begins, none}, 3},
		{"it polls: a read ends in vain", []int{begins, ends}, 2},
		{"something comes", []int{begins, brings, none}, 0},
		{"something comes late", []int{none, none, begins, brings}, 0},
		{"a write waits", []int{writes, none}, 2},
		{"a write gets on", []int{writes, writes, writes, writes, writes}, 0},
		{"writes get on, then one waits", []int{writes, writes, writes, none}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := watched(t)
			tp := &tap{conn: c}
			h := &heart{opts: Heartbeat{}.settings()}
			c.mu.Lock()
			defer c.mu.Unlock()
			defer c.stopHeart()
			c.heart.Store(h)
			now := monotonic()
			h.listen(tp, now-time.Hour)
			h.phase, h.next = waiting, never
			for i, does := range test.does {
				switch does {
				case begins:
					tp.reads.Add(1)
				case ends:
					tp.quiet.Store(uint32(tp.reads.Load()))
					tp.reads.Add(1)
				case brings:
					tp.reads.Add(1 + heardOnce)
				case writes:
					tp.writes.Add(1 + tp.writes.Load()%2) // one is under way, then another
				}
				_, lost := c.judgeSilence(tp, h, now)
				now += h.opts.Timeout
				if lost != (i+1 == test.lost) {
					t.Fatalf("look %d: lost is %v", i+1, lost)
				}
				if lost || h.phase == resting {
					return
				}
			}
		})
	}
}
