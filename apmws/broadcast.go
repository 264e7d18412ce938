package apmws

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// BroadcastOptions describe a broadcast. The zero value works.
type BroadcastOptions struct {
	// Name is the message's name, one of MessageOptions.Names or SendNames of the
	// route of the first recipient; another one becomes _OTHER. Empty:
	// MessageOptions.Name is asked.
	Name string

	// Parent is the trace context that the broadcast goes on from, such as one that
	// has come through a broker with the payload. It is for peers that are trusted,
	// as MessageOptions.ContinueTrace is. Where the context of Broadcast is inside a
	// transaction of the agent, that counts.
	Parent SpanContext
}

// BroadcastResult counts the recipients, by what is known when Broadcast returns.
type BroadcastResult struct {
	Written int   // those without a send queue that the message was written to
	Queued  int   // those whose send queue has it; what becomes of that is in the transaction
	Failed  int   // all others
	Err     error // of the first that failed; nil: none has
}

// Broadcast sends one message, prepared for the wire once, to many connections. One
// that fails, is not served by an Endpoint or Serve any more, or is nil, does not keep
// the message from the others; one that comes twice gets it twice. m.Data may be used
// again when Broadcast has returned. The zero m.Type is TextMessage; what is no type of a
// message fails for all.
//
// Where a connection has a send queue the message is put into it, as Conn.Send
// does; else it is written at once, as Conn.Write does, one connection after the
// other: a peer that has stopped reading then holds up all that follow, for
// EndpointOptions.WriteTimeout, or for good where there is none, as for
// connections of Serve, and ctx has no deadline. So connections that get
// broadcasts should have a queue. When ctx is done, the rest fails.
//
// All of it is one transaction "broadcast <name>", however many connections there
// are, and none where there is not one. It ends when the message has been written
// to, or given up for, the last of them, which may be after Broadcast has
// returned. Where ctx is inside a transaction of the agent, as that of a message
// is, it is a child of that, and else a trace of its own, unless
// BroadcastOptions.Parent says otherwise. Options.Sampling decides on it by the
// message's name, but below something that is recorded it is recorded, too.
func (a *Agent) Broadcast(ctx context.Context, m Message, to iter.Seq[*Conn], opts BroadcastOptions) (r BroadcastResult) {
	b := &broadcast{agent: a, typ: cmp.Or(m.Type, TextMessage), size: len(m.Data), start: time.Now(), begun: monotonic()}
	b.open.Store(1)
	a.broadcasts.Add(1)
	defer func() { b.sentAll(r) }() // also when the iterator panics
	m.Type = b.typ
	out := outgoing{ctx: ctx, done: ctx.Done(), message: queued{of: b}}
	out.deadline, out.bounded = ctx.Deadline()
	var prepareErr error
	for c := range to {
		b.recipients++
		if c != nil && c.route != b.route {
			if b.route == nil {
				if prepareErr = errMessageType; m.Type.valid() {
					b.prepared, prepareErr = websocket.NewPreparedMessage(int(m.Type), m.Data)
				}
				b.begin(ctx, c, m, opts)
			} else {
				b.mixed = true
			}
		}
		err := prepareErr
		if err == nil {
			err = out.to(c, &r)
		}
		if err != nil {
			r.Failed++
			if r.Err == nil {
				r.Err = err
			}
		}
	}
	return r
}

// outgoing is the message of a broadcast, ready to be sent.
type outgoing struct {
	ctx      context.Context
	done     <-chan struct{}
	deadline time.Time // of ctx
	bounded  bool      // there is one
	message  queued
}

// to sends the message to a connection, and counts it unless that fails.
func (o *outgoing) to(c *Conn, r *BroadcastResult) error {
	select {
	case <-o.done:
		return o.ctx.Err()
	default:
	}
	serving := c.currentServing()
	if serving == nil {
		return ErrNotServing
	}
	b := o.message.of
	if serving.queue != nil {
		b.open.Add(1)
		if err := serving.queue.add(o.message); err != nil {
			b.open.Add(-1) // never the last one
			return err
		}
		r.Queued++
		return nil
	}
	took, err := serving.writeOut(o)
	b.slowest = max(b.slowest, took)
	if err == nil {
		r.Written++
	}
	return err
}

// writeOut writes the message of a broadcast. It returns how long that took, well or
// not, without the wait for the turn.
func (s *servedConn) writeOut(o *outgoing) (took time.Duration, err error) {
	if _, err := s.turn.take(o.ctx, s.timeout); err != nil {
		return 0, err
	}
	defer s.turn.give()
	begin := monotonic()
	deadline := s.latest(begin)
	own := !deadline.IsZero()
	if o.bounded && (!own || o.deadline.Before(deadline)) {
		if deadline, own = o.deadline, false; !processStart.Add(begin).Before(deadline) {
			return 0, context.DeadlineExceeded // gorilla would break the connection
		}
	}
	err = s.put(&o.message, deadline, own)
	return monotonic() - begin, err
}

// broadcast is the transaction of a broadcast.
type broadcast struct {
	agent    *Agent
	typ      MessageType
	size     int
	prepared *websocket.PreparedMessage
	start    time.Time
	begun    time.Duration // monotonic, without what the exporters took

	// Set by the goroutine of Broadcast, before it gives up its part of open.
	route      *route // of the first recipient; nil: there is none
	mixed      bool   // others have another one
	name       string
	recipients int
	slowest    time.Duration // of what is written at once
	capped     bool
	spans      handles

	open        atomic.Int64 // recipients in queues, and Broadcast itself
	failed      atomic.Int64
	slowestLate atomic.Int64 // ns, of what was queued
}

// begin starts the exporters' transactions, unless they are not to record it.
func (b *broadcast) begin(ctx context.Context, first *Conn, m Message, opts BroadcastOptions) {
	b.route, b.spans.shard = first.route, first.shard
	if b.agent.exporter.empty() {
		return
	}
	begin := monotonic()
	defer func() { b.begun += monotonic() - begin }()
	var name *messageName
	if opts.Name != "" {
		name = b.route.sends.lookupString(opts.Name)
	} else {
		name = first.nameOf(m, &b.route.sends)
	}
	b.name = "broadcast " + name.name
	below, weight := b.agent.around(ctx)
	start := MessageStart{Remote: opts.Parent, Continue: opts.Parent.IsValid()}
	d := b.agent.sampler.chooseBelow(name.name, opts.Parent, weight)
	b.capped = d.capped
	if d.record {
		start.Sampled, start.Weight = d.sampled, d.weight
		b.startSpans(ctx, &start, below)
	}
}

// around returns what a transaction that starts in ctx is to be below, and how many
// of its kind that stands for; nil and 0 where there is nothing.
func (a *Agent) around(ctx context.Context) (below spanParent, weight float64) {
	s := scopeOf(ctx).open()
	if s == nil || s.conn.agent != a {
		return nil, 0
	}
	if live := s.current(); live != nil && live.parent != nil {
		return live.parent, cmp.Or(live.weight, 1)
	}
	return nil, 0
}

func (b *broadcast) startSpans(ctx context.Context, start *MessageStart, below spanParent) {
	start.Time, start.Name = b.start, b.name
	scratch := getScratch()
	start.Attrs = append(scratch.attrs,
		slog.String(semconv.Event, semconv.EventBroadcast),
		slog.String(semconv.MessageType, b.typ.String()),
		slog.Int(semconv.MessageLength, b.size),
		slog.String(semconv.MessageDirection, "outbound"))
	b.agent.exporter.StartBroadcast(ctx, start, below, &b.spans)
	scratch.put(start.Attrs)
}

// done is told what became of a queued message. A nil broadcast is that of a
// message that is not of one.
func (b *broadcast) done(took time.Duration, err error) {
	if b == nil {
		return
	}
	if err != nil {
		b.failed.Add(1)
	}
	for slowest := b.slowestLate.Load(); int64(took) > slowest; slowest = b.slowestLate.Load() {
		if b.slowestLate.CompareAndSwap(slowest, int64(took)) {
			break
		}
	}
	b.closed()
}

// sentAll is called when Broadcast returns, or panics: whoever that was about fails.
func (b *broadcast) sentAll(r BroadcastResult) {
	b.failed.Add(int64(b.recipients - r.Written - r.Queued))
	b.closed()
}

// closed ends the transaction when it is called for the last time. A drain waits for
// that, so that the exporters get it.
func (b *broadcast) closed() {
	if b.open.Add(-1) != 0 {
		return
	}
	if b.route != nil && !b.agent.exporter.empty() {
		b.end()
	}
	b.agent.broadcasts.Add(-1)
	if d := b.agent.drainage.Load(); d != nil {
		d.nudge()
	}
}

// Result of a broadcast that has failed for some recipients.
const resultPartial = "partial"

func (b *broadcast) end() {
	d := monotonic() - b.begun
	failed := int(b.failed.Load())
	result, outcome := resultOK, OutcomeSuccess
	switch {
	case failed >= b.recipients:
		result, outcome = resultError, OutcomeFailure
	case failed > 0:
		result = resultPartial
	}
	if b.spans.n == 0 {
		if !b.agent.sampler.keeps(outcome == OutcomeFailure, d, b.capped) {
			return
		}
		b.startSpans(context.Background(), &MessageStart{Sampled: true, Late: true}, nil)
	}
	route := b.route.name
	if b.mixed {
		route = semconv.Other
	}
	scratch := getScratch()
	attrs := append(scratch.attrs,
		slog.String(semconv.Route, route),
		slog.Int(semconv.BroadcastRecipients, b.recipients),
		slog.Int(semconv.BroadcastFailed, failed),
		slog.Float64(semconv.BroadcastSlowestWrite, max(b.slowest, time.Duration(b.slowestLate.Load())).Seconds()))
	b.spans.endMessage(MessageEnd{Time: b.start.Add(d), Result: result, Outcome: outcome, Attrs: attrs})
	scratch.put(attrs)
}
