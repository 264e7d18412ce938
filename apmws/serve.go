package apmws

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// Message is a message that has been read whole.
type Message struct {
	Type MessageType
	// Data is the decoded payload. It is valid until the handler returns; copy
	// what is to live longer.
	Data []byte
}

// Serve reads messages from a gorilla connection until that fails, and calls
// handle for each, one after the other, on the calling goroutine. Each call is a
// Message transaction of its own: it starts when the whole message has been
// read, so waiting is never counted, and its context carries the vendors'
// transactions, the connection (FromContext) and a logger (zerolog.Ctx).
//
// ctx is the context of the request, or derived from it. Cancelling it does not
// interrupt a read; to end Serve, close the connection or set a read deadline.
// Where ctx carries no connection, messages are handled all the same and
// nothing is recorded.
//
// An error of handle is recorded and the loop goes on. It ends
//   - when reading fails: the error is gorilla's own, unwrapped, for
//     websocket.IsCloseError and the like;
//   - when handle returns an error made by Close, or wrapping one: the close
//     frame is sent and the error returned;
//   - when handle panics: the panic is recorded, the connection closed with
//     1011, and a *PanicError returned, or the panic raised again
//     (MessageOptions.Repanic).
//
// Serve does not close conn. It is the connection's reader: nothing else may
// read meanwhile. Other goroutines write through Conn.Write, or serialise their
// writes as gorilla demands.
func Serve(ctx context.Context, conn *websocket.Conn, handle func(ctx context.Context, m Message) error) error {
	l := &loop{ctx: ctx, observed: FromContext(ctx), conn: conn, handle: handle}
	l.observed.serve(conn)
	defer l.observed.serve(nil)
	for {
		typ, r, err := conn.NextReader()
		if err != nil {
			return err
		}
		buf := buffers.Get().(*bytes.Buffer)
		if _, err = buf.ReadFrom(r); err == nil {
			err = l.message(Message{Type: MessageType(typ), Data: buf.Bytes()})
		}
		putBuffer(buf)
		if err != nil {
			return err
		}
	}
}

// buffers hold messages while they are handled; an idle connection has none.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled bounds the buffers that are kept for later messages.
const maxPooled = 256 << 10 // bytes

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

// serve notes which connection Write writes to; nil when Serve returns.
func (c *Conn) serve(conn *websocket.Conn) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.serving = conn
	c.mu.Unlock()
}

// loop is one call of Serve.
type loop struct {
	ctx      context.Context
	observed *Conn // nil: not observed
	conn     *websocket.Conn
	handle   func(context.Context, Message) error
	// unrecorded is the context of messages that no exporter records.
	unrecorded *scope
}

// message handles one message. It returns the error that ends the loop.
func (l *loop) message(m Message) error {
	err := l.observe(m)
	if err == nil {
		return nil
	}
	c := l.observed
	var panicErr *PanicError
	var closeErr *CloseError
	switch {
	case errors.As(err, &panicErr):
		c.failed(CausePanic, panicFailure(panicErr.Value, panicErr.Stack))
		l.close(websocket.CloseInternalServerErr, "")
		if c != nil && c.route.messages.Repanic {
			panic(panicErr.Value)
		}
		return err
	case errors.As(err, &closeErr):
		if closeErr.Code == websocket.CloseInternalServerErr {
			c.failed(CauseHandlerError, newFailure(err))
		}
		l.close(closeErr.Code, closeErr.Reason)
		return err
	default:
		return nil
	}
}

// observe handles one message as a transaction.
func (l *loop) observe(m Message) error {
	c := l.observed
	if c == nil {
		return protect(l.ctx, m, l.handle)
	}
	name, raw := c.nameOf(m, c.route.names)
	if c.span == nil {
		if l.unrecorded == nil {
			l.unrecorded = &scope{Context: l.ctx, conn: c, event: semconv.EventMessage, ids: &SpanContext{}}
		}
		begin := monotonic()
		err := protect(l.unrecorded, m, l.handle)
		c.endUnrecorded(name, m, monotonic()-begin, err)
		return err
	}
	tx := c.startMessage(l.ctx, name, raw, m.Type, len(m.Data), c.remoteOf(m))
	err := protect(&tx.scope, m, l.handle)
	tx.End(err)
	return err
}

// endUnrecorded counts and logs a message that no exporter records, without the
// cost of a Transaction.
func (c *Conn) endUnrecorded(name string, m Message, d time.Duration, err error) {
	outcome := OutcomeSuccess
	_, failure := judge(err)
	if failure != nil {
		outcome = OutcomeFailure
	}
	c.route.messageHandled(c.shard, name, outcome, d)
	c.logMessage(name, m.Type, len(m.Data), SpanContext{}, d, outcome, failure)
}

// protect turns a panic of the handler into a *PanicError.
func protect(ctx context.Context, m Message, handle func(context.Context, Message) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return handle(ctx, m)
}

// close sends a close frame. A failure is not reported: the connection is being
// given up, and the tap has noted it.
func (l *loop) close(code int, reason string) {
	payload := websocket.FormatCloseMessage(code, reason)
	_ = l.conn.WriteControl(websocket.CloseMessage, payload, time.Now().Add(closeTimeout))
}

// closeTimeout bounds the writing of a close frame.
const closeTimeout = 5 * time.Second
