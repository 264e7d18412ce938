package elasticws

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// TestSecrets: a handshake full of secrets, in both placements, accepted and
// refused, and none of them in a single byte that is sent.
func TestSecrets(t *testing.T) {
	secretive := http.Header{
		"Authorization":          {"Bearer SECRET-AUTHORIZATION"},
		"Cookie":                 {"sid=SECRET-COOKIE; theme=SECRET-THEME"},
		"Referer":                {"https://chat.example/page?reset=SECRET-REFERER"},
		"Origin":                 {"https://chat.example"},
		"X-Forwarded-For":        {"203.0.113.66"},
		"X-Real-Ip":              {"203.0.113.67"},
		"Forwarded":              {"for=203.0.113.68;host=spoofed.example"},
		"X-Api-Key":              {"SECRET-API-KEY"},
		"Sec-Websocket-Protocol": {"bearer, SECRET-SUBPROTOCOL"},
		"Baggage":                {"user=SECRET-BAGGAGE"},
	}
	i := newIntake(t)
	tracer := i.tracer(t)
	var c chat
	c.outside = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tx := tracer.StartTransaction("GET /ws", "request") // knows the name alone
			defer tx.End()
			next.ServeHTTP(w, r.WithContext(apm.ContextWithTransaction(r.Context(), tx)))
		})
	}
	c.authenticate = func(r *http.Request) bool {
		if r.URL.Query().Has("refuse") {
			panic(http.ErrAbortHandler)
		}
		apm.CaptureError(r.Context(), errors.New("the application's own")).Send()
		return true
	}
	c.start(t, New(tracer))
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
	if refused, _, err := websocket.DefaultDialer.Dial(base+"?refuse&token=SECRET-QUERY", secretive); err == nil {
		refused.Close()
		t.Error("not refused")
	}
	c.wait(t)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}

	docs := i.documents(t)
	connects := 0
	for _, tx := range docs.transactions {
		if tx.Type != "Connection" {
			continue
		}
		connects++
		if r := tx.Context.Request; r.URL.Path != "/ws" || r.Socket.RemoteAddress != "127.0.0.1" || len(r.Cookies) != 0 {
			t.Errorf("request %+v, socket %+v", r, r.Socket)
		}
		if got := labelMap(tx.Context.Tags)["websocket_origin"]; got != "https://chat.example" {
			t.Errorf("origin %v", got)
		}
	}
	if connects != 2 || len(docs.errors) < 4 {
		t.Errorf("%d handshakes and %d errors: %v", connects, len(docs.errors), docs.names())
	}
	i.absent(t, "SECRET", "token=", "203.0.113.", "spoofed")
	if sent := i.sent(); !strings.Contains(sent, "Go-http-client") && !strings.Contains(sent, "127.0.0.1") {
		t.Error("nothing of the requests was sent: the test proves nothing")
	}
}

// TestSyntheticRequest: whatever is in a RequestInfo, no query and no cookie is
// made of it.
func TestSyntheticRequest(t *testing.T) {
	r := syntheticRequest(apmws.RequestInfo{Method: "GET", Host: "h", Path: "/a?b=c", Proto: "nonsense", Peer: "[2001:db8::1]:1"})
	if r.URL.RawQuery != "" || r.URL.Path != "/a?b=c" || r.ProtoMajor != 0 || r.TLS != nil || len(r.Header) != 0 {
		t.Errorf("%+v", r)
	}
}
