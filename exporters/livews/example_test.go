package livews_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/livews"
)

// The view beside a server that echoes.
func Example() {
	live := livews.New(livews.Options{})
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{live},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"greet"}},
	})
	var upgrader websocket.Upgrader
	echo := func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = apmws.Serve(r.Context(), conn, func(ctx context.Context, m apmws.Message) error {
			return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(echo)))
	mux.Handle("/debug/ws/", live) // on a loopback address, or behind authentication
	server := httptest.NewServer(mux)
	defer server.Close()

	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	for range 3 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"greet"}`)); err != nil {
			fmt.Println(err)
			return
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			fmt.Println(err)
			return
		}
	}

	resp, err := http.Get(server.URL + "/debug/ws/data.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var data livews.Document
	if err := json.NewDecoder(resp.Body).Decode(&data); err != nil {
		fmt.Println(err)
		return
	}
	// What is sent is counted once it is written, which the client may see before.
	fmt.Println(data.Totals.Active, "connection,", data.Totals.MessagesReceived, "messages received,", data.Totals.BytesReceived, "bytes received")
	fmt.Println(data.Transactions[0].Name, data.Transactions[0].Result)
	fmt.Println(data.Transactions[1].Name, data.Transactions[1].Result, data.Transactions[1].Spans[0].Name)
	// Output:
	// 1 connection, 3 messages received, 48 bytes received
	// CONNECT /ws HTTP 1xx
	// greet ok send greet
}
