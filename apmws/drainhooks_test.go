package apmws

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestDrainDuringConnect: a Connect hook that is under way ends first, and what it
// writes arrives.
func TestDrainDuringConnect(t *testing.T) {
	connecting, release := make(chan struct{}), make(chan struct{})
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
			close(connecting)
			<-release
			return ctx, c.Write(ctx, TextMessage, []byte("welcome"))
		},
		Message: func(context.Context, Message) error { return nil },
	})), nil)
	receive(t, connecting)
	result := shutDown(within(t, time.Minute), t, agent)
	c := agent.registry.open()[0]
	eventually(t, "it is to be closed", func() bool { return c.retiring.Load() != nil })
	if c.retiring.Load().isDecided() {
		t.Error("it is closed before the hook has returned")
	}
	close(release)
	if _, greeting, err := conn.ReadMessage(); err != nil || string(greeting) != "welcome" {
		t.Errorf("%q, %v", greeting, err)
	}
	if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("%d %s", code, text)
	}
	if err := receive(t, result); err != nil {
		t.Error(err)
	}
	if end := rec.wait(t, "disconnect", 1)[0]; end.result != "drain" {
		t.Errorf("%+v", end)
	}
}

// TestDrainPanics: a hook that panics meanwhile holds nothing up, and is the cause.
func TestDrainPanics(t *testing.T) {
	for _, hook := range []string{"connect", "message", "close"} {
		t.Run(hook, func(t *testing.T) {
			entered, release := make(chan struct{}, 1), make(chan struct{})
			at := func(name string) {
				if name == hook {
					entered <- struct{}{}
					<-release
					panic(name)
				}
			}
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}})
			conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
				Connect: func(ctx context.Context, _ *Conn) (context.Context, error) {
					at("connect")
					return ctx, nil
				},
				Message: func(context.Context, Message) error {
					at("message")
					return nil
				},
				Close: func(context.Context, *Conn, error) { at("close") },
			})), nil)
			send(t, conn, "x")
			if hook == "close" {
				close(release)
			} else {
				receive(t, entered)
			}
			result := shutDown(within(t, time.Minute), t, agent)
			if hook != "close" {
				close(release)
			}
			if code, text := closeCodeOf(t, conn); (code == websocket.CloseInternalServerErr) != (hook != "close") {
				t.Errorf("%d %s", code, text)
			}
			if err := receive(t, result); err != nil {
				t.Error(err)
			}
			want := map[string]string{"connect": "panic", "message": "panic", "close": "drain"}[hook]
			if end := rec.wait(t, "disconnect", 1)[0]; end.result != want && end.result != "panic" {
				t.Errorf("%+v", end)
			}
		})
	}
}

// TestShutdownLateHijack: a handshake that becomes a connection when Shutdown has
// returned is closed at once.
func TestShutdownLateHijack(t *testing.T) {
	arrived, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	agent := New(Options{})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		_, _, err = conn.ReadMessage()
		ended <- err
	})))
	dialled := make(chan *websocket.Conn, 1)
	go func() {
		conn, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Error(err)
		}
		dialled <- conn
	}()
	receive(t, arrived)
	ctx, cancel := context.WithCancel(t.Context())
	result := shutDown(ctx, t, agent)
	cancel()
	if err := receive(t, result); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	conn := receive(t, dialled)
	defer conn.Close()
	if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("%d %s", code, text)
	}
	if err := receive(t, ended); err == nil {
		t.Error("the handler has read a message")
	}
	eventually(t, "it is gone", func() bool { return len(agent.Connections()) == 0 && agent.handshakes.Load() == 0 })
}

// TestHeartbeatOfRetiring: a heartbeat that begins while the connection is being closed
// writes nothing after the close frame, and leaves no alarm.
func TestHeartbeatOfRetiring(t *testing.T) {
	agent := New(Options{})
	conns := make(chan *Conn, 1)
	conn, br := rawUpgrade(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
			conns <- c
			return ctx, nil
		},
		Message: func(context.Context, Message) error { return nil },
	})))
	c := receive(t, conns)
	if err := c.CloseAt(time.Now(), 1000, ""); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4)
	for _, want := range []byte{finBit | opClose} {
		if _, err := br.Read(head); err != nil || head[0] != want {
			t.Fatalf("% x, %v", head, err)
		}
	}
	c.Heartbeat(Heartbeat{Interval: time.Millisecond})
	eventually(t, "it has given up", func() bool { return agent.wheel.scheduled() == 0 })
	if _, err := conn.Write([]byte{finBit | opClose, maskBit | 2, 0, 0, 0, 0, 0x03, 0xE8}); err != nil {
		t.Fatal(err)
	}
	if b, err := br.ReadByte(); err == nil {
		t.Errorf("%x follows the close frame", b)
	}
}

// TestShutdownHooksThatHang: what does not return holds up neither Shutdown nor the
// reports of the handshake and of the end, which come once.
func TestShutdownHooksThatHang(t *testing.T) {
	for _, hook := range []string{"connect", "message", "close"} {
		t.Run(hook, func(t *testing.T) {
			entered, release, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
			at := func(name string) {
				if name == hook {
					close(entered)
					<-release
					close(returned)
				}
			}
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}})
			conns := make(chan *Conn, 1)
			conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
				Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
					conns <- c
					at("connect")
					return ctx, nil
				},
				Message: func(context.Context, Message) error {
					at("message")
					return Close(4000, "")
				},
				Close: func(context.Context, *Conn, error) { at("close") },
			})), nil)
			send(t, conn, "x")
			receive(t, entered)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := receive(t, shutDown(ctx, t, agent)); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			check := func() {
				t.Helper()
				if opened, ends := rec.all("opened"), rec.all("disconnect"); len(opened) != 1 || len(ends) != 1 {
					t.Errorf("CONNECT has ended %d times, the connection %d times", len(opened), len(ends))
				} else if failed := opened[0].outcome == OutcomeFailure; failed != (hook == "connect") {
					t.Errorf("%+v", opened[0])
				}
			}
			check()
			close(release)
			receive(t, returned)
			c := receive(t, conns)
			eventually(t, "the hooks have returned", func() bool { return c.currentServing() == nil })
			check()
		})
	}
}

// TestPeerClosesMuted: a peer whose close frame comes when the program is not let write
// any more gets one all the same.
func TestPeerClosesMuted(t *testing.T) {
	agent := New(Options{})
	conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }})), nil)
	eventually(t, "it is open", func() bool { return agent.registry.size() == 1 })
	tp := agent.registry.open()[0].tapped()
	tp.writeMu.Lock()
	tp.mute = true
	tp.conn.peerClosed(websocket.CloseNormalClosure, "")
	if !tp.lastFrame(websocket.CloseGoingAway, "", CauseMaxAge, patience) {
		t.Error("the frame could not be written")
	}
	tp.writeMu.Unlock()
	if code, text := closeCodeOf(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("%d %s", code, text)
	}
}

// slowOpened is an exporter that takes its time to end CONNECT.
type slowOpened struct {
	*recorder
	entered, release chan struct{}
}

type slowOpenedConn struct {
	*recorderConn
	of slowOpened
}

func (s slowOpened) StartConn(ctx context.Context, start ConnStart) (context.Context, ConnSpan) {
	ctx, span := s.recorder.StartConn(ctx, start)
	return ctx, slowOpenedConn{span.(*recorderConn), s}
}

func (c slowOpenedConn) Opened(e OpenEnd) {
	c.of.entered <- struct{}{}
	<-c.of.release
	c.recorderConn.Opened(e)
}

// TestReleasedMeanwhile: a connection that is released while its CONNECT is being ended
// has one CONNECT, and ends after that.
func TestReleasedMeanwhile(t *testing.T) {
	rec := newRecorder()
	slow := slowOpened{rec, make(chan struct{}, 2), make(chan struct{})}
	agent := New(Options{Exporters: []Exporter{slow}})
	_ = dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }})), nil)
	receive(t, slow.entered)
	c := agent.registry.open()[0]
	done := make(chan struct{})
	go func() { // as Shutdown does
		defer close(done)
		c.cut("", CauseDrain)
		c.releaseConnect(OutcomeFailure)
		c.release()
	}()
	receive(t, done)
	if ends := rec.all("disconnect"); len(ends) > 0 || len(slow.entered) > 0 {
		t.Errorf("%d more ends of CONNECT, and %+v", len(slow.entered), ends)
	}
	close(slow.release)
	rec.wait(t, "disconnect", 1)
	eventually(t, "it is run no more", func() bool { return c.currentServing() == nil })
	if kinds := rec.kinds()[3:]; !slices.Equal(kinds, []string{"opened CONNECT /ws", "disconnect DISCONNECT /ws"}) { // after those of the upgrade
		t.Errorf("%v", kinds)
	}
}

// panicAfterHead is a middleware's connection that panics when the 101 has been written.
type panicAfterHead struct{ net.Conn }

func (c panicAfterHead) Write(b []byte) (int, error) {
	_, _ = c.Conn.Write(b)
	_ = c.Conn.Close()
	panic("after the head")
}

type panickingHijacker struct{ http.ResponseWriter }

func (w panickingHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := w.ResponseWriter.(http.Hijacker).Hijack()
	return panicAfterHead{conn}, brw, err
}

// TestPanicBelowUpgrade: the connection of an Endpoint that does not come to run it ends
// all the same.
func TestPanicBelowUpgrade(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	endpoint := agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error { return nil }})
	_ = dial(t, serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endpoint.ServeHTTP(panickingHijacker{w}, r)
	}))), nil)
	if opened := rec.wait(t, "opened", 1); opened[0].outcome != OutcomeFailure {
		t.Errorf("%+v", opened)
	}
	rec.wait(t, "disconnect", 1)
	eventually(t, "it is gone", func() bool { return len(agent.Connections()) == 0 })
}
