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
// then. The errors are gorilla's own, ctx's, context.DeadlineExceeded or
// ErrNotServing.
func (c *Conn) Write(ctx context.Context, typ MessageType, data []byte) error {
	serving := c.currentServing()
	if serving == nil {
		return ErrNotServing
	}
	span := c.startSend(ctx, Message{Type: typ, Data: data})
	err := serving.write(ctx, typ, data)
	span.End(err)
	return err
}

// servedConn is the gorilla connection of a Serve or an Endpoint that runs.
type servedConn struct {
	conn    *websocket.Conn
	turn    chan struct{} // held by the goroutine that writes
	timeout time.Duration // of a write; 0: none
	owned   bool          // by an Endpoint
}

func (s *servedConn) write(ctx context.Context, typ MessageType, data []byte) error {
	deadline, bounded := ctx.Deadline()
	if s.timeout > 0 {
		if latest := processStart.Add(monotonic() + s.timeout); !bounded || latest.Before(deadline) {
			deadline, bounded = latest, true
		}
	}
	waited, err := s.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if waited && bounded && !time.Now().Before(deadline) {
		return context.DeadlineExceeded // the turn has come at the last moment
	}
	if bounded {
		if err := s.conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
		defer func() { _ = s.conn.SetWriteDeadline(time.Time{}) }() // never fails: gorilla only stores it
	}
	err = s.conn.WriteMessage(int(typ), data)
	if netErr := net.Error(nil); s.owned && errors.As(err, &netErr) {
		s.conn.Close() // nothing can be written any more: the reader is to end, too
	}
	return err
}

// takeTurn takes the turn to write, and reports whether that took a while.
func (s *servedConn) takeTurn(ctx context.Context) (waited bool, err error) {
	select {
	case s.turn <- struct{}{}:
		return false, nil
	default:
	}
	var tooLate <-chan time.Time
	if s.timeout > 0 {
		timer := time.NewTimer(s.timeout)
		defer timer.Stop()
		tooLate = timer.C
	}
	select {
	case s.turn <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return true, ctx.Err()
	case <-tooLate:
		return true, context.DeadlineExceeded
	}
}

// WriteJSON sends v as a text message; see Write.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(ctx, TextMessage, data)
}

// Close sends a close frame while Serve or an Endpoint runs for the connection.
// The peer's answer, or its silence for 5 seconds, ends that; the TCP connection
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
	deadline := time.Now().Add(closeTimeout)
	payload := websocket.FormatCloseMessage(code, sanitize(reason, maxCloseReason))
	if err := serving.conn.WriteControl(websocket.CloseMessage, payload, deadline); err != nil {
		return err
	}
	return serving.conn.SetReadDeadline(deadline)
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
