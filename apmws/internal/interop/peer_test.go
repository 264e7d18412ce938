package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// peer is a client that keeps every byte it writes and reads. It follows no
// rules but those of its test.
type peer struct {
	t    *testing.T
	tcp  *net.TCPConn
	conn net.Conn // tcp, or TLS over it
	br   *bufio.Reader
	// wrote and read are the bytes of the connection, under TLS the plain ones.
	wrote, read bytes.Buffer
	// head is the length of the answer's head in read, request that of the
	// request in wrote.
	head, request int
	frames        byte            // written so far; it varies the masks
	step          <-chan struct{} // closed by the handler of a scene
}

// connect opens a connection to the server.
func (s *server) connect(t *testing.T) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, tcp: conn.(*net.TCPConn), conn: conn}
	if config := s.clientTLS(); config != nil {
		p.conn = tls.Client(conn, config)
	}
	p.br = bufio.NewReader(io.TeeReader(p.conn, &p.read))
	p.deadline()
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

// deadline keeps a test from hanging; it moves on with every step.
func (p *peer) deadline() { _ = p.conn.SetDeadline(time.Now().Add(patience)) }

// requestPath has what must not be reported: an id and a token.
const requestPath = "/rooms/42?token=s3cret"

// deflateOffer is what a client offers that keeps no context.
const deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// handshake is a request to upgrade. Each further header is a line.
func handshake(headers ...string) string {
	return "GET " + requestPath + " HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// write writes bytes as they are.
func (p *peer) write(b []byte) {
	p.t.Helper()
	p.deadline()
	p.wrote.Write(b)
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal("peer's write:", err)
	}
}

// ask sends a request and reads the answer's head.
func (p *peer) ask(request string) *http.Response {
	p.t.Helper()
	p.request = len(request)
	p.write([]byte(request))
	return p.answer()
}

// answer reads an answer's head.
func (p *peer) answer() *http.Response {
	p.t.Helper()
	p.deadline()
	r, err := http.ReadResponse(p.br, nil)
	if err != nil {
		p.t.Fatalf("no answer: %v after %q", err, p.read.String())
	}
	p.head = p.read.Len() - p.br.Buffered()
	return r
}

// upgrade performs a handshake that must succeed.
func (s *server) upgrade(t *testing.T, headers ...string) *peer {
	t.Helper()
	p := s.connect(t)
	p.ask101(handshake(headers...))
	return p
}

func (p *peer) ask101(request string) *http.Response {
	p.t.Helper()
	r := p.ask(request)
	if r.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(r.Body)
		p.t.Fatalf("status %d %q, want 101", r.StatusCode, body)
	}
	return r
}

// framesWrote and framesRead account for what passed after the handshake.
func (p *peer) framesWrote() tally { return count(p.wrote.Bytes()[p.request:]) }
func (p *peer) framesRead() tally  { return count(p.read.Bytes()[p.head:]) }

// masked prepares a frame as a client has to.
func (p *peer) masked(f frame) frame {
	p.frames++
	f.masked, f.mask = true, [4]byte{p.frames, 0xA5, p.frames ^ 0x3C, 1}
	return f
}

// frame writes a frame.
func (p *peer) frame(f frame) {
	p.t.Helper()
	p.write(p.masked(f).encode())
}

// send writes a message in one frame.
func (p *peer) send(op byte, payload []byte) {
	p.t.Helper()
	p.frame(frame{fin: true, op: op, payload: payload})
}

// next reads a frame.
func (p *peer) next() frame {
	p.t.Helper()
	p.deadline()
	f, err := readFrame(p.br)
	if err != nil {
		p.t.Fatal("peer's read:", err)
	}
	return f
}

// message reads a message, inflated; control frames before it are answered as
// a client does.
func (p *peer) message() (op byte, payload []byte) {
	p.t.Helper()
	compressed := false
	for first := true; ; {
		f := p.next()
		switch f.op {
		case opPing:
			p.send(opPong, f.payload)
			continue
		case opPong:
			continue
		case opClose:
			p.t.Fatalf("close frame %q, want a message", f.payload)
		}
		if first {
			op, compressed, first = f.op, f.rsv1, false
		}
		payload = append(payload, f.payload...)
		if f.fin {
			break
		}
	}
	if compressed {
		var err error
		if payload, err = inflate(payload); err != nil {
			p.t.Fatal(err)
		}
	}
	return op, payload
}

// rest reads until the connection ends and says how it ended.
func (p *peer) rest() string {
	p.deadline()
	_, err := io.Copy(io.Discard, p.br)
	return ending(err)
}

// ending names the way in which a connection ended for a reader.
func ending(err error) string {
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return "end"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "end without close_notify"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "connection reset"):
		return "reset"
	default:
		return fmt.Sprint("error: ", err)
	}
}

// vanish ends the connection without a word: EOF, without close_notify.
func (p *peer) vanish() { _ = p.tcp.Close() }

// reset ends the connection with RST.
func (p *peer) reset() {
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
}
