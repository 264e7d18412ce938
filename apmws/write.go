package apmws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// Write sends a message to the peer while Serve or an Endpoint runs for the
// connection. Under a message's transaction, of this connection or another, it is
// a span "send <name>". Calls from several goroutines take turns. ctx bounds the
// wait for the turn and, by its deadline, the write; so does
// EndpointOptions.WriteTimeout. When the turn does not come in time, nothing is
// written and the connection is whole. After a deadline that passes during the
// write the connection is broken, as always with gorilla; an Endpoint closes it
// then. The errors are gorilla's own, ctx's, context.DeadlineExceeded, ErrNotServing,
// or one that says that the type is not one of a message: control frames are
// WebSocket's and Close's.
func (c *Conn) Write(ctx context.Context, typ MessageType, data []byte) error {
	serving := c.currentServing()
	switch {
	case serving == nil:
		return ErrNotServing
	case !typ.valid():
		return errMessageType
	}
	span := c.startSend(ctx, Message{Type: typ, Data: data})
	err := serving.write(ctx, typ, data)
	span.End(err)
	return err
}

// servedConn is the gorilla connection of a Serve or an Endpoint that runs.
type servedConn struct {
	conn     *websocket.Conn
	observed *Conn
	turn     turn          // held by the goroutine that writes
	timeout  time.Duration // of a write; 0: none
	queue    *sendQueue    // nil: there is none
}

func (s *servedConn) write(ctx context.Context, typ MessageType, data []byte) error {
	deadline, bounded := deadlineOf(ctx)
	own := false
	if s.timeout > 0 {
		if latest := s.latest(monotonic()); !bounded || latest.Before(deadline) {
			deadline, bounded, own = latest, true, true
		}
	}
	waited, err := s.turn.take(ctx, s.timeout)
	if err != nil {
		return err
	}
	defer s.turn.give()
	if err := ctx.Err(); err != nil {
		return err
	}
	if waited && bounded && !time.Now().Before(deadline) {
		return context.DeadlineExceeded // the turn has come at the last moment
	}
	return s.put(&queued{typ: typ, data: data}, deadline, own)
}

// deadlineOf is ctx.Deadline, without a walk where that is known to find none.
func deadlineOf(ctx context.Context) (deadline time.Time, bounded bool) {
	if s, ok := ctx.(*scope); ok && s.unbounded {
		return time.Time{}, false
	}
	return ctx.Deadline()
}

// latest is until when a write may last that begins now; zero: for good. It is up to a
// sixteenth of the timeout later than that, so that writes in a row have one deadline,
// which the tap sets once.
func (s *servedConn) latest(now time.Duration) time.Time {
	if s.timeout <= 0 {
		return time.Time{}
	}
	timeout := min(s.timeout, forever)
	until := now + timeout
	if step := timeout / 16; step > 0 {
		until += step - until%step
	}
	return processStart.Add(until)
}

// put writes a message. The turn is held. own says that the deadline, if any, is
// that of the connection's own timeout.
func (s *servedConn) put(m *queued, deadline time.Time, own bool) (err error) {
	if !deadline.IsZero() {
		if err := s.conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
		defer func() { _ = s.conn.SetWriteDeadline(time.Time{}) }() // never fails: gorilla only stores it
	}
	if m.of != nil {
		err = s.conn.WritePreparedMessage(m.of.prepared)
	} else {
		err = s.conn.WriteMessage(int(m.typ), m.data)
	}
	if err != nil && s.observed.isOwned() {
		s.broken(err, own)
	}
	return err
}

// broken closes an Endpoint's connection when nothing can be written any more: the
// reader is to end, too. own says that the peer had all the time that it gets.
func (s *servedConn) broken(err error, own bool) {
	netErr := net.Error(nil)
	if !errors.As(err, &netErr) {
		return
	}
	if own && s.queue != nil && netErr.Timeout() {
		s.slow("a write has not ended in time")
	}
	s.conn.Close()
}

// WriteJSON sends v as a text message; see Write.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(ctx, TextMessage, data)
}

// Close sends a close frame while Serve or an Endpoint runs for the connection,
// after what waits in the send queue, for which it waits for up to 5 seconds. The
// peer's answer, or its silence for 5 seconds, ends that; the TCP connection
// is then closed by the Endpoint, or is the caller of Serve's to close. The reason
// is cut to 123 bytes. It returns ErrNotServing when neither runs, and
// ErrCloseCode for a code that must not be sent.
func (c *Conn) Close(code int, reason string) error {
	serving := c.currentServing()
	if serving == nil {
		return ErrNotServing
	}
	if !validCloseCode(code) {
		return fmt.Errorf("%w: %d", ErrCloseCode, code)
	}
	c.flushBriefly()
	return serving.closeWith(code, reason)
}

// closeWith sends a close frame, and ends the reader some time after.
func (s *servedConn) closeWith(code int, reason string) error {
	deadline := time.Now().Add(closeTimeout)
	payload := websocket.FormatCloseMessage(code, sanitize(reason, maxCloseReason))
	if err := s.conn.WriteControl(websocket.CloseMessage, payload, deadline); err != nil {
		return err
	}
	return s.conn.SetReadDeadline(deadline)
}

// WebSocket returns gorilla's connection while Serve or an Endpoint runs for
// this one, else nil: for its options, such as SetPongHandler or
// SetReadDeadline, and for WriteControl. Messages must not be written to it
// directly, since gorilla allows one writer at a time, which Write sees to.
func (c *Conn) WebSocket() *websocket.Conn {
	if serving := c.currentServing(); serving != nil {
		return serving.conn
	}
	return nil
}

func (c *Conn) currentServing() *servedConn {
	if c == nil {
		return nil
	}
	return c.serving.Load()
}
