package apmws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// Level 3: describe the whole life of a route's connections.
func ExampleAgent_Endpoint() {
	agent := apmws.New(apmws.Options{Messages: apmws.MessageOptions{
		Name:  apmws.JSONField("type"),
		Names: []string{"say", "quit"},
	}})

	type event struct {
		Type string `json:"type"`
		User string `json:"user,omitempty"`
		Text string `json:"text,omitempty"`
	}
	sessions := map[string]string{"s-1": "ann", "s-2": "mallory"}
	left := make(chan string, 1)
	var members sync.Map // of *apmws.Conn

	mux := http.NewServeMux()
	mux.Handle("GET /room", agent.Endpoint("/room", apmws.EndpointOptions{
		// Before the upgrade: who is it? An error refuses the handshake.
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			cookie, err := r.Cookie("session")
			if err != nil {
				return ctx, err // 401
			}
			user, known := sessions[cookie.Value]
			if !known {
				return ctx, errors.New("the session has expired") // 401; this text is in the log alone
			}
			if user == "mallory" {
				return ctx, apmws.Refuse(http.StatusForbidden, "forbidden")
			}
			apmws.FromContext(ctx).SetUser(user) // on all that is recorded from now on
			return ctx, nil
		},
		// After it: greet, load, register. Messages wait until this returns.
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			if err := conn.WriteJSON(ctx, event{Type: "welcome", User: conn.User()}); err != nil {
				return ctx, err // closes the connection; Close is not called
			}
			members.Store(conn, nil) // last, so that Close undoes it
			return ctx, nil
		},
		// Each message, one after the other, as a transaction of its own.
		Message: func(ctx context.Context, m apmws.Message) error {
			var in event
			if err := json.Unmarshal(m.Data, &in); err != nil {
				return err // recorded; the connection goes on
			}
			if in.Type == "quit" {
				return apmws.Close(websocket.CloseNormalClosure, "bye")
			}
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // no member holds up the others for long
			defer cancel()
			said := event{Type: "said", User: apmws.FromContext(ctx).User(), Text: in.Text}
			members.Range(func(member, _ any) bool {
				_ = member.(*apmws.Conn).WriteJSON(ctx, said) // one that has gone is not this message's failure
				return true
			})
			return nil
		},
		// The end, for whatever reason: undo what Connect did.
		Close: func(_ context.Context, conn *apmws.Conn, _ error) {
			members.Delete(conn)
			left <- conn.User()
		},
	}))
	server := httptest.NewServer(mux)
	defer server.Close()

	// A client without a session, and one with.
	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/room"
	_, refused, err := websocket.DefaultDialer.Dial(url, nil)
	fmt.Println(err, refused.Status)

	conn, _, err := websocket.DefaultDialer.Dial(url, http.Header{"Cookie": {"session=s-1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	for _, out := range []event{{Type: "say", Text: "hello"}, {Type: "quit"}} {
		if err := conn.WriteJSON(out); err != nil {
			fmt.Println(err)
		}
	}
	for err == nil {
		var text []byte
		if _, text, err = conn.ReadMessage(); err == nil {
			fmt.Println(string(text))
		}
	}
	fmt.Println(err)
	fmt.Println(<-left, "has left")
	// Output:
	// websocket: bad handshake 401 Unauthorized
	// {"type":"welcome","user":"ann"}
	// {"type":"said","user":"ann","text":"hello"}
	// websocket: close 1000 (normal): bye
	// ann has left
}
