package hour

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// client is a connection as its client has it.
type client struct {
	*visit
	period *period
	chance chance
	ws     *websocket.Conn
	acks   chan struct{}
	done   chan struct{} // closed when nothing more can be read
	away   bool          // the server restarts; read it when done is closed
	silent atomic.Bool   // no ping is answered any more
	pause  atomic.Int64  // ns for which nothing is read, after the next part of the history
}

func (v *visit) header() http.Header {
	header := http.Header{"User-Agent": {v.agent}}
	if v.origin != "" {
		header.Set("Origin", v.origin)
	}
	if v.malformed == inHandshake {
		header.Set("Traceparent", nonsense)
		note(v.book, &v.book.malformed, Event{Place: v.place, At: v.opened})
	}
	return header
}

func (v *visit) path() string { return strings.Replace(v.route, "{room}", v.room, 1) }

func (v *visit) connect() (net.Conn, error) {
	return v.node.listener.dial(&net.TCPAddr{IP: net.ParseIP(v.address), Port: 30000 + int(v.seed%20000)}, v)
}

// attend makes a handshake, and stays. It reports whether the guest is to come back.
func (p *period) attend(v *visit, attempt uint64, until time.Time) (again bool) {
	ws, status, err := v.handshake()
	if ws == nil {
		if status == 0 {
			p.failf("handshake of %s on %s: %v", v.user, v.node.name, err)
			return false
		}
		return p.refused(v, status)
	}
	defer ws.Close()
	v.connection.HandshakeTook = time.Since(v.opened)
	note(v.book, &v.book.visits, v)
	if v.refuse != admitted {
		p.failf("the handshake of %s on %s is accepted", v.user, v.node.name)
	}
	c := &client{
		visit: v, period: p, chance: newChance(v.seed, attempt*streams+ofClient), ws: ws,
		acks: make(chan struct{}, 1), done: make(chan struct{}),
	}
	pongs := newChance(v.seed, attempt*streams+ofPongs)
	ws.SetPingHandler(func(word string) error {
		// One who is silent after a ping is lost on the route of the news.
		if c.silent.Load() || v.route != routeNews && pongs.happens(0.015) {
			return nil
		}
		time.AfterFunc(min(pongs.lasts(48*time.Millisecond, 0.6)+15*time.Millisecond, 250*time.Millisecond), func() {
			_ = ws.WriteControl(websocket.PongMessage, []byte(word), time.Now().Add(heartbeat)) // all may be over
		})
		return nil
	})
	go c.read()
	c.live(until)
	c.leave()
	select {
	case <-c.done:
	case <-time.After(2 * newsPatience):
		p.failf("the connection of %s on %s does not end after %q", v.user, v.node.name, v.ending)
		ws.Close()
		<-c.done
	}
	return c.away
}

// handshake makes one. Of one that is refused it returns the status.
func (v *visit) handshake() (ws *websocket.Conn, status int, err error) {
	if v.refuse == badHandshake {
		status, err = v.oldHandshake()
		return nil, status, err
	}
	dialer := websocket.Dialer{
		NetDialContext: func(context.Context, string, string) (net.Conn, error) { return v.connect() },
	}
	ws, res, err := dialer.Dial("ws://"+site+v.path()+"?token=secret", v.header())
	if err != nil && res != nil {
		status = res.StatusCode
	}
	return ws, status, err
}

// oldHandshake makes one of a version that no server knows any more.
func (v *visit) oldHandshake() (status int, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+site+v.path(), http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header = v.header()
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-Websocket-Version": "8", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	conn, err := v.connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := r.Write(conn); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return res.StatusCode, nil
}

// refused notes a handshake that was not accepted.
func (p *period) refused(v *visit, status int) (again bool) {
	why := v.refuse
	if status == draining.status() && v.node.agent.Draining() {
		why = draining
	}
	if status != why.status() {
		p.failf("the handshake of %s on %s is answered by %d, not %d", v.user, v.node.name, status, why.status())
	}
	r := &Refusal{
		Place: v.place, At: v.opened, Took: time.Since(v.opened), Status: status, Reason: string(why),
		Address: v.address, User: v.user, Origin: v.origin,
	}
	// gorilla's own checks come first in an endpoint, and last in a handler.
	unchecked := (why == wrongOrigin || why == badHandshake) && v.route != routeNotify
	if unchecked || why == unauthenticated || why == draining {
		r.User = ""
	}
	note(v.book, &v.book.refusals, r)
	return why == draining
}

// read reads until that fails.
func (c *client) read() {
	defer close(c.done)
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			if closing := new(websocket.CloseError); errors.As(err, &closing) && closing.Code == websocket.CloseGoingAway {
				c.away = true
				c.dismissed(closing.Text)
			}
			return
		}
		switch {
		case bytes.HasPrefix(data, []byte(`{"type":"ack"`)), bytes.HasPrefix(data, []byte(`{"type":"sorry"`)):
			c.acks <- struct{}{} // nobody says anything before the last answer has come
		case bytes.HasPrefix(data, []byte(`{"type":"history"`)), bytes.HasPrefix(data, []byte(`{"type":"news`)):
			if pause := c.pause.Swap(0); pause > 0 {
				c.stalled.Store(true)
				time.Sleep(time.Duration(pause))
				c.stalled.Store(false)
			}
		}
	}
}

// sleep reports whether nothing has happened meanwhile.
func (c *client) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
	case <-c.period.over:
	}
	return false
}

// say sends a message, and waits for the answer. It reports whether one has come.
func (c *client) say(e envelope) bool {
	data := fmt.Sprintf(`{"type":%q,"traceparent":%q,"do":%q,"text":%q}`, e.Type, e.Traceparent, e.Do, e.Text)
	if c.ws.WriteMessage(websocket.TextMessage, []byte(data)) != nil {
		<-c.done
		return false
	}
	select {
	case <-c.acks:
		return true
	case <-c.done:
		return false
	}
}

// leave ends the connection in the guest's way, unless it has ended.
func (c *client) leave() {
	select {
	case <-c.done:
		return
	default:
	}
	ending := c.ending
	select {
	case <-c.period.over:
		ending = endAway
	default:
	}
	switch ending {
	case endNormal:
		c.closeWith(websocket.CloseNormalClosure, apmws.CauseNormal)
	case endAway:
		c.closeWith(websocket.CloseGoingAway, apmws.CauseGoingAway)
	case endNoCode:
		c.closeWith(websocket.CloseNoStatusReceived, apmws.CauseNormal)
	case endVanish:
		c.ends(apmws.CauseReadError, semconv.None, "network")
		c.ws.Close()
	case endSilence:
		c.silent.Store(true)
	case endProtocol:
		c.ends(apmws.CauseProtocolError, "1002", "server")
		_ = c.ws.NetConn().SetWriteDeadline(time.Time{})            // that of the last pong may have passed
		_, _ = c.ws.NetConn().Write([]byte{0x83, 0x80, 0, 0, 0, 0}) // a frame with the reserved opcode 3
	case endTooBig:
		c.ends(apmws.CauseMessageTooBig, "1009", "server")
		_ = c.ws.WriteMessage(websocket.TextMessage, make([]byte, tooBig)) // it is cut off
	case endKicked:
		c.ends(apmws.CauseApplication, fmt.Sprint(kickedCode), "server")
		c.say(envelope{Type: saySay, Do: doKick})
	case endBroken:
		c.say(envelope{Type: sayJoin, Do: doBreak})
	case endPanic:
		c.say(envelope{Type: sayHistory, Do: doPanic})
	case endUnread:
		c.pause.Store(int64(writeTimeout + 5*time.Second))
		if c.route == routeNews {
			c.pause.Store(int64(newsPatience))
			return
		}
		c.say(envelope{Type: sayHistory, Do: doStall})
	default: // who stays is sent away or leaves at the end
	}
}

func (c *client) closeWith(code int, cause apmws.CloseCause) {
	c.ends(cause, fmt.Sprint(code), "client")
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(heartbeat))
}
