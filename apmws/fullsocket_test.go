package apmws

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestHeartbeatFullSockets: peers that read nothing, more than there are writers,
// delay nobody's ping, and are lost.
func TestHeartbeatFullSockets(t *testing.T) {
	t.Parallel()
	large := make([]byte, 16<<20)
	for name, withTLS := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const full, others = maxWriters + 16, 50
			blocked := make(chan struct{}, full)
			b := newBeating(t, withTLS, EndpointOptions{
				Heartbeat:    Heartbeat{Interval: 50 * time.Millisecond, Timeout: 3 * time.Second},
				WriteTimeout: -1,
				Message: func(ctx context.Context, m Message) error {
					blocked <- struct{}{}
					return FromContext(ctx).Write(ctx, m.Type, large)
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
	t.Parallel()
	const size = 24 << 20
	b := newBeating(t, false, EndpointOptions{
		Heartbeat:    Heartbeat{Interval: 20 * time.Millisecond, Timeout: 5 * time.Second},
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
		time.Sleep(450 * time.Millisecond) // in all, more than twice the timeout
	}
	if lines := b.lines(t, "websocket peer lost"); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
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
