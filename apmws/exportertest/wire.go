package exportertest

import (
	"bufio"
	"context"
	"crypto/sha1" // by RFC 6455, section 4.2.2
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// server serves WebSockets under an agent, by hand: the kit needs no WebSocket
// library.
type server struct {
	k     *kit
	agent *apmws.Agent
	http  *http.Server
	addr  string
	ends  *ends
	life  *life
}

// serve starts a server whose agent has the exporters.
func (k *kit) serve(l *life, opts apmws.Options) *server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		k.fatalf("no loopback connection: %v", err)
	}
	s := &server{k: k, addr: listener.Addr().String(), ends: newEnds(), life: l}
	// First, since ends are told to the first one last.
	opts.Exporters = append([]apmws.Exporter{s.ends}, opts.Exporters...)
	opts.Messages = apmws.MessageOptions{Names: messageNames()}
	s.agent = apmws.New(opts)
	s.http = &http.Server{
		Handler:           s.withSession(s.agent.Handler("/rooms/{id}", http.HandlerFunc(s.handshake))),
		ReadHeaderTimeout: k.patience,
		ErrorLog:          log.New(io.Discard, "", 0), // it would tell of the panic
	}
	go func() { _ = s.http.Serve(listener) }()
	return s
}

func (s *server) close() { _ = s.http.Close() }

// withSession is what many programs have outside: a middleware that keeps what it
// knows of the caller in the context.
func (s *server) withSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, s.life.secret("session"))))
	})
}

// handshake answers by the path.
func (s *server) handshake(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	s.life.looked(ctx, ofConnect)
	_, span := apmws.StartSpan(ctx, "authenticate", apmws.SpanOptions{})
	switch r.URL.Path {
	case pathRefused:
		span.End(applicationError("unknown user"))
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	case pathPanics:
		thatPanics("the handshake panicked")
	}
	span.End(nil)
	apmws.FromContext(ctx).SetUser("ada")
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.k.errorf("no connection: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(s.k.patience))
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		r.Header.Get("Sec-Websocket-Protocol"), base64.StdEncoding.EncodeToString(sum[:]))
	for {
		opcode, payload, err := readFrame(buffered)
		switch {
		case err != nil:
			return
		case opcode == opClose:
			_ = writeFrame(conn, opClose, payload, false)
			return
		case strings.HasPrefix(string(payload), commandCrash):
			_ = writeFrame(conn, opClose, closePayload(1011, "crash"), false)
			return
		}
		s.life.handle(ctx, string(payload))
		if writeFrame(conn, opText, []byte(s.life.secret("answer")), false) != nil {
			return
		}
	}
}

// The opcodes of RFC 6455, section 5.2, that are used.
const (
	opText  = 1
	opClose = 8
)

// closePayload is that of a close frame (RFC 6455, section 5.5.1).
func closePayload(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

// shortPayload is what fits into a frame with the shortest header.
const shortPayload = 125

// writeFrame writes a frame with a short payload, masked when it is a client's.
func writeFrame(w io.Writer, opcode byte, payload []byte, masked bool) error {
	frame := []byte{0x80 | opcode, byte(len(payload))}
	if masked {
		frame[1] |= 0x80
		mask := [4]byte{1, 2, 3, 4}
		frame = append(frame, mask[:]...)
		for i, b := range payload {
			frame = append(frame, b^mask[i%len(mask)])
		}
	} else {
		frame = append(frame, payload...)
	}
	_, err := w.Write(frame)
	return err
}

// readFrame reads a frame with a short payload.
func readFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	size := head[1] & 0x7f
	if size > shortPayload {
		return 0, nil, fmt.Errorf("a frame of more than %d bytes", shortPayload)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%len(mask)]
	}
	return head[0] & 0x0f, payload, err
}

// client is a client's connection.
type client struct {
	k    *kit
	conn net.Conn
	in   *bufio.Reader
}

// dial sends a handshake with secrets wherever there is room for one, and returns
// the status of the answer, 0 when there was none.
func (s *server) dial(path string) (c *client, status int) {
	conn, err := net.DialTimeout("tcp", s.addr, s.k.patience)
	if err != nil {
		s.k.fatalf("no loopback connection: %v", err)
	}
	_ = conn.SetDeadline(time.Now().Add(s.k.patience))
	secret := s.life.secret
	fmt.Fprintf(conn, "GET %s?token=%s HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\nUser-Agent: Browser/1.0\r\n"+
		"Origin: https://chat.example/%s\r\nReferer: https://chat.example/%s\r\nCookie: session=%s\r\n"+
		"Authorization: Bearer %s\r\nX-Api-Key: %s\r\n\r\n",
		path, secret("query"), secret("key"), secret("subprotocol"), secret("origin"), secret("referer"), secret("cookie"),
		secret("authorization"), secret("header"))
	c = &client{k: s.k, conn: conn, in: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return c, 0
	}
	resp.Body.Close()
	return c, resp.StatusCode
}

// say sends a message and waits for its answer.
func (c *client) say(payload string) {
	if err := writeFrame(c.conn, opText, []byte(payload), true); err != nil {
		c.k.fatalf("no message over the loopback connection: %v", err)
	}
	if _, _, err := readFrame(c.in); err != nil {
		c.k.fatalf("no answer over the loopback connection: %v", err)
	}
}

// hangUp waits for the end of the connection, after a close frame.
func (c *client) hangUp(opcode byte, payload []byte) {
	_ = writeFrame(c.conn, opcode, payload, true)
	_, _ = io.Copy(io.Discard, c.in)
	c.conn.Close()
}
