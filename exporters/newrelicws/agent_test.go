package newrelicws

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestEndToEnd: a real server and client, and what New Relic gets of them.
func TestEndToEnd(t *testing.T) {
	stand := newCollector()
	app := newApp(t, stand)
	var c chat
	c.authenticate = func(r *http.Request) bool {
		_, span := apmws.StartSpan(r.Context(), "authenticate", apmws.SpanOptions{})
		defer span.End(nil)
		apmws.FromContext(r.Context()).SetUser("u1")
		return true
	}
	c.handle = func(ctx context.Context, m apmws.Message) error {
		defer newrelic.FromContext(ctx).StartSegment("vendor").End()
		_, span := apmws.StartSpan(ctx, "PUBLISH", apmws.SpanOptions{Type: "messaging.redis.publish", Destination: "redis"})
		span.End(nil)
		if string(m.Data) == `{"type":"fail"}` {
			return errNoRoom
		}
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	c.start(t, New(app))
	conn := c.dial(t, http.Header{"Traceparent": {"00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"}})
	say(t, conn, `{"type":"chat.say"}`, `{"type":"surprise"}`)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"fail"}`)); err != nil {
		t.Fatal(err)
	}
	c.hangUp(t, conn)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := stand.harvest(t, app)
	connect := h.transaction(t, "Connection/CONNECT /ws")
	if connect.intrinsics["traceId"] != "0102030405060708090a0b0c0d0e0f10" || connect.intrinsics["parentSpanId"] != "0102030405060708" {
		t.Errorf("CONNECT is in %v", connect.intrinsics)
	}
	rootSpan := h.span(t, "OtherTransaction/Go/Connection/CONNECT /ws").intrinsics["guid"]
	if got := h.span(t, "Custom/authenticate").intrinsics["parentId"]; got != rootSpan {
		t.Errorf("authenticate is below %v", got)
	}
	id := connect.user[semconv.ConnectionID]
	var got []string
	for _, tx := range h.transactions {
		got = append(got, fmt.Sprint(tx.intrinsics["name"], " ", tx.user["result"], " ", tx.user[semconv.EventOutcome]))
		if tx.user[semconv.ConnectionID] != id || tx.user[semconv.Route] != "/ws" || tx.user[semconv.UserID] != "u1" || tx.agent["enduser.id"] != "u1" {
			t.Errorf("%v: %v", tx.intrinsics["name"], tx.user)
		}
		if tx.intrinsics["name"] == connect.intrinsics["name"] {
			continue
		}
		if tx.user[semconv.ConnectTraceID] != connect.intrinsics["traceId"] || tx.user[semconv.ConnectSpanID] != rootSpan ||
			tx.intrinsics["traceId"] == connect.intrinsics["traceId"] {
			t.Errorf("%v: %v %v", tx.intrinsics["name"], tx.intrinsics, tx.user)
		}
	}
	slices.Sort(got)
	want := []string{
		"OtherTransaction/Go/Connection/CONNECT /ws HTTP 1xx success",
		"OtherTransaction/Go/Disconnection/DISCONNECT /ws normal success",
		"OtherTransaction/Go/Message/_OTHER ok success",
		"OtherTransaction/Go/Message/chat.say ok success",
		"OtherTransaction/Go/Message/fail error failure",
	}
	if !slices.Equal(got, want) {
		t.Errorf("transactions\n%q, want\n%q", got, want)
	}
	for name, want := range map[string]float64{
		"Custom/vendor": 3, "MessageBroker/Redis/Topic/Produce/Named/PUBLISH": 3, "Custom/send chat.say": 1, "Custom/send _OTHER": 1,
		"OtherTransaction/Go/Message/chat.say": 1, "Custom/WebSocket/Messages/Handled/fail/failure": 1,
	} {
		if got := h.count(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	doc := h.error(t)
	if doc.intrinsics["transactionName"] != "OtherTransaction/Go/Message/fail" || doc.intrinsics["error.message"] != errNoRoom.Error() ||
		doc.user[semconv.ConnectionID] != id || doc.agent["enduser.id"] != "u1" {
		t.Errorf("%v", doc)
	}
}

// TestMiddleware: New Relic's own middleware around the agent. Its transaction,
// which lasts as long as the connection, is not sent; that of a refusal is.
func TestMiddleware(t *testing.T) {
	stand := newCollector()
	app := newApp(t, stand)
	var c chat
	c.outside = func(next http.Handler) http.Handler {
		_, h := newrelic.WrapHandle(app, "/ws", next)
		return h
	}
	c.handle = func(ctx context.Context, m apmws.Message) error {
		newrelic.FromContext(ctx).AddAttribute("mine", true)
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	c.start(t, New(app))
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	c.authenticate = refuseAll
	c.refused(t)
	if err := c.agent.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := stand.harvest(t, app)
	want := []string{
		"OtherTransaction/Go/Connection/CONNECT /ws", "OtherTransaction/Go/Connection/CONNECT /ws",
		"OtherTransaction/Go/Disconnection/DISCONNECT /ws", "OtherTransaction/Go/Message/chat.say",
		"WebTransaction/Go/GET /ws",
	}
	if got := names(h.transactions); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := h.transaction(t, "Message/chat.say").user["mine"]; got != true {
		t.Errorf("what a handler adds: %v", got)
	}
}
