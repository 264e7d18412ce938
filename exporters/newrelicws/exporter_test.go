package newrelicws

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

const connID = "0123456789abcdef"

func common(event string) []slog.Attr {
	return []slog.Attr{
		slog.String(semconv.Event, event),
		slog.String(semconv.ConnectionID, connID),
		slog.String(semconv.Route, "/ws"),
	}
}

func connStart() apmws.ConnStart {
	return apmws.ConnStart{
		Time: time.Now(), ID: connID, Route: "/ws", Name: "CONNECT /ws",
		Request: apmws.RequestInfo{
			Method: "GET", Host: "chat.example:8443", Path: "/ws", UserAgent: "probe/1", Peer: "192.0.2.7:5555",
			Proto: "HTTP/1.1", TLS: true,
		},
		Attrs: append(common(semconv.EventConnect), slog.String(semconv.Origin, "https://chat.example")),
	}
}

func accepted() apmws.OpenEnd {
	return apmws.OpenEnd{
		Time: time.Now(), Accepted: true, Status: 101, Result: "HTTP 1xx", Outcome: apmws.OutcomeSuccess,
		Attrs: []slog.Attr{slog.Int(semconv.StatusCode, 101)},
	}
}

func messageStart(name string) apmws.MessageStart {
	return apmws.MessageStart{
		Time: time.Now(), Name: name,
		Attrs: append(common(semconv.EventMessage),
			slog.String(semconv.MessageType, "text"),
			slog.Int(semconv.MessageLength, 321),
			slog.String(semconv.MessageDirection, "inbound")),
	}
}

func messageOK() apmws.MessageEnd {
	return apmws.MessageEnd{Time: time.Now(), Result: "ok", Outcome: apmws.OutcomeSuccess}
}

// startConn starts a connection that must be recorded.
func startConn(ctx context.Context, t testing.TB, e *Exporter) (context.Context, *connSpan) {
	t.Helper()
	ctx, span := e.StartConn(ctx, connStart())
	if span == nil {
		t.Fatal("the connection is not recorded")
	}
	return ctx, span.(*connSpan)
}

// openConn starts a connection whose CONNECT has ended.
func openConn(t testing.TB, e *Exporter) *connSpan {
	t.Helper()
	_, c := startConn(t.Context(), t, e)
	c.Opened(accepted())
	return c
}

func startMessage(t testing.TB, c *connSpan, start apmws.MessageStart) (context.Context, *messageSpan) {
	t.Helper()
	ctx, span := c.StartMessage(t.Context(), start)
	if span == nil {
		t.Fatal("the message is not recorded")
	}
	return ctx, span.(*messageSpan)
}

// TestNoApplication: a nil application, and a disabled one, which New Relic's
// agent would charge the full price for.
func TestNoApplication(t *testing.T) {
	disabled := startApp(t, newCollector(), &logs{}, newrelic.ConfigEnabled(false))
	for name, app := range map[string]*newrelic.Application{"nil": nil, "disabled": disabled} {
		t.Run(name, func(t *testing.T) {
			e := New(app)
			ctx := t.Context()
			derived, span := e.StartConn(ctx, connStart())
			if derived != ctx || span != nil {
				t.Errorf("%v and %v", derived, span)
			}
			agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
			if err := agent.Flush(soon(t)); err != nil {
				t.Error(err)
			}
			if err := agent.Shutdown(soon(t)); err != nil {
				t.Error(err)
			}
			if e.Mask(ctx) != ctx || e.Dropped() != nil || e.LogFields(apmws.SpanContext{TraceID: [16]byte{1}}) != nil {
				t.Error("it does something")
			}
			start := connStart()
			if n := testing.AllocsPerRun(100, func() { e.StartConn(ctx, start) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// TestNotConnected: the agent would drop what starts before it is connected, so
// nothing is recorded, and that is counted. The connection goes on and is recorded
// later.
func TestNotConnected(t *testing.T) {
	c := newCollector()
	c.gate = make(chan struct{})
	app := startApp(t, c, &logs{})
	e := New(app)
	ctx, conn := startConn(t.Context(), t, e)
	if newrelic.FromContext(ctx) != nil || conn.SpanContext().TraceID != [16]byte{} {
		t.Error("there is a transaction")
	}
	conn.Opened(accepted())
	if _, m := conn.StartMessage(ctx, messageStart("lost")); m != nil {
		t.Error("a message is recorded")
	}
	if got, span := conn.StartSpan(ctx, apmws.SpanStart{Name: "x"}); got != ctx || span != nil {
		t.Error("a span is recorded")
	}
	close(c.gate)
	connect(t, app)
	_, m := startMessage(t, conn, messageStart("kept"))
	m.End(messageOK())
	conn.End(apmws.ConnEnd{Name: "DISCONNECT /ws", Result: "normal", Outcome: apmws.OutcomeSuccess, Attrs: common(semconv.EventDisconnect)})
	h := c.harvest(t, app)
	kept := h.transaction(t, "Message/kept")
	h.transaction(t, "Disconnection/DISCONNECT /ws")
	if kept.user[semconv.ConnectionID] != connID || kept.user[semconv.ConnectTraceID] != nil || len(h.transactions) != 2 {
		t.Errorf("%v of %v", kept.user, names(h.transactions))
	}
	if got := dropped(e, "not_connected"); got != 2 {
		t.Errorf("%d dropped, want 2", got)
	}
}

func dropped(e *Exporter, reason string) int64 {
	for _, d := range e.Dropped() {
		if d.Reason == reason {
			return d.Count
		}
	}
	return -1
}

// soon is a context that ends long after what is tested should have.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
