package apmws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

var upgrader websocket.Upgrader

// echo is a handler as it was before.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	for {
		typ, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(typ, data); err != nil {
			return
		}
	}
}

// Level 1: wrap the handler that upgrades, without a change in it.
func ExampleAgent_Handler() {
	logger := zerolog.New(os.Stdout).With().Timestamp().Logger()
	agent := apmws.New(apmws.Options{Logger: &logger})

	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(echo)))
	// log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))
}

// Level 2: wrap the message handler, so that each message is a transaction.
func ExampleServe() {
	agent := apmws.New(apmws.Options{Messages: apmws.MessageOptions{
		Name:  apmws.JSONField("type"),
		Names: []string{"chat.join", "chat.say"},
	}})
	handle := func(ctx context.Context, m apmws.Message) error {
		var in struct{ Type, Room string }
		if err := json.Unmarshal(m.Data, &in); err != nil {
			return err // recorded; the connection goes on
		}
		if in.Room == "" {
			return apmws.Close(websocket.ClosePolicyViolation, "which room?")
		}
		zerolog.Ctx(ctx).Info().Str("room", in.Room).Msg("heard") // carries the ids
		return apmws.FromContext(ctx).WriteJSON(ctx, map[string]string{"type": "chat.joined"})
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		err = apmws.Serve(r.Context(), conn, handle)
		if websocket.IsUnexpectedCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
			log.Print(err)
		}
	})))

	server := httptest.NewServer(mux)
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, message := range []string{`{"type":"chat.join","room":"go"}`, `{"type":"chat.say"}`} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			log.Fatal(err)
		}
		_, answer, err := conn.ReadMessage()
		fmt.Println(string(answer), err)
	}
	for _, m := range agent.Stats().Routes[0].Messages {
		fmt.Println(m.Name, m.Outcome, m.Duration.Count)
	}
	// Output:
	// {"type":"chat.joined"} <nil>
	//  websocket: close 1008 (policy violation): which room?
	// chat.join success 1
	// chat.say failure 1
}

// Level 2 for a read loop of one's own, with any library.
func ExampleStartMessage() {
	handle := func(ctx context.Context, payload []byte) error { return nil }

	// In the loop, with the request's context:
	onMessage := func(ctx context.Context, payload []byte) error {
		ctx, tx := apmws.StartMessage(ctx, apmws.MessageInfo{Name: "chat.say", Size: len(payload)})
		defer tx.EndOnPanic()
		err := handle(ctx, payload)
		tx.End(err)
		return err
	}
	_ = onMessage(context.Background(), []byte("hello"))
}

// A span of the application's own, in every exporter.
func ExampleStartSpan() {
	publish := func(ctx context.Context, room string) error { return nil }

	handle := func(ctx context.Context, _ apmws.Message) error {
		ctx, span := apmws.StartSpan(ctx, "PUBLISH", apmws.SpanOptions{
			Type: "messaging.redis.publish", Destination: "redis",
		})
		err := publish(ctx, "go")
		span.End(err)
		return err
	}
	_ = handle(context.Background(), apmws.Message{})
}

// Counters and histograms are exact and can be read at any time.
func ExampleAgent_Stats() {
	agent := apmws.New(apmws.Options{})
	agent.Handler("/ws", http.NotFoundHandler())
	for _, r := range agent.Stats().Routes {
		fmt.Printf("%s: %d open, p95 of a message %v\n", r.Route, r.ConnectionsActive, quantile(r, 0.95))
	}
	// Output:
	// /ws: 0 open, p95 of a message 0s
}

func quantile(r apmws.RouteStats, q float64) time.Duration {
	if len(r.Messages) == 0 {
		return 0
	}
	return r.Messages[0].Duration.Quantile(q)
}

// An error made by Close ends the connection; any other is recorded and the
// loop goes on.
func ExampleClose() {
	err := fmt.Errorf("token: %w", apmws.Close(4401, "token expired"))
	var closing *apmws.CloseError
	fmt.Println(errors.As(err, &closing), closing.Code)
	// Output:
	// true 4401
}
