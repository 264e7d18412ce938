package apmws

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// MessageInfo describes a message for StartMessage.
type MessageInfo struct {
	// Name is the event's name. One that is not registered for the route
	// becomes _OTHER.
	Name string
	// Type is the message's type; TextMessage when it is 0.
	Type MessageType
	// Size is the length of the whole decoded message, in bytes.
	Size int
	// TraceParent and TraceState are the W3C trace context that came in the
	// message, if any. A malformed one is ignored and counted.
	TraceParent, TraceState string
}

// Results of a message.
const (
	resultOK      = "ok"
	resultError   = "error"
	resultPanic   = "panic"
	resultTimeout = "timeout"
)

// Transaction is a message being handled. It ends once; a second End does
// nothing. It is safe for concurrent use.
type Transaction struct {
	scope scope     // the handler's context
	inner liveScope // what scope.live points to

	name   *messageName
	start  time.Time
	begun  time.Duration // monotonic, after the exporters have started theirs
	typ    MessageType
	size   int
	raw    string      // unregistered name, when it is to be kept
	remote SpanContext // that came in the message
	own    []slog.Attr // the application's, as the exporters know them
	spans  handles
	span   *handles // nil: not recorded, or not yet
	capped bool     // it was chosen, and there was no room
	done   atomic.Bool
}

// StartMessage starts the transaction of a message that has been read, for
// programs that have their own read loop. Pass the returned context to whatever
// handles the message, and end the transaction when it has been handled:
//
//	ctx, tx := apmws.StartMessage(ctx, apmws.MessageInfo{Name: "chat.say", Size: len(b)})
//	err := handle(ctx, b)
//	tx.End(err)
//
// ctx is the context of a request in Agent.Handler or derived from it. Where it
// carries no connection, nothing is recorded and the transaction does nothing.
// The context may be used after End; it carries the vendors' transactions until
// then.
func StartMessage(ctx context.Context, info MessageInfo) (context.Context, *Transaction) {
	c := FromContext(ctx)
	if c == nil {
		return ctx, nil
	}
	ctx = outOfMessage(ctx)
	if info.Type == 0 {
		info.Type = TextMessage
	}
	name := c.route.names.lookupString(info.Name)
	raw := ""
	if name == c.route.names.other && c.route.messages.RecordRawNames {
		raw = cutRunes(sanitize(info.Name, 4*maxRawName), maxRawName)
	}
	remote := c.agent.remoteContext(info.TraceParent, info.TraceState)
	tx := &Transaction{
		scope: scope{Context: ctx, conn: c, event: semconv.EventMessage, message: name},
		name:  name, typ: info.Type, size: info.Size, raw: raw, remote: remote,
	}
	tx.begin(c.choose(name.name, remote))
	return &tx.scope, tx
}

// outOfMessage returns what the context of a message that has ended was derived
// from: a loop that overwrites its context with that of each message would
// otherwise make it longer and longer.
func outOfMessage(ctx context.Context) context.Context {
	for {
		s, ok := ctx.(*scope)
		if !ok || s.event != semconv.EventMessage || s.live.Load() != nil {
			return ctx
		}
		ctx = s.Context
	}
}

// begin notes the start, and starts the exporters' transactions unless they are
// not to record the message.
func (tx *Transaction) begin(d decision) {
	tx.start = time.Now()
	// What the exporters take is not the handler's time: messages that are
	// recorded would look slower than those that are not.
	defer func() { tx.begun = monotonic() }()
	tx.scope.conn.inHand.Add(1)
	tx.capped = d.capped
	if !d.record || tx.scope.conn.span == nil || tx.scope.conn.wasRefused() {
		return
	}
	live := tx.startSpans(MessageStart{Sampled: d.sampled, Weight: d.weight, Continue: tx.scope.conn.route.messages.ContinueTrace})
	if tx.span != nil {
		tx.scope.ids = tx.span
		tx.inner = liveScope{ctx: live, parent: tx.span, weight: d.weight}
		tx.scope.live.Store(&tx.inner)
	}
}

// startSpans starts the exporters' transactions.
func (tx *Transaction) startSpans(start MessageStart) (live context.Context) {
	c := tx.scope.conn
	start.Time, start.Name, start.Remote = tx.start, tx.name.name, tx.remote
	start.User, tx.own = c.identity()
	scratch := getScratch()
	start.Attrs = append(tx.appendAttrs(scratch.attrs), tx.own...)
	live = c.span.StartMessage(tx.scope.Context, &start, &tx.spans)
	scratch.put(start.Attrs)
	if tx.spans.n > 0 {
		tx.span = &tx.spans
	}
	return live
}

func (tx *Transaction) appendAttrs(dst []slog.Attr) []slog.Attr {
	dst = tx.scope.conn.appendCommon(dst, semconv.EventMessage)
	dst = append(dst,
		slog.String(semconv.MessageType, tx.typ.String()),
		slog.Int(semconv.MessageLength, tx.size),
		slog.String(semconv.MessageDirection, "inbound"))
	if tx.raw != "" {
		dst = append(dst, slog.String(semconv.MessageRawName, tx.raw))
	}
	return dst
}

// End records how the message was handled; nil is success. An error that wraps
// context.DeadlineExceeded is the result timeout; a *PanicError is the result
// panic; an error made by Close is judged by its code. Calls after the first
// do nothing, and so does End of a nil Transaction.
func (tx *Transaction) End(err error) {
	if tx == nil || !tx.done.CompareAndSwap(false, true) {
		return
	}
	d := monotonic() - tx.begun
	tx.scope.live.Store(nil) // before the exporters end it
	tx.conclude(tx.scope.conn.handled(tx.name, d, err), d)
	if tx.scope.conn.inHand.Add(-1) == 0 {
		tx.scope.conn.nudge()
	}
}

// handling says how a message was handled.
type handling struct {
	result  string
	outcome Outcome
	failure *Failure
}

// kind is what the connection remembers of it.
func (h *handling) kind() momentKind {
	switch h.result {
	case resultError:
		return messageError
	case resultTimeout:
		return messageTimeout
	case resultPanic:
		return messagePanic
	default:
		return messageOK
	}
}

// handled judges and counts a message that has been handled.
func (c *Conn) handled(name *messageName, d time.Duration, err error) (h handling) {
	h.outcome = OutcomeSuccess
	if h.result, h.failure = judge(err); h.failure != nil {
		h.failure.withoutAddresses(c.peer)
		h.outcome = OutcomeFailure
	}
	name.handled(c.shard, h.outcome, d)
	return h
}

// conclude ends the exporters' transactions, after starting them when the
// message turns out to be worth keeping, and writes the log line.
func (tx *Transaction) conclude(h handling, d time.Duration) {
	c := tx.scope.conn
	if tx.span == nil && c.span != nil && c.agent.sampler.keeps(h.failure != nil, d, tx.capped) && !c.wasRefused() {
		// The scope does not learn of it: the handler may have left goroutines
		// behind that use it.
		tx.startSpans(MessageStart{Sampled: true, Late: true})
	}
	if tx.span != nil {
		user, own := c.identity()
		if h.failure != nil {
			h.failure.Attrs = append(tx.appendAttrs(make([]slog.Attr, 0, 16)), own...)
			h.failure.Attrs = append(h.failure.Attrs, slog.String(semconv.ConnectionRecent, c.past()))
		}
		if len(own) > 0 && len(own) == len(tx.own) && &own[0] == &tx.own[0] {
			own = nil // SetAttrs makes a new slice, so nothing has changed
		}
		tx.span.endMessage(MessageEnd{
			Time: tx.start.Add(d), Result: h.result, Outcome: h.outcome, User: user, Failure: h.failure, Attrs: own,
		})
	}
	c.logMessage(tx.name.name, tx.typ, tx.size, tx.span, d, h)
	c.happenedAt(tx.start.Sub(c.start)+d, h.kind(), tx.name.name, d)
}

// EndOnPanic ends the transaction with the result panic when the goroutine is
// panicking, and raises the panic again. Otherwise it does nothing, also when the
// goroutine ends by runtime.Goexit. It must be deferred directly:
//
//	ctx, tx := apmws.StartMessage(ctx, info)
//	defer tx.EndOnPanic()
//	tx.End(handle(ctx, b))
func (tx *Transaction) EndOnPanic() {
	if p := recover(); p != nil {
		tx.End(&PanicError{Value: p, Stack: debug.Stack()})
		panic(p)
	}
}

// judge returns an error's result, and its failure unless that is ok.
func judge(err error) (result string, failure *Failure) {
	if err == nil {
		return resultOK, nil
	}
	closeErr, panicErr := endingOf(err)
	switch {
	case panicErr != nil:
		return resultPanic, panicFailure(panicErr.Value, panicErr.Stack)
	case closeErr != nil && !closeErr.failure():
		return resultOK, nil
	case isTimeout(err):
		return resultTimeout, newFailure(err)
	default:
		return resultError, newFailure(err)
	}
}

// What follows calls methods of the application's errors, which may panic: that
// of a nil pointer in an error, say.

// endingOf returns the CloseError or the PanicError in an error, if any.
func endingOf(err error) (closeErr *CloseError, panicErr *PanicError) {
	defer func() { _ = recover() }()
	if panicErr = errorAs[*PanicError](err); panicErr == nil {
		closeErr = errorAs[*CloseError](err)
	}
	return closeErr, panicErr
}

func isTimeout(err error) bool {
	defer func() { _ = recover() }()
	return errorIs(err, context.DeadlineExceeded)
}
