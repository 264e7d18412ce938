package apmws

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	// what is to live longer. It must not be changed: of a message that failed,
	// the trace context is looked for in it afterwards.
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
	defer l.observed.serve(&servedConn{conn: conn})()
	err := l.run()
	l.observed.raiseAgain(err)
	return err
}

// buffer holds a message while it is handled; an idle connection has none.
type buffer struct {
	bytes.Buffer
	name [64]byte // of the message
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// maxPooled bounds the buffers that are kept for later messages.
const maxPooled = 256 << 10 // bytes

func putBuffer(b *buffer) {
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

// serve makes Write write to mine until the returned function is called.
func (c *Conn) serve(mine *servedConn) (end func()) {
	if c == nil {
		return func() {}
	}
	mine.observed = c
	c.serving.Store(mine)
	return func() {
		c.serving.CompareAndSwap(mine, nil)
		mine.queue.close()
	}
}

// loop is one call of Serve.
type loop struct {
	ctx      context.Context
	observed *Conn // nil: not observed
	conn     *websocket.Conn
	handle   func(context.Context, Message) error
	limit    int64            // bytes of a decoded message; 0: none
	limited  io.LimitedReader // of the message that is being read
	plain    []*scope         // see plainScope
}

// run reads and handles messages until one of the two ends it.
func (l *loop) run() error {
	for {
		retires := l.retires()
		typ, r, err := l.conn.NextReader()
		if err != nil {
			return err
		}
		if retires {
			continue // NextReader skips the rest
		}
		buf := buffers.Get().(*buffer)
		if err = l.read(buf, r); err == nil {
			err = l.message(buf, Message{Type: MessageType(typ), Data: buf.Bytes()})
		}
		putBuffer(buf)
		if err != nil {
			return err
		}
	}
}

// read reads a message. gorilla's own limit is of what comes over the wire, which
// says little of a compressed message.
func (l *loop) read(buf *buffer, r io.Reader) error {
	if l.limit == 0 {
		_, err := buf.ReadFrom(r)
		return err
	}
	l.limited = io.LimitedReader{R: r, N: l.limit + 1}
	if _, err := buf.ReadFrom(&l.limited); err != nil {
		return err
	}
	if int64(buf.Len()) > l.limit {
		l.close(websocket.CloseMessageTooBig, "")
		return websocket.ErrReadLimit
	}
	return nil
}

// message handles one message. It returns the error that ends the loop.
func (l *loop) message(buf *buffer, m Message) error {
	err := l.observe(buf, m)
	if err == nil {
		return nil
	}
	closeErr, panicErr := endingOf(err)
	if closeErr == nil && panicErr == nil {
		return nil
	}
	l.giveUp(err, closeErr, panicErr)
	return err
}

// giveUp sends the close frame of a handler that ends the connection by err.
func (l *loop) giveUp(err error, closeErr *CloseError, panicErr *PanicError) {
	switch {
	case panicErr != nil:
		l.observed.failed(CausePanic, panicFailure(panicErr.Value, panicErr.Stack))
		l.close(websocket.CloseInternalServerErr, "")
	default:
		if closeErr.Code == websocket.CloseInternalServerErr && !l.observed.lost() { // else that is why
			l.observed.failed(CauseHandlerError, newFailure(err))
		}
		l.observed.flushBriefly() // what the handler has sent before
		l.close(closeErr.Code, closeErr.Reason)
	}
}

// raiseAgain raises a handler's panic again where that is asked for.
func (c *Conn) raiseAgain(err error) {
	if _, p := endingOf(err); p != nil && c != nil && c.route.messages.Repanic {
		panic(p.Value)
	}
}

// errGoexit stands for the error of a function that never returned.
var errGoexit = errors.New("apmws: a handler called runtime.Goexit")

// observe handles one message as a transaction.
func (l *loop) observe(buf *buffer, m Message) error {
	c := l.observed
	if c == nil {
		return protect(l.ctx, m, l.handle)
	}
	var u unrecorded
	u.name, u.raw = c.nameIn(buf.name[:0], m, &c.route.names, l.likely())
	if d := c.decide(m, &u); d.record {
		return l.observeRecorded(m, &u, d)
	}
	return l.observeUnrecorded(m, &u)
}

// observeRecorded handles a message as a transaction from its beginning on. It is apart,
// since what a handler needs of the stack is kept by idle connections.
func (l *loop) observeRecorded(m Message, u *unrecorded, d decision) error {
	tx := l.observed.newTransaction(l.ctx, m, u.name, u.raw)
	tx.remote = u.remote
	tx.begin(d)
	err := errGoexit
	defer func() { tx.End(err) }()
	err = protect(&tx.scope, m, l.handle)
	return err
}

// decide decides whether the message becomes a transaction now. The trace context
// that came in it is only looked for when that matters.
func (c *Conn) decide(m Message, u *unrecorded) (d decision) {
	if c.span == nil {
		return decision{}
	}
	continues := c.route.messages.ContinueTrace // the decision depends on it
	if continues {
		u.remote = c.remoteOf(m)
	}
	d = c.choose(u.name.name, u.remote)
	if d.record && !continues {
		u.remote = c.remoteOf(m)
	}
	u.capped = d.capped
	return d
}

// unrecorded is what is known of a message that no exporter records yet.
type unrecorded struct {
	name   *messageName
	raw    string
	remote SpanContext
	capped bool
}

// observeUnrecorded handles a message that no exporter records yet, without the
// cost of a Transaction.
func (l *loop) observeUnrecorded(m Message, u *unrecorded) (err error) {
	s := l.plainScope(u.name)
	err = errGoexit
	begin := monotonic()
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		l.conclude(m, u, begin, err)
	}()
	return l.handle(s, m)
}

// conclude counts and logs a message that has been handled unrecorded, and
// records it after all when it is worth keeping.
func (l *loop) conclude(m Message, u *unrecorded, begin time.Duration, err error) {
	c := l.observed
	end := monotonic()
	d := end - begin
	h := c.handled(u.name, d, err)
	if h.failure == nil && !c.agent.sampler.slowly(d) {
		c.logMessage(u.name.name, m.Type, len(m.Data), nil, d, h)
		c.happenedAt(end-c.start.Sub(processStart), h.kind(), u.name.name, d)
		return
	}
	tx := c.newTransaction(l.ctx, m, u.name, u.raw)
	now := time.Now()
	tx.start, tx.capped = now.Add(begin-now.Sub(processStart)), u.capped
	if tx.remote = u.remote; c.span != nil && !tx.remote.IsValid() && !c.route.messages.ContinueTrace {
		tx.remote = c.remoteOf(m)
	}
	tx.conclude(h, d)
}

func (c *Conn) newTransaction(ctx context.Context, m Message, name *messageName, raw string) *Transaction {
	return &Transaction{
		scope: scope{Context: ctx, conn: c, event: semconv.EventMessage, message: name},
		name:  name, typ: m.Type, size: len(m.Data), raw: raw,
	}
}

// maxPlain bounds the contexts that a connection keeps for its messages.
const maxPlain = 8

// plainScope returns the context of a message without a transaction. What differs
// between messages of a name is only for loggers: where there is one, each message
// has a context of its own, since a goroutine that the handler leaves behind may go
// on logging with it.
func (l *loop) plainScope(name *messageName) *scope {
	for _, s := range l.plain {
		if s.message == name {
			return s
		}
	}
	c := l.observed
	_, bounded := l.ctx.Deadline()
	s := &scope{Context: l.ctx, conn: c, event: semconv.EventMessage, message: name, unbounded: !bounded}
	// In this order: where there is a logger, the context would make one of it.
	if len(l.plain) < maxPlain && c.agent.logger == nil && c.scope.Context.Value(loggerKey) == nil && l.ctx.Value(loggerKey) == nil {
		l.plain = append(l.plain, s)
	}
	return s
}

// likely returns what the next message may be called: many connections have messages
// of one name. It may be nil.
func (l *loop) likely() *messageName {
	if len(l.plain) == 0 {
		return nil
	}
	return l.plain[0].message
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
