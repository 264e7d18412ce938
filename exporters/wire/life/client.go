package life

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// What must not be told to anybody.
const (
	secretPayload     = "payload-secret"
	secretQuery       = "query-secret"
	secretCookie      = "cookie-secret"
	secretHeader      = "header-secret"
	secretReferer     = "referer-secret"
	secretSubprotocol = "subprotocol-secret"
	secretName        = "name-secret"
	secretHop         = "198.51.100.66" // from where a client claims to come
	secretCall        = "call-secret"
)

func newStory() *Story {
	return &Story{
		Remote: map[string]string{},
		Secrets: []string{
			secretPayload, secretQuery, secretCookie, secretHeader, secretReferer, secretSubprotocol, secretName, secretCall,
			secretHop, "access_token",
		},
	}
}

// play drives a life. After the first error nothing happens any more, so steps need
// not look for one.
type play struct {
	ctx    context.Context
	server *server
	story  *Story
	err    error
}

func (p *play) failIf(what string, err error) {
	if p.err == nil && err != nil {
		p.err = fmt.Errorf("life: %s: %w", what, err)
	}
}

func (p *play) failf(format string, args ...any) {
	p.failIf("not as scripted", fmt.Errorf(format, args...))
}

func (p *play) deadline() time.Time {
	deadline, _ := p.ctx.Deadline() // Live has seen to that
	return deadline
}

// called tells of a call of the application's that is to be counted.
func (p *play) called(route, name, address string) {
	p.story.Calls = append(p.story.Calls, Call{Route: route, Name: name, Address: address})
}

// visit is a handshake to be made.
type visit struct {
	name, path string
	header     http.Header // beside that of every visit
	compress   bool
}

func (v *visit) userAgent() string { return v.name + "/1.0" }

// request is the header of a handshake, with secrets wherever some have them.
func (p *play) request(v *visit) http.Header {
	header := http.Header{
		"User-Agent":             {v.userAgent()},
		"Cookie":                 {"session=" + secretCookie},
		"Authorization":          {"Bearer " + secretHeader},
		"Referer":                {"http://shop.example/?from=" + secretReferer},
		"Sec-Websocket-Protocol": {"token." + secretSubprotocol + ", json"},
	}
	maps.Copy(header, v.header)
	return header
}

func (p *play) url(scheme string, v *visit) string {
	return scheme + "://" + p.server.address + v.path + "?access_token=" + secretQuery
}

// client is a connection as its client has it.
type client struct {
	*play
	*websocket.Conn
	wire  *countedConn
	story *Connection
}

// open makes a handshake that is accepted. What it says of the connection is what
// the library is to tell.
func (p *play) open(v *visit, told Connection) *client {
	told.Name, told.Opened = v.name, time.Now()
	told.Client = cmp.Or(told.Client, "127.0.0.1")
	c := &client{play: p, story: &told}
	p.story.Connections = append(p.story.Connections, c.story)
	if p.err != nil {
		return c
	}
	dialer := websocket.Dialer{
		EnableCompression: v.compress,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			c.wire = &countedConn{Conn: conn}
			return c.wire, err
		},
	}
	conn, _, err := dialer.DialContext(p.ctx, p.url("ws", v), p.request(v))
	if err != nil {
		p.failIf("handshake of "+v.name, err)
		return c
	}
	c.Conn = conn
	p.failIf("deadline", errors.Join(conn.SetReadDeadline(p.deadline()), conn.SetWriteDeadline(p.deadline())))
	c.story.ID = p.server.notes.of(v.userAgent())
	p.failIf(v.name, p.server.book.waitAction(p.ctx, "websocket-connected", c.story.ID))
	return c
}

// refused makes a handshake that is not accepted: with that status, 0 for none.
func (p *play) refused(v *visit, told Refusal) {
	told.Name = v.name
	p.story.Refusals = append(p.story.Refusals, &told)
	if p.err != nil {
		return
	}
	conn, res, err := new(websocket.Dialer).DialContext(p.ctx, p.url("ws", v), p.request(v))
	if err == nil {
		conn.Close()
		p.failf("the handshake of %s is accepted", v.name)
		return
	}
	p.answered(v, &told, res)
}

// refusedRaw makes a handshake that gorilla's client would not make, without an
// Upgrade that a server could understand.
func (p *play) refusedRaw(v *visit, told Refusal) {
	told.Name = v.name
	p.story.Refusals = append(p.story.Refusals, &told)
	if p.err != nil {
		return
	}
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.url("http", v), http.NoBody)
	if err != nil {
		p.failIf(v.name, err)
		return
	}
	req.Header = p.request(v)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-Websocket-Version": "8", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		p.failIf(v.name, err)
		return
	}
	defer res.Body.Close()
	p.answered(v, &told, res)
}

func (p *play) answered(v *visit, told *Refusal, res *http.Response) {
	status := 0
	if res != nil {
		status = res.StatusCode
	}
	if status != told.Status {
		p.failf("the handshake of %s is answered by %d, not %d", v.name, status, told.Status)
		return
	}
	p.failIf(v.name, p.server.book.wait(p.ctx, "websocket-refused of "+v.name, func(l Line) bool {
		if l.Str("event.action") != "websocket-refused" || l.Str("user_agent.original") != v.userAgent() {
			return false
		}
		told.ID = l.Str("labels.websocket_connection_id")
		return true
	}))
	// The application is not asked about every handshake.
	if seen := p.server.notes.of(v.userAgent()); p.err == nil && seen != "" && seen != told.ID {
		p.failf("the handshake of %s is %s in the log, %s for the application", v.name, told.ID, seen)
	}
}

// say sends a message in the envelope of its type, and reads the answer.
func (c *client) say(m Message) { c.sayIn(envelope{Type: m.Name, Note: secretPayload}, m) }

// sayIn sends a message, and reads the answer.
func (c *client) sayIn(e envelope, m Message) {
	c.send(encode(e), m)
	c.receive()
}

func encode(e envelope) []byte {
	// By hand, so that the type is the first field, as for those who look for it.
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":%q`, e.Type)
	for _, field := range [][2]string{{"traceparent", e.Traceparent}, {"tracestate", e.Tracestate}, {"note", e.Note}} {
		if field[1] != "" {
			fmt.Fprintf(&b, ",%q:%q", field[0], field[1])
		}
	}
	return []byte(b.String() + "}")
}

// send sends a message in one frame.
func (c *client) send(payload []byte, m Message) {
	if c.note(payload, m) {
		c.failIf("send", c.WriteMessage(messageType(m), payload))
	}
}

// sendFragmented sends a message in frames of at most that size.
func (c *client) sendFragmented(payload []byte, size int, m Message) {
	if !c.note(payload, m) {
		return
	}
	// gorilla makes a new frame only when its buffer is full, so this is by hand.
	opcode := byte(messageType(m))
	for first := true; first || len(payload) > 0; first = false {
		part := payload[:min(size, len(payload))]
		payload = payload[len(part):]
		head := []byte{opcode, 0x80 | byte(len(part)), 0, 0, 0, 0} // masked by zeros
		opcode = 0                                                 // continuation
		if len(payload) == 0 {
			head[0] |= 0x80 // final
		}
		_, err := c.wire.Write(append(head, part...))
		c.failIf("send", err)
	}
}

// note notes a message that is about to be sent. It reports whether it is to be.
func (c *client) note(payload []byte, m Message) bool {
	if c.err != nil {
		return false
	}
	if c.story.Level > 1 || c.story.Route == "/manual" {
		if m.Result == "" {
			m.Result = "ok"
		}
		if m.Fate == "" {
			m.Fate = Recorded
		}
		if m.Type == "" {
			m.Type = apmws.TextMessage.String()
		}
		m.Connection, m.Route, m.Length = c.story.Name, c.story.Route, len(payload)
		c.play.story.Messages = append(c.play.story.Messages, &m)
	}
	return true
}

func messageType(m Message) int {
	if m.Type == apmws.BinaryMessage.String() {
		return websocket.BinaryMessage
	}
	return websocket.TextMessage
}

// receive reads a message.
func (c *client) receive() []byte {
	if c.err != nil {
		return nil
	}
	_, data, err := c.ReadMessage()
	c.failIf("receive by "+c.story.Name, err)
	return data
}

// echo sends a message that comes back.
func (c *client) echo(payload []byte, m Message) {
	c.send(payload, m)
	if back := c.receive(); c.err == nil && !bytes.Equal(back, payload) {
		c.failf("%q comes back as %q", payload, back)
	}
}

// leave sends a close frame, without a code for 1005, and waits for the end.
func (c *client) leave(code int, reason string) {
	if c.err != nil {
		return
	}
	frame := websocket.FormatCloseMessage(code, reason)
	c.failIf("leave", c.WriteControl(websocket.CloseMessage, frame, c.deadline()))
	c.expectClose(code)
}

// expectClose reads the server's close frame, and waits for the end.
func (c *client) expectClose(code int) {
	if c.err != nil {
		return
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, code) {
		c.failf("%s reads %v, not the close code %d", c.story.Name, err, code)
		return
	}
	// The server may still send, or wait for us.
	_, _ = io.Copy(io.Discard, c.wire)
	c.vanish()
}

// vanish closes the socket, and waits until the server has noticed.
func (c *client) vanish() {
	if c.err != nil {
		return
	}
	c.Close()
	c.awaitEnd()
}

// awaitEnd waits for the line of the end, which is the last thing that is told.
func (c *client) awaitEnd() {
	if c.err != nil {
		return
	}
	c.failIf("end of "+c.story.Name, c.server.book.waitAction(c.ctx, "websocket-disconnected", c.story.ID))
	c.Close()
	c.story.MessagesReceived, c.story.BytesReceived = c.wire.out.counts()
	c.story.MessagesSent, c.story.BytesSent = c.wire.in.counts()
}
