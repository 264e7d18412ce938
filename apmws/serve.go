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
	l := &loop{ctx: ctx, observed: observedBy(ctx, conn), conn: conn, handle: handle}
	defer l.observed.serve(conn)()
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

// observedBy returns the connection of ctx when conn is that one, and not one
// that the handler has dialled.
func observedBy(ctx context.Context, conn *websocket.Conn) *Conn {
	c := FromContext(ctx)
	if t, ok := conn.NetConn().(interface{ observed() *Conn }); ok && t.observed() == c {
		return c
	}
	return nil
}

// serve makes Write write to conn until the returned function is called.
func (c *Conn) serve(conn *websocket.Conn) (end func()) {
	if c == nil {
		return func() {}
	}
	mine := &servedConn{conn: conn, turn: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = mine
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.serving == mine {
			c.serving = nil
		}
	}
}

// loop is one call of Serve.
type loop struct {
	ctx      context.Context
	observed *Conn // nil: not observed
	conn     *websocket.Conn
	handle   func(context.Context, Message) error
	// unrecorded are the contexts of messages that no exporter records, by name.
	unrecorded map[string]*scope
}

// message handles one message. It returns the error that ends the loop.
func (l *loop) message(m Message) error {
	err := l.observe(m)
	if err == nil {
		return nil
	}
	c := l.observed
	switch closeErr, panicErr := endingOf(err); {
	case panicErr != nil:
		c.failed(CausePanic, panicFailure(panicErr.Value, panicErr.Stack))
		l.close(websocket.CloseInternalServerErr, "")
		if c != nil && c.route.messages.Repanic {
			panic(panicErr.Value)
		}
		return err
	case closeErr != nil:
		if closeErr.Code == websocket.CloseInternalServerErr {
			c.failed(CauseHandlerError, newFailure(err))
		}
		l.close(closeErr.Code, closeErr.Reason)
		return err
	default:
		return nil
	}
}

// errGoexit ends the transaction of a handler that never returned.
var errGoexit = errors.New("apmws: message handler called runtime.Goexit")

// observe handles one message as a transaction.
func (l *loop) observe(m Message) error {
	c := l.observed
	if c == nil {
		return protect(l.ctx, m, l.handle)
	}
	name, raw := c.nameOf(m, c.route.names)
	err := errGoexit
	if c.span == nil {
		begin := monotonic()
		s := l.unrecordedScope(name)
		defer func() {
			c.endUnrecorded(name, m, monotonic()-begin, err)
			if s.logger.Load() != nil {
				delete(l.unrecorded, name) // the handler may have added fields to it
			}
		}()
		err = protect(s, m, l.handle)
		return err
	}
	tx := c.startMessage(l.ctx, name, raw, m.Type, len(m.Data), c.remoteOf(m))
	defer func() { tx.End(err) }()
	err = protect(&tx.scope, m, l.handle)
	return err
}

// unrecordedScope returns the context of a message with that name. Names are
// registered, so these are few.
func (l *loop) unrecordedScope(name string) *scope {
	if s := l.unrecorded[name]; s != nil {
		return s
	}
	if l.unrecorded == nil {
		l.unrecorded = make(map[string]*scope, 1)
	}
	s := &scope{Context: l.ctx, conn: l.observed, event: semconv.EventMessage, ids: &SpanContext{}, name: name}
	l.unrecorded[name] = s
	return s
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
