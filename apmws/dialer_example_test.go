package apmws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// A client that stays connected.
func ExampleAgent_Dialer() {
	agent := apmws.New(apmws.Options{Messages: apmws.MessageOptions{
		Name:  apmws.JSONField("type"),
		Names: []string{"quote", "subscribe"},
	}})
	server := httptest.NewServer(quotes(agent))
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http") + "/quotes"

	type event struct {
		Type string `json:"type"`
		Of   string `json:"of"`
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dialer := agent.Dialer("quotes", url, apmws.DialerOptions{
		// Before each attempt, and before it expires: a fresh token.
		Token: func(context.Context) (string, time.Time, error) {
			return "t-1", time.Now().Add(time.Hour), nil
		},
		// On each connection: subscribe, anew.
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			return ctx, conn.WriteJSON(ctx, event{Type: "subscribe", Of: "gold"})
		},
		// Each message, as a transaction of its own.
		Message: func(_ context.Context, m apmws.Message) error {
			var in event
			if err := json.Unmarshal(m.Data, &in); err != nil {
				return err
			}
			fmt.Println(in.Type, "of", in.Of)
			cancel() // that is enough
			return nil
		},
	})
	// Until ctx ends, whatever becomes of servers meanwhile.
	err := dialer.Run(ctx)
	var gaveUp *apmws.GaveUpError
	switch {
	case errors.As(err, &gaveUp):
		fmt.Println("the server does not want us:", gaveUp.Err)
	default:
		fmt.Println(err)
	}
	// Output:
	// quote of gold
	// context canceled
}

// quotes is the server of the example.
func quotes(agent *apmws.Agent) http.Handler {
	return agent.Endpoint("/quotes", apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			if r.Header.Get("Authorization") != "Bearer t-1" {
				return ctx, apmws.Refuse(http.StatusUnauthorized, "")
			}
			return ctx, nil
		},
		Message: func(ctx context.Context, _ apmws.Message) error {
			err := apmws.FromContext(ctx).Write(ctx, apmws.TextMessage, []byte(`{"type":"quote","of":"gold"}`))
			if errors.Is(err, websocket.ErrCloseSent) {
				return nil // it has left
			}
			return err
		},
	})
}
