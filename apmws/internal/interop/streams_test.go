package interop

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// streamed are the messages that each server below writes in pieces, with
// control frames in between where its library allows that.
var streamed = [][]byte{[]byte("short"), bytes.Repeat([]byte("0123456789"), 1000), nil, bytes.Repeat([]byte("x"), 70000)}

// TestServerStreams: servers that write messages in fragments, with small or
// pooled buffers, or prepared.
func TestServerStreams(t *testing.T) {
	t.Parallel()
	upgradeWith := func(up gorilla.Upgrader, f func(c *gorilla.Conn) error) func(t *testing.T) http.Handler {
		return func(t *testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := up.Upgrade(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if err := f(c); err != nil {
					t.Error(err)
				}
				_, _, _ = c.NextReader() // the peer's close frame
			})
		}
	}
	for name, h := range map[string]func(t *testing.T) http.Handler{
		"gorilla, small buffers": upgradeWith(gorilla.Upgrader{ReadBufferSize: 300, WriteBufferSize: 300}, gorillaStream),
		"gorilla, pooled buffers": upgradeWith(
			gorilla.Upgrader{WriteBufferSize: 1000, WriteBufferPool: &sync.Pool{}}, gorillaStream),
		"gorilla, compressed": upgradeWith(gorilla.Upgrader{EnableCompression: true}, gorillaStream),
		"gorilla, prepared": upgradeWith(gorilla.Upgrader{EnableCompression: true}, func(c *gorilla.Conn) error {
			for _, b := range streamed {
				m, err := gorilla.NewPreparedMessage(gorilla.BinaryMessage, b)
				if err != nil {
					return err
				}
				if err := c.WritePreparedMessage(m); err != nil {
					return err
				}
			}
			return nil
		}),
		"coder": func(t *testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
				if err != nil {
					t.Error(err)
					return
				}
				defer c.CloseNow()
				for _, b := range streamed {
					out, err := c.Writer(r.Context(), coder.MessageBinary)
					if err != nil {
						t.Error(err)
						return
					}
					if err := inPieces(out, b, func() error { return nil }); err != nil {
						t.Error(err)
					}
				}
				_, _, _ = c.Read(r.Context())
			})
		},
		"gobwas": func(t *testing.T) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, _, err := ws.UpgradeHTTP(r, w)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				for _, b := range streamed {
					out := wsutil.NewWriterSize(conn, ws.StateServerSide, ws.OpBinary, 200)
					if err := inPieces(flusher{out}, b, func() error { return ws.WriteFrame(conn, ws.NewPingFrame(nil)) }); err != nil {
						t.Error(err)
					}
				}
				_, _, _ = wsutil.ReadClientData(conn)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, offer := range []string{"X-Offer: none", "Sec-WebSocket-Extensions: " + deflateOffer} {
				w := newWatch(apmws.Options{})
				p := start(t, w.agent.Handler(route, h(t)), false).upgrade(t, offer)
				for i, want := range streamed {
					if _, got := p.message(); !bytes.Equal(got, want) {
						t.Errorf("message %d: %d bytes, want %d", i, len(got), len(want))
					}
				}
				closed(1000)(p)
				read := p.framesRead()
				if read.messages != int64(len(streamed)) {
					t.Fatalf("the peer counts %d messages", read.messages)
				}
				checkEnd(t, w, p.framesWrote(), read)
			}
		})
	}
}

// gorillaStream writes fragments with pings between them.
func gorillaStream(c *gorilla.Conn) error {
	for _, b := range streamed {
		out, err := c.NextWriter(gorilla.BinaryMessage)
		if err != nil {
			return err
		}
		ping := func() error { return c.WriteControl(gorilla.PingMessage, nil, time.Now().Add(patience)) }
		if err := inPieces(out, b, ping); err != nil {
			return err
		}
	}
	return nil
}

// inPieces writes b in three pieces, with between in between.
func inPieces(out io.WriteCloser, b []byte, between func() error) error {
	third := len(b) / 3
	for _, piece := range [][]byte{b[:third], b[third : 2*third], b[2*third:]} {
		if _, err := out.Write(piece); err != nil {
			return err
		}
		if err := between(); err != nil {
			return err
		}
	}
	return out.Close()
}

// flusher ends a gobwas message when it is closed.
type flusher struct{ *wsutil.Writer }

func (f flusher) Close() error { return f.Flush() }
