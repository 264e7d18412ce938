package apmws

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/rs/zerolog"
)

// TestMessageTraceContext: linked by default, the parent by option, ignored and
// counted when malformed.
func TestMessageTraceContext(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, cont := range []bool{false, true} {
		rec := newRecorder()
		agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}, Messages: MessageOptions{
			TraceContext:  func(_ MessageType, payload []byte) (string, string) { return string(payload), "" },
			ContinueTrace: cont,
		}}, func(context.Context, Message) error { return nil })
		send(t, conn, parent, "malformed", "")
		rec.wait(t, "message-end", 3)
		starts := rec.all("message")
		if starts[0].remote.TraceParent() != parent || starts[0].cont != cont {
			t.Errorf("remote is %+v, continue %v", starts[0].remote, starts[0].cont)
		}
		if starts[1].remote.IsValid() || starts[2].remote.IsValid() {
			t.Errorf("a remote came of nothing: %+v", starts[1:])
		}
		if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "malformed_trace_context", 1}) {
			t.Errorf("dropped: %+v", d)
		}
	}
}

// TestCallbackPanics: a fault in a naming function is no fault of the message.
func TestCallbackPanics(t *testing.T) {
	rec := newRecorder()
	var out lockedBuffer
	logger := zerolog.New(&out)
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}, Logger: &logger, Messages: MessageOptions{
		Name:         func([]byte, MessageType, []byte) []byte { panic("name") },
		TraceContext: func(MessageType, []byte) (string, string) { panic("trace") },
		LogLevel:     func(string) zerolog.Level { panic("level") },
	}}, func(context.Context, Message) error { return nil })
	send(t, conn, "x", "y")
	for _, e := range rec.wait(t, "message-end", 2) {
		if e.name != "_OTHER" || e.result != "ok" {
			t.Errorf("got %+v", e)
		}
	}
	conn.Close()
	rec.wait(t, "disconnect", 1)
	if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "callback_panic", 6}) {
		t.Errorf("dropped: %+v", d)
	}
}

// TestRouteOptions: a route may have a protocol of its own.
func TestRouteOptions(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{
		Exporters: []Exporter{rec}, Messages: testMessages,
		Routes: map[string]MessageOptions{"/raw": {
			Name:  func(dst []byte, _ MessageType, payload []byte) []byte { return append(dst, payload...) },
			Names: []string{"ping"},
		}},
	})
	mux := http.NewServeMux()
	handle := serving(func(context.Context, Message) error { return nil }, nil)
	mux.Handle("/raw", agent.Handler("/raw", handle))
	mux.Handle("/json", agent.Handler("/json", handle))
	url := serveWS(t, mux)
	send(t, dial(t, url+"/raw", nil), "ping", "pong")
	rec.wait(t, "message-end", 2)
	send(t, dial(t, url+"/json", nil), "ping", `{"type":"chat.say"}`)
	var names []string
	for _, e := range rec.wait(t, "message-end", 4) {
		names = append(names, e.name)
	}
	if want := []string{"ping", "_OTHER", "_OTHER", "chat.say"}; !slices.Equal(names, want) {
		t.Errorf("names are %v, want %v", names, want)
	}
	stats := agent.Stats()
	if len(stats.Routes) != 2 || stats.Routes[0].Route != "/json" || stats.Routes[1].Messages[0].Name != "_OTHER" {
		t.Errorf("stats: %+v", stats.Routes)
	}
}
