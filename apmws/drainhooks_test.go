package apmws

import (
	"context"
	"errors"
	"net/http"
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
