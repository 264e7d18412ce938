package promws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/apmws/go-apmws/apmws"
)

// chat is a server with an agent, whose metrics are at /metrics.
type chat struct {
	agent *apmws.Agent
	url   string // of the server
}

func startChat(t testing.TB) *chat {
	t.Helper()
	c := &chat{}
	c.agent = apmws.New(apmws.Options{
		Messages: apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "fail"}},
	})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(New(c.agent))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	for _, route := range []string{"/ws", "/rooms"} {
		mux.Handle(route, c.agent.Endpoint(route, apmws.EndpointOptions{
			Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
				if r.URL.Query().Has("stranger") {
					return nil, apmws.Refuse(http.StatusUnauthorized, "unauthenticated")
				}
				return ctx, nil
			},
			Message: func(ctx context.Context, m apmws.Message) error {
				if strings.Contains(string(m.Data), "fail") {
					return errors.New("no such room")
				}
				return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
			},
		}))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		server.Client().CloseIdleConnections()
	})
	c.url = server.URL
	return c
}

func (c *chat) dial(t testing.TB, path string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(c.url, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends messages and reads the echo of each but those that fail.
func say(t testing.TB, conn *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m, "fail") {
			continue
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
}

// hangUp closes a connection in good order.
func hangUp(t testing.TB, conn *websocket.Conn) {
	t.Helper()
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _, _ = conn.ReadMessage() // the answer
	conn.Close()
}

// refused dials as somebody who is not let in, with a trace context that is none.
func (c *chat) refused(t testing.TB) {
	t.Helper()
	header := http.Header{"Traceparent": {"nonsense"}}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(c.url, "http")+"/ws?stranger", header)
	if err == nil {
		conn.Close()
		t.Fatal("not refused")
	}
}

// until waits for what the agent counts.
func (c *chat) until(t testing.TB, what string, ok func(apmws.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(c.agent.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in %+v", what, c.agent.Stats())
		}
	}
}

// allClosed says whether nothing is open, after something was.
func allClosed(s apmws.Stats) bool {
	var opened, ended int64
	for _, r := range s.Routes {
		opened += r.ConnectionsOpened
		ended += int64(r.ConnectionDuration.Count)
	}
	return opened > 0 && opened == ended
}

// get gets the metrics as Prometheus would, in its text format.
func (c *chat) get() (string, error) {
	res, err := http.Get(c.url + "/metrics")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

func (c *chat) scrape(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	text, err := c.get()
	if err != nil {
		t.Fatal(err)
	}
	families, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return families
}
