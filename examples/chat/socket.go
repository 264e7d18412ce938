package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

const (
	socketPath = "/ws"
	maxMessage = 64 << 10 // bytes
)

// socket serves the connections: level 3 of apmws, so what follows is all that
// is the chat's own about them.
func (s *server) socket() http.Handler {
	return s.agent.Endpoint(socketPath, apmws.EndpointOptions{
		// The check of the Origin header is gorilla's: no other site's pages.
		Upgrader: websocket.Upgrader{Subprotocols: []string{bearer}, HandshakeTimeout: writeWait, Error: refuse},

		Authenticate: s.authenticate,
		Connect:      s.connect,
		Message: func(ctx context.Context, message apmws.Message) error {
			return s.handle(ctx, memberOf(ctx), message)
		},
		Close:        func(ctx context.Context, _ *apmws.Conn, _ error) { s.hub.remove(memberOf(ctx)) },
		ReadLimit:    maxMessage,
		WriteTimeout: writeWait,
	})
}

type memberKey struct{}

func memberOf(ctx context.Context) *member { return ctx.Value(memberKey{}).(*member) }

// connect makes the member of a connection that is open, and has its messages
// written until that ends. ctx is cancelled then.
func (s *server) connect(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
	m := newMember(conn, ctx.Done())
	if !s.hub.add(m) {
		return ctx, apmws.Close(websocket.CloseGoingAway, goingAway)
	}
	m.expectPongs(s.cfg.heartbeat)
	go m.write(ctx, s.cfg.heartbeat)
	return context.WithValue(ctx, memberKey{}, m), nil
}

// refuse answers a handshake that authenticate refuses, or that gorilla does:
// what is no proper one, or comes from another site's page.
func refuse(w http.ResponseWriter, r *http.Request, status int, reason error) {
	text := reason.Error()
	if p := new(problem); errors.As(reason, &p) {
		text = p.text
	}
	switch status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="chat"`
		if tokenOf(r) != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodGet)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusInternalServerError:
		text = somethingWrong // the reason is in the log
	}
	writeError(w, status, text)
}

// expectPongs gives the peer up that leaves three pings without a pong.
func (m *member) expectPongs(heartbeat time.Duration) {
	extend := func(string) error { return m.ws.SetReadDeadline(time.Now().Add(3 * heartbeat)) }
	_ = extend("") // fails when the connection is closed, which reading will tell
	m.ws.SetPongHandler(extend)
}
