package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// hijacked makes a handler that takes the connection over by itself.
func hijacked(f func(n *notes, conn net.Conn, brw *bufio.ReadWriter)) func(*notes) http.Handler {
	return handle(func(n *notes, w http.ResponseWriter, _ *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			n.t.Error(err)
			return
		}
		defer conn.Close()
		f(n, conn, brw)
	})
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

// put writes without looking back.
func put(w io.Writer, s string) { _, _ = io.WriteString(w, s) }

// TestHijack: handlers that speak for themselves, WebSocket or not.
func TestHijack(t *testing.T) {
	t.Parallel()
	pieces := func(pieces ...string) func(*notes) http.Handler {
		return hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			for _, s := range pieces {
				wrote, err := io.WriteString(conn, s)
				n.add("%d of %d bytes, %v", wrote, len(s), err)
			}
		})
	}
	for _, s := range []scene{
		{name: "an answer of its own", handler: pieces("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok")},
		{name: "a refusal of its own", handler: pieces("HTTP/1.0 403 Forbidden\r\n\r\n")},
		{name: "a refusal in pieces", handler: pieces("HTTP", "/1.1 ", "40", "3 Forbidden\r\n", "\r\n")},
		{name: "a head in pieces", handler: pieces(split(switching)...)},
		{name: "a head and a frame", handler: pieces(switching + "\x81\x02hi")},
		{name: "a head, a frame and a half", handler: pieces(switching[:30], switching[30:]+"\x81\x02hi\x81\x02", "hi")},
		{name: "half a head", handler: pieces(switching[:30])},
		{name: "half a head, after some bytes", handler: pieces("HT", switching[2:30])},
		{name: "a head without end", handler: pieces(switching[:30], strings.Repeat("x", 20000), "y")},
		{name: "bare line feeds", handler: pieces(strings.ReplaceAll(switching, "\r\n", "\n"), "\x81\x02hi")},
		{name: "another protocol", handler: pieces("220 ready\r\n", "H", "HTTP/1.1 101")},
		{name: "one byte", handler: pieces("H")},
		{name: "nothing", handler: pieces()},
		{name: "an empty write", handler: pieces("", switching, "")},
	} {
		s.client = asks(handshake())
		s.run(t)
	}
	scene{
		name: "a dialogue, byte by byte",
		handler: hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
			// Each byte waits for the client's: nothing may be held back.
			for i := range len(switching) {
				put(conn, switching[i:i+1])
				b, err := brw.ReadByte()
				n.add("%q %v", b, err)
			}
		}),
		client: func(p *peer) string {
			p.write([]byte(handshake()))
			var b [1]byte
			_ = p.conn.SetReadDeadline(time.Now().Add(patience))
			for i := range len(switching) {
				if _, err := io.ReadFull(p.br, b[:]); err != nil {
					_ = p.conn.Close()
					return fmt.Sprintf("byte %d: %s", i, ending(err))
				}
				p.write(b[:])
			}
			return p.rest()
		},
	}.run(t)
	scene{
		name: "the end of writing in half a head",
		handler: hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
			put(conn, switching[:30])
			n.add("CloseWrite %v", conn.(interface{ CloseWrite() error }).CloseWrite())
			rest, err := io.ReadAll(brw)
			n.add("%q %v", rest, err)
		}),
		client: func(p *peer) string {
			p.write([]byte(handshake()))
			how := p.rest()
			p.write([]byte("bye"))
			_ = p.conn.(interface{ CloseWrite() error }).CloseWrite()
			return how
		},
	}.run(t)
	scene{
		name: "WriteHeader, then Hijack",
		handler: handle(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, brw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				n.t.Error(err)
				return
			}
			defer conn.Close()
			b, err := brw.Peek(2)
			n.add("%q %v, %d buffered", b, err, brw.Reader.Buffered())
			put(brw, "\x81\x02hi")
			n.add("%v", brw.Flush())
		}),
		client: asks(handshake() + "\x81\x80"),
	}.run(t)
	scene{
		name: "Hijack, twice and used afterwards",
		handler: handle(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				n.t.Error(err)
				return
			}
			defer conn.Close()
			_, _, err = w.(http.Hijacker).Hijack()
			n.add("%v", err)
			_, err = w.Write([]byte("x"))
			n.add("%v", err)
			w.WriteHeader(http.StatusTeapot)
			put(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}),
		client: asks(handshake()),
	}.run(t)
	scene{
		name: "after Close",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			n.add("%v", conn.Close())
			n.add("%s", masked(fmt.Sprint(conn.Close())))
			_, err := conn.Write([]byte("x"))
			n.add("%t %s", errors.Is(err, net.ErrClosed), masked(err.Error()))
			_, err = conn.Read(make([]byte, 1))
			n.add("%t %s", errors.Is(err, net.ErrClosed), masked(err.Error()))
			n.add("%s", masked(fmt.Sprint(conn.SetDeadline(time.Now()))))
		}),
		client: asks(handshake()),
	}.run(t)
	scene{
		name: "addresses",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			n.add("%s %s %s", conn.LocalAddr().Network(), masked(conn.LocalAddr().String()), masked(conn.RemoteAddr().String()))
		}),
		client: asks(handshake()),
	}.run(t)
}

func split(s string) []string {
	pieces := make([]string, 0, len(s))
	for i := range len(s) {
		pieces = append(pieces, s[i:i+1])
	}
	return pieces
}

// TestDeadlines: they take effect, and can be taken back.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	describe := func(err error) string {
		var timeout net.Error
		return fmt.Sprintf("%t %t", errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout())
	}
	scene{
		name: "read",
		handler: hijacked(func(n *notes, conn net.Conn, brw *bufio.ReadWriter) {
			put(conn, switching)
			for range 3 {
				_ = conn.SetReadDeadline(briefly())
				_, err := brw.Peek(1)
				n.add("%s", describe(err))
			}
			_ = conn.SetReadDeadline(time.Time{})
			put(conn, "\x89\x00")
			b := make([]byte, 7)
			_, err := io.ReadFull(brw, b)
			n.add("%q %v", b, err)
			_ = conn.SetDeadline(time.Unix(1, 0))
			_, err = conn.Read(b)
			n.add("%s", describe(err))
		}),
		client: func(p *peer) string {
			p.ask101(handshake())
			p.next()
			p.write([]byte("\x81\x81\x00\x00\x00\x00x"))
			return p.rest()
		},
	}.run(t)
	scene{
		name: "a read that is waiting",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			failed := make(chan error, 1)
			go func() {
				_, err := conn.Read(make([]byte, 1))
				failed <- err
			}()
			_ = conn.SetReadDeadline(briefly())
			n.add("%s", describe(receive(n.t, "the read's end", failed)))
			_ = conn.SetReadDeadline(time.Time{})
			go func() {
				_, err := conn.Read(make([]byte, 1))
				failed <- err
			}()
			_ = conn.Close()
			n.add("closed %t", errors.Is(receive(n.t, "the read's end", failed), net.ErrClosed))
		}),
		client: asks(handshake()),
	}.run(t)
	scene{
		name: "write",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			_ = conn.SetWriteDeadline(time.Unix(1, 0))
			wrote, err := conn.Write([]byte("late"))
			n.add("%d %s", wrote, describe(err))
		}),
		client: asks(handshake()),
	}.run(t)
	scene{
		name: "write of the head",
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			_ = conn.SetWriteDeadline(time.Unix(1, 0))
			wrote, err := io.WriteString(conn, switching)
			n.add("%d %s", wrote, describe(err))
		}),
		client: asks(handshake()),
	}.run(t)
}

// TestWriteDeadlineRecovers: what a missed deadline left over can be written
// later. (TLS connections do not survive it, with or without the agent.)
func TestWriteDeadlineRecovers(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	scene{
		name:    "tcp",
		tcpOnly: true,
		handler: hijacked(func(n *notes, conn net.Conn, _ *bufio.ReadWriter) {
			put(conn, switching)
			_ = conn.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(64 << 10)
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(i)
			}
			_ = conn.SetWriteDeadline(briefly())
			wrote, err := conn.Write(b)
			n.add("all %t, timeout %t", wrote == size, errors.Is(err, os.ErrDeadlineExceeded))
			_ = conn.SetWriteDeadline(time.Time{})
			close(n.step)
			more, err := conn.Write(b[wrote:])
			n.add("all %t, %v", wrote+more == size, err)
		}),
		client: func(p *peer) string {
			_ = p.tcp.SetReadBuffer(64 << 10)
			p.ask101(handshake())
			receive(p.t, "a missed deadline", p.step)
			return p.rest()
		},
	}.run(t)
}
