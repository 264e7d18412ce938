package apmws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestEndpointReadLimit(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		size  int
		code  int // 0: it is handled
	}{
		{"the default, reached", 0, 1 << 20, 0},
		{"the default, exceeded", 0, 1<<20 + 1, 1009},
		{"a custom one, reached", 10, 10, 0},
		{"a custom one, exceeded", 10, 11, 1009},
		{"a custom one, exceeded by megabytes", 10, 3 << 20, 1009},
		{"none", -1, 3 << 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			handled := make(chan int, 1)
			conn := dial(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
				ReadLimit: test.limit,
				Message: func(_ context.Context, m Message) error {
					handled <- len(m.Data)
					return Close(1000, "")
				},
			})), nil)
			// Sent whole, although the answer comes long before the end.
			if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, test.size)); err != nil {
				t.Error(err)
			}
			want, cause := test.code, "message_too_big"
			if test.code == 0 {
				want, cause = 1000, "normal"
				if n := receive(t, handled); n != test.size {
					t.Errorf("handled %d bytes", n)
				}
			}
			if code, text := closeCodeOf(t, conn); code != want {
				t.Errorf("the peer got %d %s", code, text)
			}
			conn.Close()
			if e := rec.wait(t, "disconnect", 1)[0]; e.result != cause {
				t.Errorf("DISCONNECT is %s", e.result)
			}
			if len(handled) > 0 {
				t.Error("the message was handled all the same")
			}
		})
	}
}

func TestEndpointReadLimitTLS(t *testing.T) {
	srv := httptest.NewTLSServer(New(Options{}).Endpoint("/ws", EndpointOptions{ReadLimit: 10, Message: neverMessage(t)}))
	t.Cleanup(srv.Close)
	dialer := websocket.Dialer{TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig}
	conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 3<<20)); err != nil {
		t.Error(err)
	}
	if code, text := closeCodeOf(t, conn); code != websocket.CloseMessageTooBig {
		t.Errorf("the peer got %d %s", code, text)
	}
}

func TestEndpointFlood(t *testing.T) {
	rec := newRecorder()
	conn, br := rawUpgrade(t, serveWS(t, New(Options{Exporters: []Exporter{rec}}).Endpoint("/ws", EndpointOptions{
		ReadLimit: 10, Message: neverMessage(t),
	})))
	header := binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<40)
	if _, err := conn.Write(append(header, 1, 2, 3, 4)); err != nil {
		t.Fatal(err)
	}
	if closing, err := io.ReadAll(br); err != nil || !bytes.Equal(closing, []byte{0x88, 2, 1009 >> 8, 1009 & 0xff}) {
		t.Errorf("the peer got % x, %v", closing, err)
	}
	sent, chunk := 0, make([]byte, 64<<10)
	var err error
	for err == nil && sent < 1<<30 {
		var n int
		n, err = conn.Write(chunk)
		sent += n
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were taken, %v", sent, err)
	}
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "message_too_big" {
		t.Errorf("DISCONNECT is %s", e.result)
	}
}

func TestEndpointReadLimitOfCompressed(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		size  int
		taken bool
	}{
		{"the default, reached", 0, 1 << 20, true},
		{"the default, passed by a byte", 0, 1<<20 + 1, false},
		{"the default, passed by far", 0, 16 << 20, false},
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
			// Compressed before any of it is sent: the endpoint does not wait for long
			// when it has seen enough.
			message, err := websocket.NewPreparedMessage(websocket.BinaryMessage, make([]byte, test.size))
			if err == nil {
				err = conn.WritePreparedMessage(message)
			}
			if err != nil {
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
