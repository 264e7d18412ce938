package apmws_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// The messages of common protocols are named in one line. Each function comes
// with another that lists the names to register, since a name that is not
// registered becomes _OTHER.
func Example_protocols() {
	templates := []string{"/topic/rooms/{room}"}
	agent := apmws.New(apmws.Options{Routes: map[string]apmws.MessageOptions{
		"/rpc":     {Name: apmws.JSONRPC(), Names: apmws.JSONRPCNames("subtract")},
		"/graphql": {Name: apmws.GraphQLWS(), Names: apmws.GraphQLWSNames("GetUser")},
		"/stomp":   {Name: apmws.STOMP(templates...), Names: apmws.STOMPNames(templates...)},
		"/io":      {Name: apmws.SocketIO(), Names: apmws.SocketIONames("chat message")},
		"/mqtt":    {Name: apmws.MQTT(), Names: apmws.MQTTNames()},
	}})
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = apmws.Serve(r.Context(), conn, func(ctx context.Context, m apmws.Message) error {
			return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		})
	})
	mux := http.NewServeMux()
	for _, route := range []string{"/rpc", "/graphql", "/stomp", "/io", "/mqtt"} {
		mux.Handle(route, agent.Handler(route, serve))
	}
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, message := range []struct {
		route, payload string
		typ            int
	}{
		{"/rpc", `{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}`, websocket.TextMessage},
		{"/graphql", `{"id":"1","type":"subscribe","payload":{"operationName":"GetUser"}}`, websocket.TextMessage},
		{"/stomp", "SEND\ndestination:/topic/rooms/4711\n\nhello\x00", websocket.TextMessage},
		{"/io", `42["chat message","hello"]`, websocket.TextMessage},
		{"/mqtt", "\xc0\x00", websocket.BinaryMessage},
	} {
		tell("ws"+strings.TrimPrefix(server.URL, "http")+message.route, message.typ, message.payload)
	}
	for _, r := range agent.Stats().Routes {
		for _, m := range r.Messages {
			fmt.Printf("%s %s: %d\n", r.Route, m.Name, m.Duration.Count)
		}
	}
	// Unordered output:
	// /rpc subtract: 1
	// /graphql subscribe GetUser: 1
	// /stomp SEND /topic/rooms/{room}: 1
	// /io chat message: 1
	// /mqtt PINGREQ: 1
}

// tell sends a message and waits until the server has handled it: it answers the
// close after that.
func tell(url string, typ int, payload string) {
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = conn.WriteMessage(typ, []byte(payload))
	if err == nil {
		err = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	}
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	conn.Close()
}
