package newrelicws

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// chat is a server with an agent. A message is {"type":…}; what it does is said
// there.
type chat struct {
	agent *apmws.Agent
	url   string
	// handle may replace what is done with a message.
	handle func(ctx context.Context, m apmws.Message) error
	// authenticate runs before the upgrade; false refuses with 401.
	authenticate func(r *http.Request) bool
	// outside is put around the agent, as an HTTP middleware would be.
	outside func(http.Handler) http.Handler
	// returned gets a value for each handler that has returned.
	returned chan struct{}
}

func (c *chat) start(t testing.TB, exporters ...apmws.Exporter) {
	t.Helper()
	c.agent = apmws.New(apmws.Options{
		Exporters:    exporters,
		Messages:     apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "fail", "panic", "echo"}},
		Subprotocols: []string{"chat.v2"},
	})
	c.serve(t)
}

// serve serves with the agent that c has.
func (c *chat) serve(t testing.TB) {
	t.Helper()
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"chat.v2", "bearer"},
		CheckOrigin:  func(*http.Request) bool { return true },
	}
	h := c.agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.authenticate != nil && !c.authenticate(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = apmws.Serve(r.Context(), conn, c.message) // the connection's end is what is tested
	}))
	if c.outside != nil {
		h = c.outside(h)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { c.returned <- struct{}{} }()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { _ = c.agent.Shutdown(context.Background()) })
	t.Cleanup(server.Close)
	c.returned = make(chan struct{}, 1000)
	c.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
}

func (c *chat) message(ctx context.Context, m apmws.Message) error {
	if c.handle != nil {
		return c.handle(ctx, m)
	}
	switch data := string(m.Data); {
	case strings.Contains(data, "fail"):
		return errNoRoom
	case strings.Contains(data, "panic"):
		panic("the room is gone")
	default:
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
}

func (c *chat) dial(t testing.TB, header http.Header) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(c.url, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say sends messages and reads the answer to each.
func say(t testing.TB, conn *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
}

// wait waits until a handler has returned.
func (c *chat) wait(t testing.TB) {
	t.Helper()
	select {
	case <-c.returned:
	case <-soon(t).Done():
		t.Fatal("the handler did not return")
	}
}

// hangUp closes a connection in good order and waits for its handler.
func (c *chat) hangUp(t testing.TB, conn *websocket.Conn) {
	t.Helper()
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _, _ = conn.ReadMessage() // the answer
	conn.Close()
	c.wait(t)
}

func refuseAll(*http.Request) bool { return false }

// refused dials and is refused.
func (c *chat) refused(t testing.TB) {
	t.Helper()
	c.refusedWith(t, nil)
}

func (c *chat) refusedWith(t testing.TB, header http.Header) {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(c.url, header)
	if err == nil {
		conn.Close()
		t.Fatal("not refused")
	}
	c.wait(t)
}
