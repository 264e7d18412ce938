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
	maxMessage = 64 << 10        // bytes
	writeWait  = 5 * time.Second // for a peer that takes nothing

	// queueLength is how many messages may wait for a peer: as much as a hundred
	// others may say at once. The bytes of them are bounded by apmws' 1 MiB.
	queueLength = 4096
)

// socket serves the connections: level 3 of apmws, which sees to pings, slow peers,
// old connections and the end of the server. What follows is the chat's own.
func (s *server) socket() http.Handler {
	return s.agent.Endpoint(socketPath, apmws.EndpointOptions{
		// The check of the Origin header is gorilla's: no other site's pages.
		Upgrader: websocket.Upgrader{Subprotocols: []string{bearer}, HandshakeTimeout: writeWait, Error: refuse},

		Authenticate: s.authenticate,
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			return context.WithValue(ctx, memberKey{}, newMember(conn)), nil
		},
		Message: func(ctx context.Context, message apmws.Message) error {
			return s.handle(ctx, memberOf(ctx), message)
		},
		Close:        func(ctx context.Context, _ *apmws.Conn, _ error) { s.hub.remove(memberOf(ctx)) },
		ReadLimit:    maxMessage,
		WriteTimeout: writeWait,
		Heartbeat:    s.cfg.heartbeat,
		MaxAge:       s.cfg.maxAge,
		// Nothing may be missing in a chat: who does not keep up is sent away, knows
		// it, and comes back.
		SendQueue: apmws.SendQueue{Messages: queueLength, Policy: apmws.Disconnect},
	})
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
		w.Header().Set("Retry-After", "5") // as the agent says while it drains
	case http.StatusInternalServerError:
		text = somethingWrong // the reason is in the log
	}
	writeError(w, status, text)
}
