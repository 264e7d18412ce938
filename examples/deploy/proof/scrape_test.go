package proof

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/promws"
)

// pod is a server with open connections, by its answer to a scrape.
type pod struct {
	name    string
	metrics string
}

// startPod starts a server with the routes of a chat, opens connections to it, and
// scrapes it. All is closed with the test.
func startPod(t testing.TB, name string, open map[string]int) pod {
	t.Helper()
	agent := apmws.New(apmws.Options{})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(promws.New(agent))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	for _, route := range []string{"/ws", "/rooms"} {
		mux.Handle(route, agent.Endpoint(route, apmws.EndpointOptions{
			Message: func(context.Context, apmws.Message) error { return nil },
		}))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	want := 0
	for route, n := range open {
		for range n {
			conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+route, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			want++
		}
	}
	for deadline := time.Now().Add(30 * time.Second); len(agent.Connections()) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections are open", len(agent.Connections()), want)
		}
	}
	res, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return pod{name, string(text)}
}
