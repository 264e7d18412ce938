package newrelicws

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/newrelic/go-agent/v3/newrelic"
)

// TestSecrets: a handshake full of secrets, inside a middleware of New Relic's and
// not, accepted and refused, and none of them in a single byte that is sent.
func TestSecrets(t *testing.T) {
	secretive := http.Header{
		"Authorization":          {"Bearer SECRET-AUTHORIZATION"},
		"Cookie":                 {"sid=SECRET-COOKIE; theme=SECRET-THEME"},
		"Origin":                 {"https://chat.example"},
		"X-Forwarded-For":        {"203.0.113.66"},
		"X-Api-Key":              {"SECRET-API-KEY"},
		"Sec-Websocket-Protocol": {"bearer, SECRET-SUBPROTOCOL"},
		"Baggage":                {"user=SECRET-BAGGAGE"},
	}
	for _, middleware := range []bool{false, true} {
		stand := newCollector()
		app := newApp(t, stand, func(cfg *newrelic.Config) {
			// Traces of everything, segments included.
			cfg.TransactionTracer.Threshold.IsApdexFailing = false
			cfg.TransactionTracer.Threshold.Duration = 0
			cfg.TransactionTracer.Segments.Threshold = 0
			cfg.DatastoreTracer.SlowQuery.Threshold = 0
		})
		var c chat
		c.authenticate = func(r *http.Request) bool {
			newrelic.FromContext(r.Context()).NoticeError(errors.New("the application's own"))
			return !r.URL.Query().Has("refuse")
		}
		if middleware {
			c.outside = func(next http.Handler) http.Handler {
				_, h := newrelic.WrapHandle(app, "/ws", next)
				return h
			}
		} else {
			// The middleware sends the Referer of what it records, a refusal, itself.
			secretive["Referer"] = []string{"https://chat.example/page?reset=SECRET-REFERER"}
		}
		c.start(t, New(app))
		base := c.url
		c.url = base + "?token=SECRET-QUERY"
		conn := c.dial(t, secretive)
		say(t, conn, `{"type":"chat.say","text":"SECRET-PAYLOAD"}`, `{"type":"SECRET-NAME"}`)
		for _, kind := range []string{"fail", "panic"} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"`+kind+`","text":"SECRET-PAYLOAD"}`)); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := conn.ReadMessage(); err == nil {
			t.Error("the connection survived a panic")
		}
		c.wait(t)
		c.url = base + "?refuse&token=SECRET-QUERY"
		c.refusedWith(t, secretive)
		if err := c.agent.Shutdown(soon(t)); err != nil {
			t.Fatal(err)
		}
		h := stand.harvest(t, app)
		connects := 0
		for _, tx := range h.transactions {
			if tx.intrinsics["name"] == "OtherTransaction/Go/Connection/CONNECT /ws" {
				connects++
				if tx.user["request.uri"] != "/ws" || tx.user["websocket.origin"] != "https://chat.example" {
					t.Errorf("%v", tx.user)
				}
			}
		}
		if connects != 2 || len(h.errors) < 4 || h.methods["transaction_sample_data"] == 0 {
			t.Errorf("%d handshakes, %d errors, posts %v", connects, len(h.errors), h.methods)
		}
		sent := stand.sent()
		for _, secret := range []string{"SECRET", "token=", "203.0.113."} {
			if i := strings.Index(sent, secret); i >= 0 {
				t.Errorf("middleware %v: sent …%s…", middleware, sent[max(0, i-300):i+40])
			}
		}
		if !strings.Contains(sent, "Go-http-client") {
			t.Error("nothing of the requests was sent: the test proves nothing")
		}
		delete(secretive, "Referer")
	}
}
