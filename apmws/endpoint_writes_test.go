package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestEndpointReadLimitOfCompressed: a few kilobytes on the wire may be many
// megabytes of a message.
// TestEndpointWriteTimeout: a peer that does not read holds up a writer for that
// long, and then the connection is over, for those too that wait for their turn.
func TestEndpointWriteTimeout(t *testing.T) {
	r := newRecorder()
	result := make(chan error, 2)
	closed := make(chan error, 1)
	url := serveWS(t, New(Options{Exporters: []Exporter{r}}).Endpoint("/ws", EndpointOptions{
		WriteTimeout: 50 * time.Millisecond,
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			for range 2 {
				go func() {
					var err error
					for err == nil { // until the socket's buffers are full
						err = conn.Write(ctx, BinaryMessage, make([]byte, 1<<20))
					}
					result <- err
				}()
			}
			return ctx, nil
		},
		Message: func(context.Context, Message) error { return nil },
		Close:   func(_ context.Context, _ *Conn, err error) { closed <- err },
	}))
	dial(t, url, nil) // and never reads
	timeouts := 0
	for range 2 {
		err := receive(t, result)
		var netErr net.Error
		if errors.As(err, &netErr) && netErr.Timeout() {
			timeouts++
		}
	}
	if timeouts == 0 {
		t.Error("no write has timed out")
	}
	if err := receive(t, closed); err == nil {
		t.Error("Close is called without an error")
	}
	if end := r.wait(t, "disconnect", 1)[0]; end.result != string(CauseWriteError) {
		t.Errorf("the cause is %s", end.result)
	}
}

// TestWriteTurn: who does not get its turn in time has written nothing, and the
// connection is whole.
func TestWriteTurn(t *testing.T) {
	r := newRecorder()
	url := serveWS(t, New(Options{Exporters: []Exporter{r}}).Endpoint("/ws", EndpointOptions{
		WriteTimeout: 20 * time.Millisecond,
		Message: func(ctx context.Context, m Message) error {
			serving := FromContext(ctx).currentServing()
			serving.turn.try() // somebody writes
			for _, wait := range []time.Duration{time.Hour, time.Millisecond} {
				ctx, cancel := context.WithTimeout(ctx, wait)
				if err := FromContext(ctx).Write(ctx, m.Type, []byte("late")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Write returned %v", err)
				}
				cancel()
			}
			serving.turn.give()
			return FromContext(ctx).Write(ctx, m.Type, []byte("in time"))
		},
	}))
	conn := dial(t, url, nil)
	if err := conn.WriteMessage(websocket.TextMessage, []byte("go")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.ReadMessage(); err != nil || !bytes.Equal(data, []byte("in time")) {
		t.Errorf("read %q, %v", data, err)
	}
	leave(t, conn)
}

// TestRefusalHeader: what the application adds is in the answer.
// TestNoHandshakeInTheApplicationsFormat: Upgrader.Error answers that too.

func TestEndpointWrites(t *testing.T) {
	rec := newRecorder()
	const writers = 16
	var running sync.WaitGroup
	var held *Conn
	conn := dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			held = conn
			for range writers {
				running.Go(func() {
					var err error
					for err == nil {
						err = conn.Write(ctx, TextMessage, []byte("pushed"))
					}
					if !errors.Is(err, ErrNotServing) && !errors.Is(err, websocket.ErrCloseSent) && !errors.Is(err, context.Canceled) {
						t.Errorf("Write: %v", err)
					}
				})
			}
			return ctx, conn.Write(ctx, TextMessage, []byte("first"))
		},
		Message: func(ctx context.Context, m Message) error {
			return FromContext(ctx).Write(ctx, m.Type, append([]byte("echo of "), m.Data...))
		},
	})), nil)
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range 100 {
			if err := conn.WriteMessage(websocket.TextMessage, fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		}
	})
	pushed, echoes := 0, 0
	for echoes < 100 || pushed == 0 { // the pushes go on
		_, data, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		switch text := string(data); text {
		case "pushed":
			pushed++
		case fmt.Sprint("echo of ", echoes):
			echoes++
		case "first":
		default:
			t.Fatalf("got %q", text)
		}
	}
	sending.Wait()
	leave(t, conn)
	running.Wait()
	rec.wait(t, "disconnect", 1)
	if err := held.Write(t.Context(), TextMessage, nil); !errors.Is(err, ErrNotServing) {
		t.Errorf("after the end Write returns %v", err)
	}
	if err := held.Close(1000, ""); !errors.Is(err, ErrNotServing) || held.WebSocket() != nil {
		t.Errorf("after the end Close returns %v, WebSocket %v", err, held.WebSocket())
	}
}

// TestOnlyMessages: what is no type of a message reaches no peer, whichever way; a close
// frame would end its connection.
func TestOnlyMessages(t *testing.T) {
	for _, queue := range []SendQueue{{}, {Messages: 4}} {
		agent := New(Options{})
		conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
			Connect: func(ctx context.Context, c *Conn) (context.Context, error) {
				for _, typ := range []MessageType{3, 8, 9, 10, 77} {
					data := []byte{0x03, 0xE8}
					if err := c.Write(ctx, typ, data); !errors.Is(err, errMessageType) {
						t.Errorf("Write of the type %d: %v", typ, err)
					}
					r := agent.Broadcast(ctx, Message{Type: typ, Data: data}, slices.Values([]*Conn{c, c}), BroadcastOptions{})
					if !errors.Is(r.Err, errMessageType) || r.Failed != 2 {
						t.Errorf("Broadcast of the type %d: %+v", typ, r)
					}
				}
				return ctx, c.Write(ctx, TextMessage, []byte("the first"))
			},
			Message: neverMessage(t), SendQueue: queue,
		})), nil)
		if _, data, err := conn.ReadMessage(); err != nil || string(data) != "the first" {
			t.Errorf("the peer got %q, %v", data, err)
		}
		leave(t, conn)
	}
}
