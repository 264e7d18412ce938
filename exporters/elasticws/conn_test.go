package elasticws

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func TestConnect(t *testing.T) {
	rec := newRecorder(t)
	_, c := startConn(t.Context(), t, New(rec.Tracer))
	end := accepted(20 * time.Millisecond)
	end.User = "u1"
	end.Attrs = append(end.Attrs, slog.String(semconv.Subprotocol, "chat.v2"), slog.Bool("tenant.paying", true))
	c.Opened(end)
	docs := rec.collect(t)
	tx := docs.transaction(t, "CONNECT /ws")
	if tx.Type != "Connection" || tx.Result != "HTTP 1xx" || tx.Outcome != "success" {
		t.Errorf("type %q, result %q, outcome %q", tx.Type, tx.Result, tx.Outcome)
	}
	if !time.Time(tx.Timestamp).Equal(begin) || tx.Duration != 20 {
		t.Errorf("%v for %v ms", time.Time(tx.Timestamp), tx.Duration)
	}
	if tx.ParentID != (model.SpanID{}) || len(tx.Links) != 0 {
		t.Errorf("parent %x, links %v, want a root", tx.ParentID, tx.Links)
	}
	want := map[string]any{
		"websocket_event": "connect", "websocket_connection_id": connID, "http_route": "/ws",
		"websocket_origin": "https://chat.example", "websocket_subprotocol": "chat.v2", "tenant_paying": true,
	}
	if got := labelMap(tx.Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
	if tx.Context.User == nil || tx.Context.User.ID != "u1" {
		t.Errorf("user %+v", tx.Context.User)
	}
	if got := tx.Context.Response.StatusCode; got != 101 {
		t.Errorf("status %d", got)
	}
	r := tx.Context.Request
	if r.Method != http.MethodGet || r.URL.Protocol != "https" || r.URL.Hostname != "chat.example" || r.URL.Port != "8443" ||
		r.URL.Path != "/ws" || r.HTTPVersion != "1.1" || r.Socket.RemoteAddress != "192.0.2.7" {
		t.Errorf("request %+v, socket %+v", r, r.Socket)
	}
	if len(r.Headers) != 1 || r.Headers[0].Key != "User-Agent" || r.Headers[0].Values[0] != "probe/1" {
		t.Errorf("headers %v", r.Headers)
	}
}

// TestClientAddress: a better address than the socket's goes where client.ip is
// made from, and is no label.
func TestClientAddress(t *testing.T) {
	for _, key := range []string{semconv.ClientAddress, "client.ip"} {
		rec := newRecorder(t)
		e := New(rec.Tracer)
		atStart := connStart()
		atStart.Name = "at start"
		atStart.Attrs = append(atStart.Attrs, slog.String(key, "198.51.100.9"))
		_, c := e.StartConn(t.Context(), atStart)
		c.Opened(accepted(0))
		atEnd := connStart()
		atEnd.Name = "at end"
		_, c = e.StartConn(t.Context(), atEnd)
		end := accepted(0)
		end.Attrs = append(end.Attrs, slog.String(key, "198.51.100.9"))
		c.Opened(end)
		docs := rec.collect(t)
		for _, name := range []string{"at start", "at end"} {
			tx := docs.transaction(t, name)
			if got := tx.Context.Request.Socket.RemoteAddress; got != "198.51.100.9" {
				t.Errorf("%s %s: the client is %q", key, name, got)
			}
			if n := len(tx.Context.Request.Headers); n != 1 {
				t.Errorf("%s %s: %d headers", key, name, n)
			}
			for label := range labelMap(tx.Context.Tags) {
				if label == "client_address" || label == "client_ip" {
					t.Errorf("label %s", label)
				}
			}
		}
	}
}

// TestOutcomeIsExplicit: neither the status nor an error that was captured
// decides.
func TestOutcomeIsExplicit(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		result  string
		outcome apmws.Outcome
		failure *apmws.Failure
	}{
		{"accepted, and an error captured", 101, "HTTP 1xx", apmws.OutcomeSuccess, nil},
		{"panic after the status", 101, "HTTP 1xx", apmws.OutcomeFailure, &apmws.Failure{Message: "p", Type: "panic"}},
		{"refused", 401, "HTTP 4xx", apmws.OutcomeSuccess, nil},
		{"server error", 503, "HTTP 5xx", apmws.OutcomeFailure, nil},
		{"no answer", 0, "none", apmws.OutcomeFailure, nil},
		{"unknown", 101, "HTTP 1xx", apmws.OutcomeUnknown, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder(t)
			ctx, c := startConn(t.Context(), t, New(rec.Tracer))
			apm.CaptureError(ctx, errors.New("the application's")).Send()
			c.Opened(apmws.OpenEnd{
				Time: after(time.Millisecond), Accepted: test.status == 101, Status: test.status,
				Result: test.result, Outcome: test.outcome, Failure: test.failure,
			})
			docs := rec.collect(t)
			tx := docs.transaction(t, "CONNECT /ws")
			if tx.Outcome != string(test.outcome) || tx.Result != test.result {
				t.Errorf("outcome %q, result %q", tx.Outcome, tx.Result)
			}
			switch {
			case test.status == 0 && tx.Context.Response != nil:
				t.Errorf("status %d", tx.Context.Response.StatusCode)
			case test.status != 0 && tx.Context.Response.StatusCode != test.status:
				t.Errorf("status %d", tx.Context.Response.StatusCode)
			}
		})
	}
}

func TestConnectContinuesTheTrace(t *testing.T) {
	rec := newRecorder(t)
	start := connStart()
	start.Remote = apmws.SpanContext{TraceID: [16]byte{1, 2}, SpanID: [8]byte{3}, Flags: 1, State: "es=s:0.25, other=1"}
	_, span := New(rec.Tracer).StartConn(t.Context(), start)
	c := span.(*connSpan)
	c.Opened(accepted(0))
	docs := rec.collect(t)
	tx := docs.transaction(t, "CONNECT /ws")
	if tx.TraceID != start.Remote.TraceID || tx.ParentID != start.Remote.SpanID {
		t.Errorf("trace %x, parent %x", tx.TraceID, tx.ParentID)
	}
	if tx.SampleRate == nil || *tx.SampleRate != 0.25 {
		t.Errorf("sample rate %v, want that of the caller", tx.SampleRate)
	}
	sc := c.SpanContext()
	if sc.TraceID != tx.TraceID || sc.SpanID != tx.ID || !sc.Sampled() {
		t.Errorf("identified as %+v", sc)
	}
}

// TestUnsampled: nothing is sent, and log lines are told so.
func TestUnsampled(t *testing.T) {
	rec := newRecorder(t)
	rec.SetSampler(apm.NewRatioSampler(0))
	c := openConn(t, New(rec.Tracer))
	ctx, m := startMessage(t, c, messageStart("chat.say", time.Second))
	_, s := m.StartSpan(ctx, apmws.SpanStart{Time: after(time.Second), Name: "send", Type: "websocket.send"})
	s.End(apmws.SpanEnd{Time: after(2 * time.Second), Outcome: apmws.OutcomeSuccess})
	m.End(messageOK(2 * time.Second))
	c.End(apmws.ConnEnd{Time: after(3 * time.Second), Name: "DISCONNECT /ws", Outcome: apmws.OutcomeSuccess})
	for what, sc := range map[string]apmws.SpanContext{"CONNECT": c.SpanContext(), "message": m.SpanContext()} {
		if sc.Sampled() {
			t.Errorf("%s is identified as sampled", what)
		}
	}
	docs := rec.collect(t)
	for _, tx := range docs.transactions {
		if tx.Sampled == nil || *tx.Sampled || tx.Context != nil {
			t.Errorf("%s: sampled %v, context %v", tx.Name, tx.Sampled, tx.Context)
		}
	}
	if len(docs.spans) != 0 {
		t.Errorf("spans %v", docs.names())
	}
}

func TestDisconnect(t *testing.T) {
	rec := newRecorder(t)
	c := openConn(t, New(rec.Tracer))
	c.End(apmws.ConnEnd{
		Time: after(3 * time.Hour), Name: "DISCONNECT /ws", Result: "read_error", Outcome: apmws.OutcomeUnknown, User: "u1",
		Attrs: append(common(semconv.EventDisconnect),
			slog.String(semconv.CloseCode, "1006"),
			slog.Float64(semconv.ConnectionDuration, 10800),
			slog.Int64(semconv.MessagesReceived, 7)),
	})
	docs := rec.collect(t)
	connect, tx := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "DISCONNECT /ws")
	if tx.Type != "Disconnection" || tx.Result != "read_error" || tx.Outcome != "unknown" {
		t.Errorf("type %q, result %q, outcome %q", tx.Type, tx.Result, tx.Outcome)
	}
	if !time.Time(tx.Timestamp).Equal(after(3*time.Hour)) || tx.Duration != 0 {
		t.Errorf("%v for %v ms, want no duration at the end", time.Time(tx.Timestamp), tx.Duration)
	}
	if tx.TraceID == connect.TraceID || len(tx.Links) != 1 || tx.Links[0] != (model.SpanLink{TraceID: connect.TraceID, SpanID: connect.ID}) {
		t.Errorf("trace %x, links %v, want a trace of its own with a link to %x", tx.TraceID, tx.Links, connect.ID)
	}
	want := map[string]any{
		"websocket_event": "disconnect", "websocket_connection_id": connID, "http_route": "/ws",
		"websocket_close_code": "1006", "websocket_connection_duration": 10800.0, "websocket_messages_received": 7.0,
	}
	if got := labelMap(tx.Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
	if tx.Context.User == nil || tx.Context.User.ID != "u1" {
		t.Errorf("user %+v", tx.Context.User)
	}
}

// TestUserOfElasticsAPI: the agent does not erase a user that it does not know.
func TestUserOfElasticsAPI(t *testing.T) {
	rec := newRecorder(t)
	ctx, m := startMessage(t, openConn(t, New(rec.Tracer)), messageStart("chat.say", 0))
	apm.TransactionFromContext(ctx).Context.SetUserID("u9")
	m.End(messageOK(0))
	docs := rec.collect(t)
	if tx := docs.transaction(t, "chat.say"); tx.Context.User == nil || tx.Context.User.ID != "u9" {
		t.Errorf("user %+v", tx.Context.User)
	}
}

// TestCancelledContext: what is recorded does not depend on the request's life.
func TestCancelledContext(t *testing.T) {
	rec := newRecorder(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, c := startConn(ctx, t, New(rec.Tracer))
	c.Opened(accepted(0))
	_, m := c.StartMessage(ctx, messageStart("chat.say", 0))
	m.End(messageOK(time.Second))
	if docs := rec.collect(t); len(docs.transactions) != 2 {
		t.Errorf("transactions %v", docs.names())
	}
}

// TestLateCalls: what comes after the end does no harm, whoever ended what.
func TestLateCalls(t *testing.T) {
	rec := newRecorder(t)
	ctx, c := startConn(t.Context(), t, New(rec.Tracer))
	c.Opened(accepted(0))
	c.Opened(accepted(time.Hour))
	if got, s := c.StartSpan(ctx, apmws.SpanStart{Time: begin, Name: "late", Type: "app"}); s != nil || got != ctx {
		t.Error("a span below CONNECT after its end")
	}

	mctx, m := startMessage(t, c, messageStart("chat.say", 0))
	sctx, s := m.StartSpan(mctx, apmws.SpanStart{Time: begin, Name: "slow", Type: "app"})
	m.End(messageOK(time.Second))
	m.End(apmws.MessageEnd{Time: after(time.Hour), Result: "error", Failure: &apmws.Failure{Message: "late"}})
	if _, late := m.StartSpan(mctx, apmws.SpanStart{Time: begin, Name: "late", Type: "app"}); late != nil {
		t.Error("a span below a message after its end")
	}
	_, below := s.(apmws.SpanStarter).StartSpan(sctx, apmws.SpanStart{Time: begin, Name: "below", Type: "app"})
	below.End(apmws.SpanEnd{Time: after(time.Second), Outcome: apmws.OutcomeSuccess})
	s.End(apmws.SpanEnd{Time: after(2 * time.Second), Outcome: apmws.OutcomeSuccess, Attrs: []slog.Attr{slog.Int("n", 1)}})
	s.End(apmws.SpanEnd{Time: after(time.Hour), Outcome: apmws.OutcomeFailure})

	docs := rec.collect(t)
	if tx := docs.transaction(t, "CONNECT /ws"); tx.Duration != 0 {
		t.Errorf("CONNECT was ended again: %v ms", tx.Duration)
	}
	if tx := docs.transaction(t, "chat.say"); tx.Result != "ok" || tx.Duration != 1000 {
		t.Errorf("the message was ended again: %q, %v ms", tx.Result, tx.Duration)
	}
	if s := docs.span(t, "slow"); s.Duration != 2000 || s.Outcome != "success" {
		t.Errorf("the span was ended again: %v ms, %q", s.Duration, s.Outcome)
	}
	if len(docs.errors) != 0 {
		t.Errorf("%d errors", len(docs.errors))
	}
}

// TestApplicationEndsOurs: a handler that ends what it finds in its context
// harms neither us nor what is recorded.
func TestApplicationEndsOurs(t *testing.T) {
	rec := newRecorder(t)
	ctx, c := startConn(t.Context(), t, New(rec.Tracer))
	apm.TransactionFromContext(ctx).End()
	c.Opened(accepted(time.Second))
	mctx, m := startMessage(t, c, messageStart("chat.say", 0))
	sctx, s := m.StartSpan(mctx, apmws.SpanStart{Time: begin, Name: "span", Type: "app"})
	apm.SpanFromContext(sctx).End()
	s.End(apmws.SpanEnd{Time: after(time.Second), Outcome: apmws.OutcomeSuccess, Attrs: []slog.Attr{slog.Int("n", 1)}})
	apm.TransactionFromContext(mctx).Discard()
	m.End(apmws.MessageEnd{
		Time: after(time.Second), Result: "error", Outcome: apmws.OutcomeFailure,
		Failure: &apmws.Failure{Message: "no such room", Type: "*errors.errorString", Err: errors.New("no such room")},
	})
	docs := rec.collect(t)
	docs.transaction(t, "CONNECT /ws")
	docs.span(t, "span")
	if e := docs.error(t); e.Exception.Message != "no such room" {
		t.Errorf("error %q", e.Exception.Message)
	}
}
