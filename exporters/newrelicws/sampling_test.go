package newrelicws

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestSamplingEndToEnd: the agent's own sampling before New Relic's. What is not
// chosen is counted, and a failure is kept; its log line finds it.
func TestSamplingEndToEnd(t *testing.T) {
	var lines bytes.Buffer
	logger := zerolog.New(zerolog.SyncWriter(&lines))
	stand := newCollector()
	app := newApp(t, stand)
	var c chat
	c.agent = apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{New(app)},
		Logger:    &logger,
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "echo", "fail"}},
		Sampling:  &apmws.Sampling{Names: map[string]float64{"chat.say": 1}},
	})
	c.serve(t)
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`, `{"type":"echo"}`, `{"type":"echo"}`)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"fail"}`)); err != nil {
		t.Fatal(err)
	}
	c.hangUp(t, conn)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := stand.harvest(t, app)
	want := []string{
		"OtherTransaction/Go/Connection/CONNECT /ws", "OtherTransaction/Go/Disconnection/DISCONNECT /ws",
		"OtherTransaction/Go/Message/chat.say", "OtherTransaction/Go/MessageKept/fail",
	}
	if got := names(h.transactions); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	kept := h.transaction(t, "MessageKept/fail")
	if elapsed, ok := kept.user[semconv.MessageElapsed].(float64); !ok || elapsed <= 0 || kept.user[semconv.SamplingWeight] != 0.0 {
		t.Errorf("%v", kept.user)
	}
	for name, count := range map[string]float64{"chat.say/success": 1, "echo/success": 2, "fail/failure": 1} {
		if got := h.total("Custom/WebSocket/Messages/Handled/" + name); got != count {
			t.Errorf("%s: %v, want %v", name, got, count)
		}
	}
	if doc := h.error(t); doc.intrinsics["transactionName"] != kept.intrinsics["name"] || doc.intrinsics["traceId"] != kept.intrinsics["traceId"] {
		t.Errorf("%v", doc.intrinsics)
	}
	found := 0
	for line := range bytes.Lines(lines.Bytes()) {
		var fields map[string]any
		unmarshal(t, line, &fields)
		if fields["event.action"] != "websocket-message" {
			continue
		}
		found++
		if fields["trace.id"] != kept.intrinsics["traceId"] || fields["span.id"] != h.span(t, "OtherTransaction/Go/MessageKept/fail").intrinsics["guid"] ||
			fields["entity.guid"] != "ENTITY" || fields["transaction.id"] != nil {
			t.Errorf("%s", line)
		}
	}
	if found != 1 {
		t.Errorf("%d lines of messages in %s", found, lines.Bytes())
	}
}
