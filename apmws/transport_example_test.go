package apmws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// Whose calls are these? Requests with the context of a connection or a message are
// spans of it, and counted by its route, the message's name and the host.
func ExampleTransport() {
	billing := httptest.NewServer(http.NotFoundHandler()) // some API
	defer billing.Close()
	client := &http.Client{Transport: apmws.Transport(nil)}
	charge := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, billing.URL+"/charge", http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}

	agent := apmws.New(apmws.Options{Messages: apmws.MessageOptions{
		Name:  apmws.JSONField("type"),
		Names: []string{"order.pay"},
	}})
	mux := http.NewServeMux()
	mux.Handle("/shop", agent.Endpoint("/shop", apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			return ctx, charge(ctx) // inside the handshake
		},
		Message: func(ctx context.Context, m apmws.Message) error {
			if err := charge(ctx); err != nil {
				return err
			}
			return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		},
	}))
	server := httptest.NewServer(mux)
	defer server.Close()

	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/shop", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	for range 2 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"order.pay"}`)); err != nil {
			fmt.Println(err)
			return
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, route := range agent.Stats().Routes {
		for _, calls := range route.Calls {
			fmt.Println(route.Route, calls.Name, calls.Address, calls.Count)
		}
	}
	// Output:
	// /shop CONNECT 127.0.0.1 1
	// /shop order.pay 127.0.0.1 2
}
