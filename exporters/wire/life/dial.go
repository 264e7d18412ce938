package life

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// quotesRoute is the name of the connection that the application itself dials.
const quotesRoute = "quotes"

// dialled is a connection of the application's to its partner, who cannot be reached
// at first and closes it in the end.
func (p *play) dialled() {
	rita := &Connection{
		Name: "Rita", Route: quotesRoute, Level: 3, User: "Rita", Subprotocol: "json", Opened: time.Now(),
		Cause: apmws.CauseNormal, Code: "1000", Initiator: "server", PingsAnswered: 1,
	}
	away := &Refusal{Name: "partner away", Route: quotesRoute, Reason: "unreachable"}
	p.story.Connections = append(p.story.Connections, rita)
	p.story.Refusals = append(p.story.Refusals, away)
	tick := encode(envelope{Type: "hello", Note: secretPayload})
	p.story.Messages = append(p.story.Messages, &Message{
		Connection: rita.Name, Route: quotesRoute, Name: "hello", Type: "text", Length: len(tick), Result: "ok", Fate: Recorded,
	})
	if p.err != nil {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	var wire *countedConn
	var attempts atomic.Int64
	connected := false
	d := p.server.agent.Dialer(quotesRoute, "ws://quotes.example/quotes?access_token="+secretQuery, apmws.DialerOptions{
		FirstDelay: time.Millisecond,
		Dialer: websocket.Dialer{
			Subprotocols: []string{"json"},
			NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				if attempts.Add(1) == 1 {
					return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
				}
				conn, err := p.server.connection.DialContext(ctx, network, "")
				wire = &countedConn{Conn: conn}
				return wire, err
			},
		},
		Token: func(ctx context.Context) (string, time.Time, error) {
			id := apmws.FromContext(ctx).ID()
			if away.ID == "" {
				away.ID = id
			}
			rita.ID = id
			return secretHeader, time.Time{}, nil
		},
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			conn.SetUser("Rita")
			return ctx, reply(ctx, "hello")
		},
		Message: p.server.shop,
		State: func(s apmws.DialState) {
			connected = connected || s.Phase == apmws.DialOpen
			if s.Phase == apmws.DialWaiting && connected { // the partner has closed it
				cancel()
			}
		},
	})
	if err := d.Run(ctx); !errors.Is(err, context.Canceled) || p.ctx.Err() != nil {
		p.failf("the dialer ends by %v", err)
		return
	}
	rita.MessagesReceived, rita.BytesReceived = wire.in.counts()
	rita.MessagesSent, rita.BytesSent = wire.out.counts()
}

// quotes is the partner's end of it.
func (s *server) quotes(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"json"}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	deadline := time.Now().Add(Patience)
	if conn.SetReadDeadline(deadline) != nil {
		return
	}
	if _, _, err := conn.ReadMessage(); err != nil { // hello
		return
	}
	if conn.WriteMessage(websocket.TextMessage, encode(envelope{Type: "hello", Note: secretPayload})) != nil {
		return
	}
	if _, _, err := conn.ReadMessage(); err != nil { // a ping, and the reply
		return
	}
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "that is all"), deadline)
	_, _, _ = conn.ReadMessage() // the answer
}
