package promws_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/promws"
)

// A server that echoes, and the metric by which to scale it.
func Example() {
	agent := apmws.New(apmws.Options{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(promws.New(agent))

	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{})) // for Prometheus alone
	mux.Handle("/ws", agent.Endpoint("/ws", apmws.EndpointOptions{
		Message: func(ctx context.Context, m apmws.Message) error {
			return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		},
	}))
	server := httptest.NewServer(mux)
	defer server.Close()

	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	// Once it is answered, it is counted.
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		fmt.Println(err)
		return
	}

	res, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "websocket_connections_active") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// # HELP websocket_connections_active WebSocket connections that are open.
	// # TYPE websocket_connections_active gauge
	// websocket_connections_active{http_route="/ws"} 1
}
