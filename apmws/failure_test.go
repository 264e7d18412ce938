package apmws

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestFailureAttributes: an error document stands alone, so it has all attributes
// of its transaction, those of the start and of the application included.
func TestFailureAttributes(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			FromContext(ctx).SetAttrs(slog.String("tenant", "acme"))
			if r.Header.Get("X-Panic") != "" {
				panic("in Authenticate")
			}
			return ctx, nil
		},
		Upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
		Message: func(_ context.Context, m Message) error {
			if string(m.Data) == "panic" {
				panic("in Message")
			}
			return errors.New("no")
		},
	}))
	header := http.Header{"Origin": {"https://chat.example"}, "X-Panic": {"yes"}}
	if resp, _ := handshakeWith(t, url, func(r *http.Request) { maps.Copy(r.Header, header) }); resp.StatusCode != http.StatusInternalServerError {
		t.Fatalf("answered with %d", resp.StatusCode)
	}
	header.Del("X-Panic")
	conn := dial(t, url, header)
	for _, text := range []string{"fail", "panic"} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _ = conn.ReadMessage() // answers the close
	rec.wait(t, "disconnect", 1)

	failed := 0
	for _, kind := range []string{"opened", "message-end", "disconnect"} {
		for _, e := range rec.all(kind) {
			if e.failure == nil {
				continue
			}
			failed++
			got := attrMap(e.failure.Attrs)
			delete(got, semconv.ConnectionRecent)
			if !maps.Equal(got, e.attrs) || got["tenant"] != "acme" {
				t.Errorf("the error of %s has\n%v, its transaction\n%v", e.name, got, e.attrs)
			}
			if strings.HasPrefix(e.name, "CONNECT") != (got[semconv.Origin] == "https://chat.example") {
				t.Errorf("the error of %s has the origin %v", e.name, got[semconv.Origin])
			}
		}
	}
	if failed != 4 { // CONNECT, two messages, DISCONNECT
		t.Errorf("%d errors, want 4", failed)
	}
}
