package main

import (
	"context"
	"time"

	"github.com/gorilla/websocket"
	"go.elastic.co/apm/v2"
)

// What a program does by hand for the documents that apmws makes of a message:
// the same names, labels and link, with keys that Elastic's agent need not
// change.

// byHand are the values that a connection's transactions have in common.
type byHand struct {
	tracer *apm.Tracer
	id     string
	links  []apm.SpanLink
	handle func(context.Context) // does nothing, which the compiler must not know
}

// connectByHand makes the transaction that the messages are linked to.
func connectByHand(tracer *apm.Tracer) byHand {
	connect := tracer.StartTransaction("CONNECT "+route, "Connection")
	defer connect.End()
	ids := connect.TraceContext()
	return byHand{
		tracer: tracer,
		id:     ids.Span.String(),
		links:  []apm.SpanLink{{Trace: ids.Trace, Span: ids.Span}},
		handle: func(context.Context) {},
	}
}

func (h byHand) start(size int) (*apm.Transaction, time.Time) {
	start := time.Now()
	tx := h.tracer.StartTransactionOptions(eventName, "Message", apm.TransactionOptions{Start: start, Links: h.links})
	tx.Context.SetLabel("websocket_event", "message")
	tx.Context.SetLabel("websocket_connection_id", h.id)
	tx.Context.SetLabel("http_route", route)
	tx.Context.SetLabel("websocket_message_type", "text")
	tx.Context.SetLabel("websocket_message_length", size)
	tx.Context.SetLabel("websocket_message_direction", "inbound")
	return tx, start
}

func (h byHand) end(tx *apm.Transaction, start time.Time) {
	tx.Duration = time.Since(start)
	tx.Result, tx.Outcome = "ok", "success"
	tx.End()
}

// send starts the span of an answer.
func (h byHand) send(ctx context.Context, size int) *apm.Span {
	span, _ := apm.StartSpan(ctx, "send "+eventName, "websocket.send")
	span.Context.SetLabel("websocket_event", "message")
	span.Context.SetLabel("websocket_connection_id", h.id)
	span.Context.SetLabel("http_route", route)
	span.Context.SetLabel("websocket_message_type", "text")
	span.Context.SetLabel("websocket_message_length", size)
	span.Outcome = "success"
	return span
}

// echoByHand is usualEcho with a transaction around each message.
func (p parts) echoByHand(ctx context.Context, conn *websocket.Conn, spans bool) {
	h := connectByHand(p.tracer)
	for {
		typ, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		tx, start := h.start(len(text))
		ctx := apm.ContextWithTransaction(ctx, tx)
		if spans {
			span := h.send(ctx, len(text))
			err = conn.WriteMessage(typ, text)
			span.End()
		} else {
			err = conn.WriteMessage(typ, text)
		}
		h.end(tx, start)
		if err != nil {
			return
		}
	}
}

// readByHand is pooledLoop with a transaction around each message.
func (p parts) readByHand(ctx context.Context, conn *websocket.Conn) {
	h := connectByHand(p.tracer)
	readPooled(conn, func(text []byte) {
		tx, start := h.start(len(text))
		h.handle(apm.ContextWithTransaction(ctx, tx))
		h.end(tx, start)
	})
}
