package livews

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

// TestTheDrainIsShown: how many are closed, while a message is in hand and after.
func TestTheDrainIsShown(t *testing.T) {
	v := New(Options{})
	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{v}})
	has, release := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/live/", http.StripPrefix("/live", v))
	mux.Handle("/ws", agent.Endpoint("/ws", apmws.EndpointOptions{Message: func(context.Context, apmws.Message) error {
		close(has)
		<-release
		return nil
	}}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	var conns []*websocket.Conn
	for range 3 {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	say := func() {
		if err := conns[0].WriteMessage(websocket.TextMessage, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		<-has
	}
	say()
	until(t, server.URL+"/live", "three connections", func(d Document) bool { return d.Totals.Active == 3 && d.Drain == nil })
	for _, conn := range conns {
		go func() { _, _, _ = conn.ReadMessage() }()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- agent.Shutdown(ctx) }()
	until(t, server.URL+"/live", "two of three are closed", func(d Document) bool {
		return d.Drain != nil && *d.Drain == Drain{Open: 1, Closed: 2}
	})
	close(release)
	if err := <-result; err != nil {
		t.Error(err)
	}
	until(t, server.URL+"/live", "all are closed", func(d Document) bool {
		return *d.Drain == Drain{Closed: 3, Drained: true}
	})
}
