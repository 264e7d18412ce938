package exportertest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// lateRules are those about calls that come after an end, or never come.
func lateRules() []rule {
	return []rule{
		{
			"ends-twice",
			"a second end of a connection, a handshake, a message or a span, even at the same time as the first, adds nothing and changes nothing",
			checkEndsTwice,
		},
		{
			"ends-late",
			"messages may end after DISCONNECT, and Late ones start after it; they are recorded as ever",
			checkEndsLate,
		},
		{
			"starts-late",
			"what starts below a transaction that has ended does no harm, whether or not it is recorded",
			checkStartsLate,
		},
		{
			"spans-late",
			"a span that ends after its transaction does that no harm",
			checkSpansLate,
		},
		{
			"never-ended",
			"what is never ended, as when the exporter was left out at that moment, does no harm to the rest",
			checkNeverEnded,
		},
		{
			"crowd",
			"with many messages in flight, late and second ends of some reach no other message",
			checkCrowd,
		},
	}
}

// again is what a second end would leave behind.
const again = "a second end"

func againEnd(m *message) apmws.MessageEnd {
	return apmws.MessageEnd{
		Time: m.start.Time.Add(time.Hour), Result: "panic", Outcome: apmws.OutcomeFailure, User: again,
		Failure: m.failure(again), Attrs: []slog.Attr{slog.String("kit.again", again)},
	}
}

// wantNotAgain checks that a second end has left nothing.
func (g *sent) wantNotAgain(t *Transaction) {
	if _, ok := g.attr(t.Attrs, "kit.again"); ok || t.User == again || t.Result == "panic" || len(t.Errors) > 0 ||
		!g.Limits.OwnClock && t.Duration >= time.Hour {
		g.errorf("%s shows its second end: result %q, user %q, duration %v, %d errors, attributes %v",
			t.Type, t.Result, t.User, t.Duration, len(t.Errors), t.Attrs)
	}
}

func checkEndsTwice(k *kit) {
	s := k.session()
	c := s.openConn()
	failure := &apmws.Failure{Message: again, Type: "kit", Attrs: common(semconv.EventConnect, &c.start)}
	attrs := []slog.Attr{slog.String("kit.again", again)}
	c.opened(apmws.OpenEnd{Time: s.at(2 * time.Hour), Status: 500, Result: "HTTP 5xx", Outcome: apmws.OutcomeFailure, User: again, Failure: failure, Attrs: attrs})
	m := c.message(apmws.MessageStart{})
	spans := canSpan(m.span)
	if spans {
		x := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
		x.end(apmws.SpanEnd{})
		x.end(apmws.SpanEnd{Outcome: apmws.OutcomeFailure, Attrs: attrs})
	}
	m.end(apmws.MessageEnd{})
	m.end(againEnd(m))
	racing := c.message(apmws.MessageStart{})
	var all sync.WaitGroup
	for range 8 {
		k.spawn(&all, func() {
			racing.end(apmws.MessageEnd{})
		})
	}
	all.Wait()
	c.closed(apmws.ConnEnd{})
	c.closed(apmws.ConnEnd{Result: string(apmws.CausePanic), User: again, Failure: failure, Attrs: attrs})

	g := s.sent()
	g.wantNotAgain(g.connect(c))
	t := g.message(m)
	g.wantNotAgain(t)
	g.message(racing)
	g.wantNotAgain(g.disconnect(c))
	if spans {
		x := g.span(t, "load")
		if _, ok := g.attr(x.Attrs, "kit.again"); ok || x.Outcome != apmws.OutcomeSuccess {
			g.errorf("the span shows its second end: outcome %q, attributes %v", x.Outcome, x.Attrs)
		}
	}
	if len(g.Transactions) != 4 {
		g.errorf("there are %d transactions, want 4: %s", len(g.Transactions), g.listed())
	}
}

func checkEndsLate(k *kit) {
	s := k.session()
	c := s.openConn()
	well, badly := c.message(apmws.MessageStart{}), c.message(apmws.MessageStart{})
	c.closed(apmws.ConnEnd{})
	well.end(apmws.MessageEnd{})
	badly.failed("the connection has gone")
	late := c.message(apmws.MessageStart{Late: true, Sampled: true})
	late.failed("kept for this")

	g := s.sent()
	g.want(g.message(well), "chat.say", "ok", apmws.OutcomeSuccess)
	for _, m := range []*message{badly, late} {
		t := g.message(m)
		g.want(t, "chat.say", "error", apmws.OutcomeFailure)
		if len(t.Errors) != 1 {
			g.errorf("a message that failed after DISCONNECT has %d errors, want 1", len(t.Errors))
		}
		if !g.Limits.NoIDs {
			g.wantOwnConnect(t, g.connect(c))
		}
	}
	g.want(g.disconnect(c), "DISCONNECT /rooms/{id}", "normal", apmws.OutcomeSuccess)
}

func checkStartsLate(k *kit) {
	s := k.session()
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	handles := []any{c.span, m.span}
	if canSpan(m.span) {
		x := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
		x.end(apmws.SpanEnd{})
		if canSpan(x.span) {
			handles = append(handles, x.span)
		}
	}
	m.end(apmws.MessageEnd{})
	c.closed(apmws.ConnEnd{})
	witness := s.openConn()
	other := witness.message(apmws.MessageStart{})
	for _, handle := range handles {
		if !canSpan(handle) {
			continue
		}
		x := s.trySpan(m.ctx, handle, apmws.SpanStart{Name: "too late"})
		if x.ctx == nil {
			s.errorf("StartSpan below what has ended returned no context")
			continue
		}
		if x.span != nil {
			x.end(apmws.SpanEnd{})
		}
	}
	if afterEnd := c.tryMessage(c.ctx, apmws.MessageStart{}); afterEnd.span != nil {
		afterEnd.end(apmws.MessageEnd{})
	}
	other.end(apmws.MessageEnd{})

	g := s.sent()
	g.want(g.message(m), "chat.say", "ok", apmws.OutcomeSuccess)
	g.connect(c)
	g.disconnect(c)
	t := g.message(other)
	g.want(t, "chat.say", "ok", apmws.OutcomeSuccess)
	if len(t.Spans) > 0 || len(g.connect(witness).Spans) > 0 {
		g.errorf("a span that started too late is in another connection's transaction")
	}
}

func checkSpansLate(k *kit) {
	s := k.session()
	c := s.connect(context.Background(), apmws.ConnStart{})
	var open []*child
	if canSpan(c.span) {
		open = append(open, s.child(c.ctx, c.span, apmws.SpanStart{Name: "join"}))
	}
	c.opened(apmws.OpenEnd{Accepted: true})
	m := c.message(apmws.MessageStart{})
	if canSpan(m.span) {
		open = append(open, s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"}))
	}
	m.end(apmws.MessageEnd{})
	next := c.message(apmws.MessageStart{})
	for _, x := range open {
		x.end(apmws.SpanEnd{Outcome: apmws.OutcomeFailure, Attrs: []slog.Attr{slog.String("kit.again", again)}})
	}
	next.end(apmws.MessageEnd{})

	g := s.sent()
	for _, t := range []*Transaction{g.connect(c), g.message(m), g.message(next)} {
		if t.Outcome != apmws.OutcomeSuccess {
			g.errorf("%s has the outcome %q of a span that ended late", t.Type, t.Outcome)
		}
		if _, ok := g.attr(t.Attrs, "kit.again"); ok {
			g.errorf("%s has an attribute of a span that ended late", t.Type)
		}
	}
	if t := g.message(next); len(t.Spans) > 0 {
		g.errorf("the next message has %d spans of the one before", len(t.Spans))
	}
}

func checkNeverEnded(k *kit) {
	s := k.session()
	left := s.connect(context.Background(), apmws.ConnStart{})
	lost := left.message(apmws.MessageStart{})
	if canSpan(lost.span) {
		s.child(lost.ctx, lost.span, apmws.SpanStart{Name: "lost"})
	}
	left.closed(apmws.ConnEnd{})
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	if canSpan(m.span) {
		s.child(m.ctx, m.span, apmws.SpanStart{Name: "lost"})
	}
	m.end(apmws.MessageEnd{})
	c.closed(apmws.ConnEnd{})

	g := s.sent()
	g.want(g.disconnect(left), "DISCONNECT /rooms/{id}", "normal", apmws.OutcomeSuccess)
	g.connect(c)
	g.want(g.message(m), "chat.say", "ok", apmws.OutcomeSuccess)
	g.disconnect(c)
}

func checkCrowd(k *kit) {
	s := k.session()
	c := s.openConn()
	const n = 40
	start := func() (crowd []*message) {
		for range n {
			crowd = append(crowd, c.message(apmws.MessageStart{}))
		}
		return crowd
	}
	end := func(m *message) {
		m.end(apmws.MessageEnd{Attrs: []slog.Attr{slog.Int64("kit.same", m.n)}})
	}
	crowd := start()
	gone := crowd[:n/2]
	for _, m := range gone {
		end(m)
	}
	// What starts now may be given the memory of those that have ended.
	crowd = append(crowd, start()...)
	var all sync.WaitGroup
	for _, m := range gone {
		k.spawn(&all, func() {
			m.end(againEnd(m))
			if canSpan(m.span) {
				if x := s.trySpan(m.ctx, m.span, apmws.SpanStart{Name: again}); x.span != nil {
					x.end(apmws.SpanEnd{Outcome: apmws.OutcomeFailure})
				}
			}
		})
	}
	for _, m := range crowd[n/2:] {
		k.spawn(&all, func() {
			end(m)
		})
	}
	all.Wait()

	g := s.sent()
	for i, m := range crowd {
		t := g.message(m)
		g.wantNotAgain(t)
		g.want(t, "chat.say", "ok", apmws.OutcomeSuccess)
		g.wantAttrs("a message in the crowd", t.Attrs, []slog.Attr{slog.Int64("kit.same", m.n)})
		if spans := spansNamed(t, again); i >= len(gone) && len(spans) > 0 {
			g.errorf("a message in the crowd has a span that was started below another one")
		}
	}
}
