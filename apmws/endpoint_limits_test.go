package apmws

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestEndpointReadLimitOfCompressed: a few kilobytes on the wire may be many
// megabytes of a message.
func TestEndpointReadLimitOfCompressed(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		size  int
		taken bool
	}{
		{"the default, reached", 0, 1 << 20, true},
		{"the default, passed by a byte", 0, 1<<20 + 1, false},
		{"the default, passed by far", 0, 64 << 20, false},
		{"none", -1, 4 << 20, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRecorder()
			sizes := make(chan int, 1)
			url := serveWS(t, New(Options{Exporters: []Exporter{r}}).Endpoint("/ws", EndpointOptions{
				Upgrader:  websocket.Upgrader{EnableCompression: true},
				ReadLimit: test.limit,
				Message: func(_ context.Context, m Message) error {
					sizes <- len(m.Data)
					return Close(websocket.CloseNormalClosure, "")
				},
			}))
			conn, _, err := (&websocket.Dialer{EnableCompression: true}).Dial(url, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, test.size)); err != nil {
				t.Fatal(err)
			}
			code, _ := closeCodeOf(t, conn)
			end := r.wait(t, "disconnect", 1)[0]
			if test.taken {
				if n := receive(t, sizes); n != test.size || code != websocket.CloseNormalClosure {
					t.Errorf("%d bytes, closed with %d", n, code)
				}
				return
			}
			if len(sizes) != 0 || code != websocket.CloseMessageTooBig || end.result != string(CauseMessageTooBig) {
				t.Errorf("%d messages handled, closed with %d, cause %s", len(sizes), code, end.result)
			}
		})
	}
}

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
			serving.turn <- struct{}{} // somebody writes
			for _, wait := range []time.Duration{time.Hour, time.Millisecond} {
				ctx, cancel := context.WithTimeout(ctx, wait)
				if err := FromContext(ctx).Write(ctx, m.Type, []byte("late")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Write returned %v", err)
				}
				cancel()
			}
			<-serving.turn
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
func TestRefusalHeader(t *testing.T) {
	url := serveWS(t, New(Options{}).Endpoint("/ws", EndpointOptions{
		Authenticate: failsWith(&RefusalError{
			Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {"Bearer"}},
		}),
		Message: neverMessage(t),
	}))
	resp, _ := handshakeWith(t, url, nil)
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("answered %d with %v", resp.StatusCode, resp.Header)
	}
}

// TestNoHandshakeInTheApplicationsFormat: Upgrader.Error answers that too.
func TestNoHandshakeInTheApplicationsFormat(t *testing.T) {
	url := serveWS(t, New(Options{}).Endpoint("/ws", EndpointOptions{
		Upgrader: websocket.Upgrader{Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("{}"))
		}},
		Message: neverMessage(t),
	}))
	resp, body := handshakeWith(t, url, func(r *http.Request) { r.Header = http.Header{} })
	if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "websocket" || body != "{}" {
		t.Errorf("answered %d with %v and %q", resp.StatusCode, resp.Header, body)
	}
}
