package newrelicws

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func TestConnect(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	_, conn := startConn(t.Context(), t, New(app))
	end := accepted()
	end.User = "u1"
	end.Attrs = append(end.Attrs, slog.String(semconv.Subprotocol, "chat.v2"), slog.Bool("tenant.paying", true))
	conn.Opened(end)
	conn.Opened(end) // harmless
	h := c.harvest(t, app)
	tx := h.transaction(t, "Connection/CONNECT /ws")
	wantAttributes(t, "CONNECT", tx.user, map[string]any{
		semconv.Event: "connect", semconv.ConnectionID: connID, semconv.Route: "/ws", semconv.Origin: "https://chat.example",
		semconv.StatusCode: 101.0, semconv.Subprotocol: "chat.v2", "tenant.paying": true, semconv.UserID: "u1",
		"result": "HTTP 1xx", semconv.EventOutcome: "success", semconv.ClientAddress: "192.0.2.7",
		"request.method": "GET", "request.uri": "/ws", "request.headers.host": "chat.example:8443",
		"request.headers.userAgent": "probe/1",
	})
	wantAttributes(t, "CONNECT", tx.agent, map[string]any{
		"http.statusCode": 101.0, "httpResponseCode": "101", "enduser.id": "u1",
	})
	if d := tx.intrinsics["duration"].(float64); d <= 0 || d > 10 || tx.intrinsics["error"] != false {
		t.Errorf("%v", tx.intrinsics)
	}
	if tx.intrinsics["nr.apdexPerfZone"] != nil || h.count("WebTransaction") != 0 || h.count("OtherTransaction/all") != 1 {
		t.Error("a web transaction")
	}
	if len(h.errors) != 0 {
		t.Errorf("errors %v", h.errors)
	}
}

// TestRefusals: the status is there, and no refusal is an error by itself, though
// the agent makes one of every status from 400.
func TestRefusals(t *testing.T) {
	tests := []struct {
		status  int
		result  string
		outcome apmws.Outcome
	}{
		{401, "HTTP 4xx", apmws.OutcomeSuccess},
		{404, "HTTP 4xx", apmws.OutcomeSuccess},
		{503, "HTTP 5xx", apmws.OutcomeFailure},
		{302, "HTTP 3xx", apmws.OutcomeSuccess},
		{0, "none", apmws.OutcomeFailure},
	}
	for _, test := range tests {
		t.Run(test.result, func(t *testing.T) {
			c := newCollector()
			app := newApp(t, c)
			_, conn := startConn(t.Context(), t, New(app))
			end := apmws.OpenEnd{Status: test.status, Result: test.result, Outcome: test.outcome}
			if test.status != 0 {
				end.Attrs = []slog.Attr{slog.Int(semconv.StatusCode, test.status)}
			}
			conn.Opened(end)
			h := c.harvest(t, app)
			tx := h.transaction(t, "Connection/CONNECT /ws")
			status := tx.agent["http.statusCode"]
			if status == nil {
				status = tx.user["http.statusCode"]
			}
			if want := float64(test.status); test.status != 0 && (status != want || tx.user[semconv.StatusCode] != want) {
				t.Errorf("status %v and %v", status, tx.user[semconv.StatusCode])
			}
			if test.status == 0 && status != nil {
				t.Errorf("status %v", status)
			}
			if tx.user["result"] != test.result || tx.user[semconv.EventOutcome] != string(test.outcome) {
				t.Errorf("%v", tx.user)
			}
			if len(h.errors) != 0 || h.count("Errors/all") != 0 || tx.intrinsics["error"] != false {
				t.Errorf("errors %v, transaction %v", h.errors, tx.intrinsics)
			}
		})
	}
}

func TestClientAddress(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	start := connStart()
	start.Attrs = append(start.Attrs, slog.String(semconv.ClientAddress, "198.51.100.9"))
	_, conn := New(app).StartConn(t.Context(), start)
	conn.Opened(accepted())
	if got := c.harvest(t, app).transaction(t, "Connection/CONNECT /ws").user[semconv.ClientAddress]; got != "198.51.100.9" {
		t.Errorf("client %v", got)
	}
}

// TestDisconnect: a short transaction of its own, with the ids of CONNECT.
func TestDisconnect(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	conn := openConn(t, New(app))
	conn.End(apmws.ConnEnd{
		Time: time.Now(), Name: "DISCONNECT /ws", Result: "normal", Outcome: apmws.OutcomeSuccess, User: "u1",
		Attrs: append(common(semconv.EventDisconnect),
			slog.Float64(semconv.ConnectionDuration, 3600.5), slog.Int64(semconv.MessagesReceived, 7),
			slog.String(semconv.CloseCause, "normal")),
	})
	h := c.harvest(t, app)
	connect, tx := h.transaction(t, "Connection/CONNECT /ws"), h.transaction(t, "Disconnection/DISCONNECT /ws")
	wantAttributes(t, "DISCONNECT", tx.user, map[string]any{
		semconv.Event: "disconnect", semconv.ConnectionID: connID, semconv.Route: "/ws", semconv.UserID: "u1",
		semconv.ConnectionDuration: 3600.5, semconv.MessagesReceived: 7.0, semconv.CloseCause: "normal",
		semconv.ConnectTraceID: connect.intrinsics["traceId"], semconv.ConnectSpanID: h.span(t, "OtherTransaction/Go/Connection/CONNECT /ws").intrinsics["guid"],
		"result": "normal", semconv.EventOutcome: "success",
	})
	if tx.intrinsics["traceId"] == connect.intrinsics["traceId"] {
		t.Error("DISCONNECT is in the trace of CONNECT")
	}
	if d := tx.intrinsics["duration"].(float64); d > 10 {
		t.Errorf("%v seconds", d)
	}
}

// TestConnectContinues: the request's trace context is continued, since it is
// accepted under canonical keys and before the ids are asked for.
func TestConnectContinues(t *testing.T) {
	tests := []struct {
		name, state string
		sampled     bool
	}{
		{"a stranger's", "vendor=x", true},
		{"New Relic's, sampled", "1@nr=0-0-1-9-1111111111111111-2222222222222222-1-1.5-1500000000000,vendor=x", true},
		{"New Relic's, not sampled", "1@nr=0-0-1-9-1111111111111111-2222222222222222-0-0.5-1500000000000", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCollector()
			app := newApp(t, c)
			start := connStart()
			start.Remote = apmws.SpanContext{TraceID: [16]byte{1, 2, 3}, SpanID: [8]byte{4, 5}, Flags: 1, State: test.state}
			ctx, span := New(app).StartConn(t.Context(), start)
			ids := span.(apmws.Identifier).SpanContext()
			header := http.Header{}
			newrelic.FromContext(ctx).InsertDistributedTraceHeaders(header)
			span.Opened(accepted())
			h := c.harvest(t, app)
			tx := h.transaction(t, "Connection/CONNECT /ws")
			if tx.intrinsics["traceId"] != start.Remote.TraceIDString() || tx.intrinsics["parentSpanId"] != start.Remote.SpanIDString() {
				t.Errorf("%v", tx.intrinsics)
			}
			if ids.TraceID != start.Remote.TraceID || ids.Sampled() != test.sampled || tx.intrinsics["sampled"] != test.sampled {
				t.Errorf("ids %+v, sampled %v", ids, tx.intrinsics["sampled"])
			}
			sent, err := apmws.ParseTraceParent(header.Get("Traceparent"), header.Get("Tracestate"))
			if err != nil || sent.TraceID != start.Remote.TraceID || sent.Sampled() != test.sampled {
				t.Errorf("passed on: %v, %v", header, err)
			}
			if test.sampled && sent.SpanID != ids.SpanID {
				t.Errorf("passed on %x, identified as %x", sent.SpanID, ids.SpanID)
			}
		})
	}
}

// TestTracingOff: the agent would write an error line for each handshake.
func TestTracingOff(t *testing.T) {
	c := newCollector()
	app := newApp(t, c, newrelic.ConfigDistributedTracerEnabled(false))
	start := connStart()
	start.Remote = apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}}
	_, span := New(app).StartConn(t.Context(), start)
	if got := span.(apmws.Identifier).SpanContext(); got != (apmws.SpanContext{}) {
		t.Errorf("ids %+v", got)
	}
	span.Opened(accepted())
	c.harvest(t, app).transaction(t, "Connection/CONNECT /ws")
}

// TestNotSampled: a transaction without spans has a trace id alone, and so have
// those that refer to it.
func TestNotSampled(t *testing.T) {
	c := newCollector()
	c.reply["sampling_target"] = 0
	app := newApp(t, c)
	conn := openConn(t, New(app))
	ids := conn.SpanContext()
	if ids.TraceID == [16]byte{} || ids.SpanID != [8]byte{} || ids.Sampled() || ids.IsValid() {
		t.Errorf("ids %+v", ids)
	}
	ctx, m := startMessage(t, conn, messageStart("chat.say"))
	_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "load", Attrs: common(semconv.EventMessage)})
	span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
	m.End(messageOK())
	h := c.harvest(t, app)
	tx := h.transaction(t, "Message/chat.say")
	if tx.user[semconv.ConnectTraceID] != ids.TraceIDString() || tx.user[semconv.ConnectSpanID] != nil {
		t.Errorf("%v", tx.user)
	}
	if len(h.spans) != 0 || h.count("Custom/load") != 1 {
		t.Errorf("spans %v, metric %v", names(h.spans), h.metrics["Custom/load"])
	}
}

// TestCancelledContext: whatever the context says, everything is recorded.
func TestCancelledContext(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, conn := startConn(ctx, t, New(app))
	conn.Opened(accepted())
	_, m := conn.StartMessage(ctx, messageStart("chat.say"))
	m.End(messageOK())
	h := c.harvest(t, app)
	h.transaction(t, "Connection/CONNECT /ws")
	h.transaction(t, "Message/chat.say")
}
