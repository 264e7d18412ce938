package exportertest

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// broadcastRules are those about broadcasts. An exporter that is no
// apmws.Broadcaster meets them.
func broadcastRules() []rule {
	return []rule{
		{
			"broadcast",
			"a broadcast has the type Message, the name, result, outcome, times and weight of its events, the attributes of both of them, those of no connection, and no link",
			checkBroadcast,
		},
		{
			"broadcast-trace",
			"a broadcast is a child of the handle that it happens in, and has the weight of that, else of the trace context that it continues, and else the root of a trace",
			checkBroadcastTrace,
		},
	}
}

// spread is a broadcast that was told.
type spread struct {
	s     *session
	n     int64 // its number, in the attribute kit.number
	start apmws.MessageStart
	span  apmws.MessageSpan
}

// broadcast starts a broadcast. It returns nil where the exporter knows none.
func (s *session) broadcast(ctx context.Context, parent any, start apmws.MessageStart) *spread {
	b, ok := s.Exporter.(apmws.Broadcaster)
	if !ok {
		return nil
	}
	x := &spread{s: s, n: s.last.Add(1)}
	setDefault(&start.Name, "broadcast chat.say")
	if start.Time.IsZero() {
		start.Time = s.at(3 * time.Second)
	}
	if !start.Sampled {
		start.Weight = 1
	}
	start.Attrs = []slog.Attr{
		slog.String(semconv.Event, semconv.EventBroadcast),
		slog.String(semconv.MessageType, "text"), slog.Int(semconv.MessageLength, 64),
		slog.String(semconv.MessageDirection, "outbound"), slog.Int64(attrNumber, x.n),
	}
	x.start = start
	s.lend(start.Attrs, func(lent []slog.Attr) {
		start.Attrs = lent
		x.span = b.StartBroadcast(ctx, parent, start)
	})
	if x.span == nil {
		s.fatalf("StartBroadcast returned no handle: nothing would be recorded")
	}
	return x
}

// end ends a broadcast: well, unless end has a result.
func (x *spread) end(end apmws.MessageEnd) (told []slog.Attr) {
	setDefault(&end.Result, "ok")
	setDefault(&end.Outcome, apmws.OutcomeSuccess)
	if end.Time.IsZero() {
		end.Time = x.start.Time.Add(20 * time.Millisecond)
	}
	end.Attrs = []slog.Attr{
		slog.String(semconv.Route, "/rooms/{id}"), slog.Int(semconv.BroadcastRecipients, 10),
		slog.Int(semconv.BroadcastFailed, 3), slog.Float64(semconv.BroadcastSlowestWrite, 0.25),
	}
	x.s.lend(end.Attrs, func(lent []slog.Attr) {
		last := end
		last.Attrs = lent
		x.span.End(last)
	})
	return end.Attrs
}

// broadcast returns the transaction of a broadcast, which must be recorded once.
func (g *sent) broadcast(x *spread) *Transaction {
	var found []*Transaction
	for i := range g.Transactions {
		t := &g.Transactions[i]
		if n, _ := g.attr(t.Attrs, attrNumber); t.Type == semconv.TypeMessage && matches(n, slog.Int64Value(x.n), 0) {
			found = append(found, t)
		}
	}
	if len(found) != 1 {
		g.fatalf("%d transactions of broadcast %d, want 1, among %s", len(found), x.n, g.listed())
	}
	return found[0]
}

func checkBroadcast(k *kit) {
	s := k.session()
	s.reuse = true
	ends := []apmws.MessageEnd{
		{Result: "ok", Outcome: apmws.OutcomeSuccess},
		{Result: "partial", Outcome: apmws.OutcomeSuccess},
		{Result: "error", Outcome: apmws.OutcomeFailure},
	}
	var told []*spread
	var attrs []slog.Attr
	for _, end := range ends {
		x := s.broadcast(context.Background(), nil, apmws.MessageStart{})
		if x == nil {
			return
		}
		told = append(told, x)
		attrs = x.end(end)
	}
	slow := s.broadcast(context.Background(), nil, apmws.MessageStart{Sampled: true, Weight: 4})
	began := time.Now()
	if s.Limits.OwnClock {
		time.Sleep(10 * time.Millisecond)
	}
	slept := time.Since(began)
	slow.end(apmws.MessageEnd{Time: slow.start.Time.Add(250 * time.Millisecond)})
	start, took := s.at(5*time.Second), 1500*time.Millisecond
	late := s.broadcast(context.Background(), nil, apmws.MessageStart{Time: start, Late: true, Sampled: true})
	late.end(apmws.MessageEnd{Time: start.Add(took)})

	g := s.sent()
	for i, x := range told {
		t := g.broadcast(x)
		g.want(t, "broadcast chat.say", ends[i].Result, ends[i].Outcome)
		g.wantAttrs("a broadcast", t.Attrs, slices.Concat(x.start.Attrs, attrs))
		if id, ok := g.attr(t.Attrs, semconv.ConnectionID); ok || len(t.Links) > 0 || t.User != "" || len(t.Errors) > 0 {
			g.errorf("a broadcast has the connection %v, the links %v, the user %q and %d errors, want none", id, t.Links, t.User, len(t.Errors))
		}
		g.wantWeight(t, 1)
	}
	t := g.broadcast(slow)
	g.wantWeight(t, 4)
	switch {
	case !s.Limits.OwnClock:
		if off := t.Duration - 250*time.Millisecond; max(off, -off) > durationSlack || t.Start.Sub(slow.start.Time).Abs() > startSlack {
			g.errorf("a broadcast lasts %v from %v, want 250ms from %v", t.Duration, t.Start, slow.start.Time)
		}
	case t.Duration < slept-durationSlack:
		g.errorf("a broadcast of %v has the duration %v", slept, t.Duration)
	}
	g.wantWeight(g.broadcast(late), 0)
	g.wantLateTimes(g.broadcast(late), start, took)
}

func checkBroadcastTrace(k *kit) {
	s := k.session()
	if s.Limits.NoIDs {
		return
	}
	c := s.connect(context.Background(), apmws.ConnStart{})
	inConnect := s.broadcast(c.ctx, c.span, apmws.MessageStart{})
	if inConnect == nil {
		return
	}
	inConnect.end(apmws.MessageEnd{})
	c.opened(apmws.OpenEnd{Accepted: true})
	from := remote()
	m := c.message(apmws.MessageStart{Sampled: true, Weight: 4})
	inMessage := s.broadcast(m.ctx, m.span, apmws.MessageStart{Remote: from, Continue: true, Sampled: true, Weight: 4})
	other := s.broadcast(m.ctx, nil, apmws.MessageStart{})
	continued := s.broadcast(m.ctx, nil, apmws.MessageStart{Remote: from, Continue: true, Sampled: true, Weight: 1})
	var load *child
	var inSpan *spread
	if canSpan(m.span) {
		load = s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
		inSpan = s.broadcast(load.ctx, load.span, apmws.MessageStart{})
		load.end(apmws.SpanEnd{})
	}
	m.end(apmws.MessageEnd{})
	// They end after what they happened in.
	for _, x := range []*spread{inMessage, other, continued, inSpan} {
		if x != nil {
			x.end(apmws.MessageEnd{})
		}
	}
	c.closed(apmws.ConnEnd{})

	g := s.sent()
	connect, message := g.connect(c), g.message(m)
	g.wantParent("a broadcast in CONNECT", g.broadcast(inConnect), connect.TraceID, connect.SpanID)
	g.wantParent("a broadcast in a message", g.broadcast(inMessage), message.TraceID, message.SpanID)
	g.wantWeight(g.broadcast(inMessage), 4)
	g.wantParent("a broadcast that continues", g.broadcast(continued), from.TraceIDString(), from.SpanIDString())
	if inSpan != nil {
		g.wantParent("a broadcast in a span", g.broadcast(inSpan), message.TraceID, g.span(message, "load").SpanID)
	}
	if t := g.broadcast(other); t.ParentID != "" || t.TraceID == message.TraceID || t.TraceID == from.TraceIDString() {
		g.errorf("a broadcast in nothing has the trace %s and the parent %q, want one of its own and none", t.TraceID, t.ParentID)
	}
}

func (g *sent) wantParent(what string, t *Transaction, trace, parent string) {
	if t.TraceID != trace || t.ParentID != parent {
		g.errorf("%s has the trace %s and the parent %q, want %s and %s", what, t.TraceID, t.ParentID, trace, parent)
	}
}
