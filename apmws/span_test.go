package apmws

import (
	"context"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
)

// TestSpanBesideAnEndedOne: a context outlives its span, and what begins with it is
// below what that span was below. Authenticate's context is such a one, of which
// those of the later hooks derive.
func TestSpanBesideAnEndedOne(t *testing.T) {
	type key struct{}
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	kept := make(chan context.Context, 1)
	conn := dial(t, serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			return context.WithValue(ctx, key{}, "ada"), nil
		},
		Connect: func(ctx context.Context, conn *Conn) (context.Context, error) {
			_, span := StartSpan(ctx, "load", SpanOptions{})
			span.End(nil)
			return ctx, conn.Write(ctx, TextMessage, []byte("welcome"))
		},
		Message: func(ctx context.Context, _ Message) error {
			outer, span := StartSpan(ctx, "outer", SpanOptions{})
			inner, below := StartSpan(outer, "inner", SpanOptions{})
			below.End(nil)
			_, beside := StartSpan(inner, "beside inner", SpanOptions{})
			beside.End(nil)
			span.End(nil)
			_, beside = StartSpan(inner, "beside outer", SpanOptions{})
			beside.End(nil)
			kept <- inner
			return nil
		},
	})), nil)
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte("m")); err != nil {
		t.Fatal(err)
	}
	rec.wait(t, "message-end", 1)
	if _, span := StartSpan(<-kept, "too late", SpanOptions{}); span != nil {
		t.Error("a span starts below a message that has ended")
	}

	got := map[string]string{}
	for _, e := range rec.all("span") {
		got[e.name] = e.parent
	}
	want := map[string]string{
		"authenticate": "CONNECT /ws", "upgrade": "CONNECT /ws", "load": "CONNECT /ws", "send _OTHER": "CONNECT /ws",
		"outer": "_OTHER", "inner": "outer", "beside inner": "outer", "beside outer": "_OTHER",
	}
	for name, parent := range want {
		if got[name] != parent {
			t.Errorf("%s is below %q, want %q", name, got[name], parent)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the spans are %v", got)
	}
}
