package exact

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// routes are one for each level of adoption.
var routes = []string{"/served", "/endpoint", "/own-loop"}

// slowFrom is a bound of the core's buckets, so that its histograms tell how many
// messages were slow: 2^14 µs.
const (
	slowFrom = 16384 * time.Microsecond
	slowWork = 25 * time.Millisecond
)

var errNote = errors.New("the note is refused")

// newAgent returns an agent of the sequence's messages.
func newAgent(sampling *apmws.Sampling, exporters ...apmws.Exporter) *apmws.Agent {
	opts := apmws.MessageOptions{Name: nameOf}
	for _, name := range names {
		opts.Names = append(opts.Names, name)
	}
	return apmws.New(apmws.Options{Exporters: exporters, Messages: opts, Sampling: sampling})
}

// handlerOf serves all routes. A request with the header Refuse is refused.
func handlerOf(agent *apmws.Agent) http.Handler {
	upgrader := websocket.Upgrader{EnableCompression: true, WriteBufferSize: 1024}
	upgrade := func(next func(ctx context.Context, conn *websocket.Conn)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Refuse") != "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			conn, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return // counted as a refusal, which is none that the test has asked for
			}
			defer conn.Close()
			bePatient(conn)
			next(r.Context(), conn)
		})
	}
	mux := http.NewServeMux()
	mux.Handle(routes[0], agent.Handler(routes[0], upgrade(func(ctx context.Context, conn *websocket.Conn) {
		// How connections end is counted, and compared with what was asked for.
		_ = apmws.Serve(ctx, conn, func(ctx context.Context, m apmws.Message) error { return handle(ctx, conn, m) })
	})))
	mux.Handle(routes[1], agent.Endpoint(routes[1], apmws.EndpointOptions{
		Upgrader: upgrader,
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			if r.Header.Get("Refuse") != "" {
				return ctx, apmws.Refuse(http.StatusForbidden, "forbidden")
			}
			return ctx, nil
		},
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			bePatient(conn.WebSocket())
			return ctx, nil
		},
		Message:      func(ctx context.Context, m apmws.Message) error { return handle(ctx, nil, m) },
		WriteTimeout: -1,
		Heartbeat:    apmws.Heartbeat{Interval: -1}, // clients account for each frame
	}))
	mux.Handle(routes[2], agent.Handler(routes[2], upgrade(func(ctx context.Context, conn *websocket.Conn) {
		for {
			typ, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			m := apmws.Message{Type: apmws.MessageType(typ), Data: data}
			ctx, tx := apmws.StartMessage(ctx, apmws.MessageInfo{
				Name: string(nameOf(nil, m.Type, data)), Type: m.Type, Size: len(data),
			})
			tx.End(handle(ctx, conn, m))
		}
	})))
	return mux
}

// bePatient makes the library's own answers wait for the peer. By default they give up
// after a second, and break the connection, which on a busy machine may be too soon.
func bePatient(conn *websocket.Conn) {
	answer := func(op int, payload []byte) error {
		return conn.WriteControl(op, payload, time.Now().Add(time.Minute))
	}
	conn.SetPingHandler(func(payload string) error { return answer(websocket.PongMessage, []byte(payload)) })
	conn.SetCloseHandler(func(code int, _ string) error {
		return answer(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
	})
}

// handle answers a message as often as it asks for: by the agent's connection where
// that may be written to, and else by the library's; the second answer, where the
// library's is at hand, in parts.
func handle(ctx context.Context, conn *websocket.Conn, m apmws.Message) error {
	if len(m.Data) == 0 {
		return nil
	}
	replies := 0
	if len(m.Data) > repliesAt {
		replies = int(m.Data[repliesAt] - '0')
	}
	for i := range replies {
		if err := answer(ctx, conn, m, i); err != nil {
			return err
		}
	}
	switch m.Data[0] {
	case kindSlow:
		time.Sleep(slowWork) // what a slow query would take
	case kindFail:
		return errNote
	}
	return nil
}

func answer(ctx context.Context, conn *websocket.Conn, m apmws.Message, i int) error {
	if i == 0 || conn == nil {
		err := apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		if errors.Is(err, apmws.ErrNotServing) {
			err = conn.WriteMessage(int(m.Type), m.Data)
		}
		return err
	}
	w, err := conn.NextWriter(int(m.Type))
	if err != nil {
		return err
	}
	half := len(m.Data) / 2
	if _, err := w.Write(m.Data[:half]); err != nil {
		return err
	}
	if _, err := w.Write(m.Data[half:]); err != nil {
		return err
	}
	return w.Close()
}

// serve starts a server of all routes and returns its address.
func serve(t testing.TB, agent *apmws.Agent) (address string) {
	t.Helper()
	server := httptest.NewServer(handlerOf(agent))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
