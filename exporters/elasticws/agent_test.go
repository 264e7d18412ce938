package elasticws

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

// TestEndToEnd: a real server and client, and what an APM Server gets of them.
func TestEndToEnd(t *testing.T) {
	i := newIntake(t)
	var c chat
	c.authenticate = func(r *http.Request) bool {
		_, span := apmws.StartSpan(r.Context(), "authenticate", apmws.SpanOptions{})
		defer span.End(nil)
		apmws.FromContext(r.Context()).SetUser("u1")
		return true
	}
	c.start(t, New(i.tracer(t)))
	conn := c.dial(t, http.Header{"Traceparent": {"00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"}})

	// CONNECT is there while the connection is open.
	if err := c.agent.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	docs := i.wait(t, "CONNECT", func(d *documents) bool { return len(d.transactions) > 0 })
	connect := docs.transaction(t, "CONNECT /ws")
	if n := len(c.agent.Connections()); n != 1 || len(docs.transactions) != 1 {
		t.Errorf("%d connections are open, transactions %v", n, docs.names())
	}
	if connect.TraceID != (model.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}) ||
		connect.ParentID != (model.SpanID{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("CONNECT is in trace %x below %x", connect.TraceID, connect.ParentID)
	}
	if got := docs.span(t, "authenticate"); got.ParentID != connect.ID || got.Type != "app" {
		t.Errorf("authenticate, %s, is below %x, want %x", got.Type, got.ParentID, connect.ID)
	}
	id := labelMap(connect.Context.Tags)["websocket_connection_id"]

	say(t, conn, `{"type":"chat.say"}`, `{"type":"echo","and":"more"}`, `{"type":"surprise"}`)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"fail"}`)); err != nil {
		t.Fatal(err)
	}
	c.hangUp(t, conn)
	if err := c.agent.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	docs = i.documents(t)
	var names []string
	for _, tx := range docs.transactions {
		names = append(names, tx.Type+" "+tx.Name+" "+tx.Result+" "+tx.Outcome)
		labels := labelMap(tx.Context.Tags)
		if labels["websocket_connection_id"] != id || labels["http_route"] != "/ws" {
			t.Errorf("%s: labels %v", tx.Name, labels)
		}
		if tx.Context.User == nil || tx.Context.User.ID != "u1" {
			t.Errorf("%s: user %+v", tx.Name, tx.Context.User)
		}
		if tx.Type == "Connection" {
			continue
		}
		if tx.TraceID == connect.TraceID || tx.ParentID != (model.SpanID{}) ||
			!slices.Equal(tx.Links, []model.SpanLink{{TraceID: connect.TraceID, SpanID: connect.ID}}) {
			t.Errorf("%s is in trace %x below %x with links %x", tx.Name, tx.TraceID, tx.ParentID, tx.Links)
		}
	}
	slices.Sort(names)
	want := []string{
		"Connection CONNECT /ws HTTP 1xx success",
		"Disconnection DISCONNECT /ws normal success",
		"Message _OTHER ok success",
		"Message chat.say ok success",
		"Message echo ok success",
		"Message fail error failure",
	}
	if !slices.Equal(names, want) {
		t.Errorf("transactions\n%q, want\n%q", names, want)
	}
	labels := labelMap(docs.transaction(t, "DISCONNECT /ws").Context.Tags)
	for label, want := range map[string]any{
		"websocket_event": "disconnect", "websocket_messages_received": 4.0, "websocket_messages_sent": 3.0,
		"websocket_bytes_received": float64(len(`{"type":"chat.say"}{"type":"echo","and":"more"}{"type":"surprise"}{"type":"fail"}`)),
		"websocket_bytes_sent":     float64(len(`{"type":"chat.say"}{"type":"echo","and":"more"}{"type":"surprise"}`)),
		"websocket_close_code":     "1000", "websocket_close_cause": "normal", "websocket_close_initiator": "client",
	} {
		if labels[label] != want {
			t.Errorf("DISCONNECT: %s is %v, want %v", label, labels[label], want)
		}
	}
	send := docs.span(t, "send echo")
	if got := docs.transaction(t, "echo"); send.ParentID != got.ID || send.Type != "websocket" || send.Subtype != "send" {
		t.Errorf("span %s.%s below %x, want %x", send.Type, send.Subtype, send.ParentID, got.ID)
	}
	doc := docs.error(t)
	if doc.Exception.Message != errNoRoom.Error() || doc.TransactionID != docs.transaction(t, "fail").ID {
		t.Errorf("error %q of %x", doc.Exception.Message, doc.TransactionID)
	}
	if got := labelMap(doc.Context.Tags); got["websocket_connection_id"] != id || doc.Context.User.ID != "u1" {
		t.Errorf("error: labels %v, user %+v", got, doc.Context.User)
	}
}

// TestPanicEndToEnd: the culprit is the handler, and the connection ended for it.
func TestPanicEndToEnd(t *testing.T) {
	rec := newRecorder(t)
	var c chat
	c.start(t, New(rec.Tracer))
	conn := c.dial(t, nil)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"panic"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
		t.Errorf("the client got %v", err)
	}
	conn.Close()
	c.wait(t)
	docs := rec.collect(t)
	if tx := docs.transaction(t, "panic"); tx.Result != "panic" || tx.Outcome != "failure" {
		t.Errorf("result %q, outcome %q", tx.Result, tx.Outcome)
	}
	disconnect := docs.transaction(t, "DISCONNECT /ws")
	if disconnect.Result != "panic" || disconnect.Outcome != "failure" {
		t.Errorf("DISCONNECT: result %q, outcome %q", disconnect.Result, disconnect.Outcome)
	}
	found := 0
	for _, doc := range docs.errors {
		if doc.Exception.Message != "the room is gone" || doc.Exception.Type != "panic" || doc.Culprit != "(*chat).message" {
			t.Errorf("error %q, type %q, culprit %q", doc.Exception.Message, doc.Exception.Type, doc.Culprit)
		}
		if doc.TransactionID == disconnect.ID || doc.TransactionID == docs.transaction(t, "panic").ID {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d errors of the message and of DISCONNECT, want 2", found)
	}
}

// TestHandlersContext: what a handler's context gives Elastic's API is alive, and
// gone once it has ended; what a middleware outside has opened is not found for
// hours.
func TestHandlersContext(t *testing.T) {
	rec := newRecorder(t)
	var c chat
	c.outside = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tx := rec.StartTransaction("GET /ws", "request")
			defer tx.End()
			next.ServeHTTP(w, r.WithContext(apm.ContextWithTransaction(r.Context(), tx)))
			tx.Result = "HTTP 2xx"
		})
	}
	var request, message context.Context
	c.authenticate = func(r *http.Request) bool {
		request = r.Context()
		apm.TransactionFromContext(request).Context.SetLabel("tenant", "t1")
		return true
	}
	c.handle = func(ctx context.Context, m apmws.Message) error {
		if tx := apm.TransactionFromContext(request); tx != nil {
			t.Errorf("the request's context carries a transaction while messages are handled: %+v", tx)
		}
		if span, _ := apm.StartSpan(request, "late", "app"); !span.Dropped() {
			t.Error("a span is recorded below what has ended")
		}
		message = ctx
		apm.TransactionFromContext(ctx).Context.SetLabel("room", "r1")
		span, _ := apm.StartSpan(ctx, "native", "app")
		span.End()
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	c.start(t, New(rec.Tracer))
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	if apm.TransactionFromContext(message) != nil || apm.SpanFromContext(message) != nil {
		t.Error("the message's context carries a transaction after its end")
	}
	docs := rec.collect(t)
	connect, outer := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "GET /ws")
	if connect.ParentID != outer.ID || labelMap(connect.Context.Tags)["tenant"] != "t1" {
		t.Errorf("CONNECT is below %x, labels %v", connect.ParentID, connect.Context.Tags)
	}
	tx := docs.transaction(t, "chat.say")
	if labelMap(tx.Context.Tags)["room"] != "r1" || docs.span(t, "native").ParentID != tx.ID {
		t.Errorf("labels %v, the span is below %x", tx.Context.Tags, docs.span(t, "native").ParentID)
	}
	end := time.Time(outer.Timestamp).Add(time.Duration(outer.Duration * float64(time.Millisecond)))
	if disconnect := time.Time(docs.transaction(t, "DISCONNECT /ws").Timestamp); !end.Before(disconnect) {
		t.Errorf("the middleware's transaction lasts until %v, the connection until %v", end, disconnect)
	}
}

// TestTwoTracersEndToEnd: two exporters behind one agent do not mix.
func TestTwoTracersEndToEnd(t *testing.T) {
	first, second := newRecorder(t), newRecorder(t)
	var c chat
	c.handle = func(ctx context.Context, m apmws.Message) error {
		ctx, span := apmws.StartSpan(ctx, "work", apmws.SpanOptions{})
		defer span.End(nil)
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	c.start(t, New(first.Tracer), New(second.Tracer))
	conn := c.dial(t, nil)
	say(t, conn, `{"type":"chat.say"}`)
	c.hangUp(t, conn)
	for name, rec := range map[string]*recorder{"first": first, "second": second} {
		docs := rec.collect(t)
		connect, tx := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "chat.say")
		if len(tx.Links) != 1 || tx.Links[0].SpanID != connect.ID || connect.ParentID != (model.SpanID{}) {
			t.Errorf("%s: links %x, want %x; CONNECT below %x", name, tx.Links, connect.ID, connect.ParentID)
		}
		work, send := docs.span(t, "work"), docs.span(t, "send chat.say")
		if work.ParentID != tx.ID || send.ParentID != work.ID {
			t.Errorf("%s: work is below %x, send below %x", name, work.ParentID, send.ParentID)
		}
		docs.transaction(t, "DISCONNECT /ws")
	}
}
