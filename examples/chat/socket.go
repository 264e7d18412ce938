package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

const maxMessage = 64 << 10 // bytes

// socket serves one connection, from the handshake to the end.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		writeError(w, http.StatusMethodNotAllowed, "use GET")
		return
	}
	conn := apmws.FromContext(r.Context())
	if s.rebound(r) {
		conn.SetRefusalReason("origin")
		writeError(w, http.StatusForbidden, wrongHost)
		return
	}
	user, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	if !s.hub.enter() {
		conn.SetRefusalReason("draining")
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusServiceUnavailable, goingAway)
		return
	}
	defer s.hub.leave()

	// The check of the Origin header is gorilla's: no other site's pages.
	upgrader := websocket.Upgrader{Subprotocols: []string{bearer}, HandshakeTimeout: writeWait, Error: refuseUpgrade}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // refuseUpgrade has answered
	}
	m := newMember(user, conn, ws)
	written := make(chan struct{})
	defer func() { <-written }()
	defer close(m.gone)
	defer ws.Close()
	go func() {
		defer close(written)
		m.write(r.Context(), s.cfg.heartbeat)
	}()
	s.hub.add(m)
	defer s.hub.remove(m)

	s.expectPongs(ws)
	ws.SetReadLimit(maxMessage)
	err = apmws.Serve(r.Context(), ws, func(ctx context.Context, message apmws.Message) error {
		return s.handle(ctx, m, message)
	})
	if errors.Is(err, websocket.ErrReadLimit) {
		linger(ws)
	}
}

// expectPongs gives the peer up that leaves three pings without a pong.
func (s *server) expectPongs(ws *websocket.Conn) {
	extend := func(string) error { return ws.SetReadDeadline(time.Now().Add(3 * s.cfg.heartbeat)) }
	_ = extend("") // fails when the connection is closed, which reading will tell
	ws.SetPongHandler(extend)
}

// refuseUpgrade answers what is no proper handshake, or comes from another
// site's page.
func refuseUpgrade(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-WebSocket-Version", "13") // RFC 6455, section 4.4
	writeError(w, status, reason.Error())
}

// linger lets the peer read the close frame that has been sent. A socket that
// is closed while bytes of the peer wait in it resets the connection, and then
// the frame is lost on its way.
func linger(ws *websocket.Conn) {
	const patience, rest = time.Second, 4 << 20
	raw := ws.NetConn()
	if half, ok := raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if raw.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(raw, rest))
	}
}
