package elasticws

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// begin is when the connections of these tests begin.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func after(d time.Duration) time.Time { return begin.Add(d) }

const connID = "00112233aabbccdd"

func common(event string) []slog.Attr {
	return []slog.Attr{
		slog.String(semconv.Event, event),
		slog.String(semconv.ConnectionID, connID),
		slog.String(semconv.Route, "/ws"),
	}
}

func connStart() apmws.ConnStart {
	return apmws.ConnStart{
		Time: begin, ID: connID, Route: "/ws", Name: "CONNECT /ws",
		Request: apmws.RequestInfo{
			Method: "GET", Host: "chat.example:8443", Path: "/ws", UserAgent: "probe/1", Peer: "192.0.2.7:5555",
			Proto: "HTTP/1.1", TLS: true,
		},
		Attrs: append(common(semconv.EventConnect), slog.String(semconv.Origin, "https://chat.example")),
	}
}

func accepted(d time.Duration) apmws.OpenEnd {
	return apmws.OpenEnd{
		Time: after(d), Accepted: true, Status: 101, Result: "HTTP 1xx", Outcome: apmws.OutcomeSuccess,
		Attrs: []slog.Attr{slog.Int(semconv.StatusCode, 101)},
	}
}

func messageStart(name string, d time.Duration) apmws.MessageStart {
	return apmws.MessageStart{
		Time: after(d), Name: name,
		Attrs: append(common(semconv.EventMessage),
			slog.String(semconv.MessageType, "text"),
			slog.Int(semconv.MessageLength, 321),
			slog.String(semconv.MessageDirection, "inbound")),
	}
}

func messageOK(d time.Duration) apmws.MessageEnd {
	return apmws.MessageEnd{Time: after(d), Result: "ok", Outcome: apmws.OutcomeSuccess}
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
	c.Opened(accepted(20 * time.Millisecond))
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

func TestNilTracerIsTheDefaultOne(t *testing.T) {
	rec := newRecorder(t)
	before := apm.DefaultTracer()
	apm.SetDefaultTracer(rec.Tracer)
	t.Cleanup(func() { apm.SetDefaultTracer(before) })
	openConn(t, New(nil))
	docs := rec.collect(t)
	docs.transaction(t, "CONNECT /ws")
}

// TestNotRecording: a tracer that is switched off costs next to nothing.
func TestNotRecording(t *testing.T) {
	t.Run("inactive", func(t *testing.T) {
		t.Setenv("ELASTIC_APM_ACTIVE", "false")
		e := New(newTracer(t, memoryTransport{newStore()}))
		ctx := t.Context()
		if got, span := e.StartConn(ctx, connStart()); span != nil || got != ctx {
			t.Error("an inactive tracer records")
		}
		if err := e.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("recording off", func(t *testing.T) {
		rec := newRecorder(t, "ELASTIC_APM_RECORDING", "false")
		e := New(rec.Tracer)
		if _, span := e.StartConn(t.Context(), connStart()); span != nil {
			t.Error("a tracer that does not record was asked to")
		}
	})
	t.Run("recording switched off while the connection is open", func(t *testing.T) {
		rec := newRecorder(t)
		c := openConn(t, New(rec.Tracer))
		rec.SetRecording(false)
		if _, span := c.StartMessage(t.Context(), messageStart("chat.say", 0)); span != nil {
			t.Error("a message is recorded")
		}
		c.End(apmws.ConnEnd{Time: after(time.Second), Name: "DISCONNECT /ws", Outcome: apmws.OutcomeSuccess})
		rec.SetRecording(true)
		if docs := rec.collect(t); len(docs.transactions) != 1 {
			t.Errorf("transactions %v, want CONNECT alone", docs.names())
		}
	})
}

func TestDropped(t *testing.T) {
	stats := apm.TracerStats{
		TransactionsSent: 10, SpansSent: 20, ErrorsSent: 30,
		TransactionsDropped: 1, SpansDropped: 2, ErrorsDropped: 3,
		Errors: apm.TracerStatsErrors{SendStream: 4},
	}
	want := []apmws.Dropped{
		{Reason: "transactions", Count: 1}, {Reason: "spans", Count: 2}, {Reason: "errors", Count: 3}, {Reason: "requests", Count: 4},
	}
	if got := dropped(stats); !slices.Equal(got, want) {
		t.Errorf("dropped %v, want %v", got, want)
	}
	tracer := newRecorder(t).Tracer
	if got, want := New(tracer).Dropped(), dropped(tracer.Stats()); !slices.Equal(got, want) {
		t.Errorf("the exporter has dropped %v, the tracer %v", got, want)
	}
}
