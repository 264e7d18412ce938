package livews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

// startConn opens a connection of a view without an agent.
func startConn(t testing.TB, v *View, id string) apmws.ConnSpan {
	t.Helper()
	_, c := v.StartConn(t.Context(), apmws.ConnStart{Time: t0, ID: id, Route: "/ws", Name: "CONNECT /ws"})
	if c == nil {
		t.Fatal("StartConn returned no handle")
	}
	return c
}

// message records a message of one millisecond.
func message(ctx context.Context, c apmws.ConnSpan, name string, failure *apmws.Failure) {
	_, m := c.StartMessage(ctx, apmws.MessageStart{Time: t0, Name: name})
	end := apmws.MessageEnd{Time: t0.Add(time.Millisecond), Result: "ok", Outcome: apmws.OutcomeSuccess}
	if failure != nil {
		end.Result, end.Outcome, end.Failure = "error", apmws.OutcomeFailure, failure
	}
	m.End(end)
}

// names of transactions.
func names(list []Transaction) []string {
	all := make([]string, 0, len(list))
	for _, t := range list {
		all = append(all, t.Name)
	}
	return all
}

// get fetches a document as the page does.
func get(t testing.TB, url string, since uint64) (d Document, body string) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/debug/ws/data.json?since=%d", url, since))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var raw strings.Builder
	dec := json.NewDecoder(&tee{resp.Body, &raw})
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("data.json: %v", err)
	}
	return d, raw.String()
}

type tee struct {
	r interface{ Read([]byte) (int, error) }
	w *strings.Builder
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.w.Write(p[:n])
	return n, err
}

// until fetches documents until one satisfies ok.
func until(t testing.TB, url, what string, ok func(Document) bool) Document {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, body := get(t, url, 0)
		if ok(d) {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in\n%s", what, body)
		}
	}
}

// newServer serves a chat behind a real agent, and the view.
func newServer(t testing.TB, v *View) *httptest.Server {
	t.Helper()
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{v},
		Messages: apmws.MessageOptions{
			Name: apmws.JSONField("type"), Names: []string{"say", "fail", "panic"}, RecordRawNames: true,
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", agent.Handler("/ws", http.HandlerFunc(chat)))
	mux.Handle("/debug/ws/", v)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// chat refuses who has no name, echoes "say", and fails as it is told.
func chat(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	user := r.URL.Query().Get("user")
	_, span := apmws.StartSpan(ctx, "authenticate", apmws.SpanOptions{})
	if user == "" {
		span.End(errors.New("nobody"))
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	span.End(nil)
	apmws.FromContext(ctx).SetUser(user)
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = apmws.Serve(ctx, conn, func(ctx context.Context, m apmws.Message) error {
		switch {
		case strings.Contains(string(m.Data), "fail"):
			return errors.New("it failed")
		case strings.Contains(string(m.Data), "panic"):
			panic("oh no")
		}
		ctx, span := apmws.StartSpan(ctx, "store", apmws.SpanOptions{
			Type: "db.redis.query", Destination: "redis", Attrs: []slog.Attr{slog.Int("shard", 3)},
		})
		defer span.End(nil)
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	})
}

// dial connects to the chat.
func dial(t testing.TB, server *httptest.Server, query string, header http.Header) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws?"+query, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say sends a message and waits for its echo.
func say(t testing.TB, conn *websocket.Conn, text string) {
	t.Helper()
	send(t, conn, text)
	if _, echo, err := conn.ReadMessage(); err != nil || string(echo) != text {
		t.Fatalf("echo %q, %v; want %q", echo, err, text)
	}
}

// send sends a message whose answer does not matter.
func send(t testing.TB, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// hangUp sends a close frame.
func hangUp(t testing.TB, conn *websocket.Conn, code int, reason string) {
	t.Helper()
	frame := websocket.FormatCloseMessage(code, reason)
	if err := conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(5*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func find[T any](t testing.TB, list []T, what string, ok func(T) bool) T {
	t.Helper()
	for _, x := range list {
		if ok(x) {
			return x
		}
	}
	t.Fatalf("no %s in %+v", what, list)
	panic("unreachable")
}

// attr returns an attribute's value, or nil.
func attr(list Attributes, name string) any {
	for _, a := range list {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}
