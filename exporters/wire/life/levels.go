package life

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// relay is a handler of level 2: it upgrades, and leaves the loop to Serve.
func (s *server) relay(w http.ResponseWriter, r *http.Request) {
	s.notes.note(r)
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = apmws.Serve(r.Context(), conn, s.shop) // how it ended is in DISCONNECT
	zerolog.Ctx(r.Context()).Info().Msg("relay left")
}

// plain is a handler of level 1: nothing in it knows of the library but for the
// notes of this script.
func (s *server) plain(w http.ResponseWriter, r *http.Request) {
	s.notes.note(r)
	switch r.Header.Get(headerScript) {
	case "panic":
		panic("no room")
	case "silent":
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
		return
	case "hidden":
		w = struct{ http.ResponseWriter }{w} // as a middleware does that forgets http.Hijacker
	case "denied":
		http.Error(w, "denied", http.StatusUnauthorized)
		return
	}
	// The client's token is negotiated as the subprotocol, as some do.
	upgrader := websocket.Upgrader{Subprotocols: websocket.Subprotocols(r)}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	zerolog.Ctx(r.Context()).Info().Msg("echo begins")
	for {
		typ, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		deadline := time.Now().Add(Patience)
		if conn.WriteControl(websocket.PingMessage, []byte("beat"), deadline) != nil || conn.WriteMessage(typ, data) != nil {
			return
		}
	}
}

// manual is a handler with a loop of its own that names its messages itself.
func (s *server) manual(w http.ResponseWriter, r *http.Request) {
	s.notes.note(r)
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer http.SetCookie(w, &http.Cookie{Name: "basket", Value: secretCookie}) // too late
	defer conn.Close()
	apmws.FromContext(r.Context()).SetUser("Eve")
	for {
		typ, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if s.handleByHand(r.Context(), conn, typ, data) != nil {
			return
		}
	}
}

func (s *server) handleByHand(ctx context.Context, conn *websocket.Conn, typ int, data []byte) error {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	ctx, tx := apmws.StartMessage(ctx, apmws.MessageInfo{Name: e.Type, Type: apmws.MessageType(typ), Size: len(data)})
	defer tx.EndOnPanic()
	zerolog.Ctx(ctx).Info().Msg("message taken")
	if e.Type == "order.crash" {
		panic("the basket is nil")
	}
	err := conn.WriteMessage(typ, data)
	tx.End(err)
	return err
}
