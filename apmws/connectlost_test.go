package apmws

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestPeerLeavesDuringConnect: a Connect hook that fails since its peer has left is not
// blamed for the end.
func TestPeerLeavesDuringConnect(t *testing.T) {
	reads := func(_ context.Context, c *Conn) error {
		_, _, err := c.WebSocket().ReadMessage()
		return err
	}
	writes := func(ctx context.Context, c *Conn) error {
		for {
			if err := c.Write(ctx, TextMessage, make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}
	resets := func(conn *websocket.Conn) { _ = conn.NetConn().Close() }
	says := func(code int) func(*websocket.Conn) {
		return func(conn *websocket.Conn) {
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
		}
	}
	stays := func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() } // and answers the close frame
	for name, test := range map[string]struct {
		hook    func(context.Context, *Conn) error
		peer    func(*websocket.Conn)
		cause   CloseCause
		outcome Outcome // of CONNECT
	}{
		"the peer vanishes":      {reads, resets, CauseReadError, OutcomeSuccess},
		"the peer closes":        {reads, says(1000), CauseNormal, OutcomeSuccess},
		"the peer goes":          {reads, says(1001), CauseGoingAway, OutcomeSuccess},
		"nothing can be written": {writes, resets, CauseWriteError, OutcomeSuccess},
		"a code of the hook's, too late": {
			func(ctx context.Context, c *Conn) error { return errors.Join(reads(ctx, c), Close(1011, "")) },
			says(1000), CauseNormal, OutcomeSuccess,
		},
		"a panic all the same": {
			func(ctx context.Context, c *Conn) error { panic(reads(ctx, c)) },
			says(1000), CausePanic, OutcomeFailure,
		},
		"the hook's own deadline": {
			func(ctx context.Context, c *Conn) error {
				if err := c.WebSocket().SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
					return err
				}
				return reads(ctx, c)
			},
			stays, CauseHandlerError, OutcomeFailure,
		},
		"an error of its own": {
			func(context.Context, *Conn) error { return errors.New("no room") },
			stays, CauseHandlerError, OutcomeFailure,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newObserved(MessageOptions{})
			srv := httptest.NewServer(server.agent.Endpoint("/ws", EndpointOptions{
				Connect: func(ctx context.Context, c *Conn) (context.Context, error) { return ctx, test.hook(ctx, c) },
				Message: neverMessage(t),
				Close:   func(context.Context, *Conn, error) { t.Error("Close was called") },
			}))
			defer srv.Close()
			conn := dial(t, wsURL(srv), nil)
			test.peer(conn)
			e := server.rec.wait(t, "disconnect", 1)[0]
			conn.Close()
			if blamed := e.failure != nil; e.result != string(test.cause) || blamed != (test.cause.Outcome() == OutcomeFailure) {
				t.Errorf("it ended as %s, with %+v", e.result, e.failure)
			}
			if opened := server.rec.all("opened"); len(opened) != 1 || opened[0].outcome != test.outcome {
				t.Errorf("CONNECT ended as %+v", opened)
			}
		})
	}
}
