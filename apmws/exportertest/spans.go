package exportertest

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// spanRules are those about spans. An exporter whose handles are no SpanStarter
// meets them.
func spanRules() []rule {
	return []rule{
		{
			"spans",
			"a span is below the handle that StartSpan was called of, CONNECT's, a message's or another span's, one after the other and one in the other",
			checkSpans,
		},
		{
			"spans-details",
			"a span has its name, destination, outcome and attributes, and is recorded however short it is",
			checkSpansDetails,
		},
		{
			"spans-overlapping",
			"spans that overlap, in any order of their ends and on any goroutine, are all recorded in their transaction",
			checkSpansOverlapping,
		},
		{
			"spans-outlived",
			"a span that ends after the span above it, and before their transaction, is recorded below that, and leaves its outcome alone",
			checkSpansOutlived,
		},
		{
			"spans-foreign",
			"a span belongs to the transaction of its receiver, also when its context carries another one",
			checkSpansForeign,
		},
		{
			"spans-identified",
			"SpanContext of a span, if it has that, returns its trace and the id that the back end shows of it, always the same, so that what it calls can be its child; where the back end shows none, the zero SpanContext",
			checkSpansIdentified,
		},
	}
}

// wantBelow checks what a span is below.
func (g *sent) wantBelow(t *Transaction, name, parent string) *Span {
	x := g.span(t, name)
	if x.ParentID != parent {
		g.errorf("the span %q of %s %q is below %q, want %q", name, t.Type, t.Name, x.ParentID, parent)
	}
	if x.SpanID == "" || x.SpanID == parent {
		g.errorf("the span %q has the id %q, and what is above it %q", name, x.SpanID, parent)
	}
	return x
}

func checkSpans(k *kit) {
	s := k.session()
	c := s.connect(context.Background(), apmws.ConnStart{})
	connectSpans := canSpan(c.span)
	if connectSpans {
		auth := s.child(c.ctx, c.span, apmws.SpanStart{Name: "authenticate"})
		if canSpan(auth.span) {
			s.child(auth.ctx, auth.span, apmws.SpanStart{Name: "look up"}).end(apmws.SpanEnd{})
		}
		auth.end(apmws.SpanEnd{})
		s.child(c.ctx, c.span, apmws.SpanStart{Name: "join"}).end(apmws.SpanEnd{})
	}
	c.opened(apmws.OpenEnd{Accepted: true})
	m := c.message(apmws.MessageStart{})
	messageSpans, nested := canSpan(m.span), false
	if messageSpans {
		load := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
		if nested = canSpan(load.span); nested {
			query := s.child(load.ctx, load.span, apmws.SpanStart{Name: "query"})
			s.child(query.ctx, query.span, apmws.SpanStart{Name: "row"}).end(apmws.SpanEnd{})
			query.end(apmws.SpanEnd{})
			s.child(load.ctx, load.span, apmws.SpanStart{Name: "parse"}).end(apmws.SpanEnd{})
		}
		load.end(apmws.SpanEnd{})
		s.child(m.ctx, m.span, apmws.SpanStart{Name: "store"}).end(apmws.SpanEnd{})
	}
	m.end(apmws.MessageEnd{})

	g := s.sent()
	if connectSpans {
		t := g.connect(c)
		auth := g.wantBelow(t, "authenticate", t.SpanID)
		if nested {
			g.wantBelow(t, "look up", auth.SpanID)
		}
		g.wantBelow(t, "join", t.SpanID)
	}
	if messageSpans {
		t := g.message(m)
		load := g.wantBelow(t, "load", t.SpanID)
		g.wantBelow(t, "store", t.SpanID)
		if nested {
			query := g.wantBelow(t, "query", load.SpanID)
			g.wantBelow(t, "row", query.SpanID)
			g.wantBelow(t, "parse", load.SpanID)
		}
	}
}

func checkSpansDetails(k *kit) {
	s := k.session()
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	if !canSpan(m.span) {
		return
	}
	type expected struct {
		start   apmws.SpanStart
		outcome apmws.Outcome
	}
	all := []expected{
		{apmws.SpanStart{Name: "load"}, apmws.OutcomeSuccess},
		{apmws.SpanStart{Name: "charge card", Type: "external.grpc.call", Destination: "billing.example:443"}, apmws.OutcomeFailure},
		{apmws.SpanStart{Name: "GETEX", Type: "db.redis.query", Destination: "cache.example:6379"}, apmws.OutcomeSuccess},
		{apmws.SpanStart{Name: "send chat.say", Type: "websocket.send"}, apmws.OutcomeFailure},
		{apmws.SpanStart{Name: "give up"}, apmws.OutcomeUnknown},
	}
	later := []slog.Attr{slog.Int("kit.rows", 12)}
	for i := range all {
		start := &all[i].start
		start.Attrs = append(common(semconv.EventMessage, &c.start), slog.String("kit.mark", start.Name))
		start.Time = s.at(2*time.Second + time.Duration(i)*time.Millisecond)
		end := start.Time.Add(20 * time.Microsecond) // a PUBLISH to a Redis nearby takes no longer
		s.child(m.ctx, m.span, *start).end(apmws.SpanEnd{Time: end, Outcome: all[i].outcome, Attrs: later})
	}
	m.end(apmws.MessageEnd{})

	g := s.sent()
	t := g.message(m)
	for _, want := range all {
		x := g.span(t, want.start.Name)
		if x.Destination != want.start.Destination || x.Outcome != want.outcome {
			g.errorf("the span %q has the destination %q and the outcome %q, want %q and %q",
				x.Name, x.Destination, x.Outcome, want.start.Destination, want.outcome)
		}
		g.wantAttrs("the span "+strconv.Quote(x.Name), x.Attrs, append(want.start.Attrs, later...))
	}
	if len(t.Spans) != len(all) {
		g.errorf("the message has %d spans, want %d", len(t.Spans), len(all))
	}
}

func checkSpansOverlapping(k *kit) {
	s := k.session()
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	if !canSpan(m.span) {
		return
	}
	a := s.child(m.ctx, m.span, apmws.SpanStart{Name: "first"})
	b := s.child(m.ctx, m.span, apmws.SpanStart{Name: "second"})
	a.end(apmws.SpanEnd{})
	b.end(apmws.SpanEnd{})
	const n = 16
	var all sync.WaitGroup
	for i := range n {
		x := s.child(m.ctx, m.span, apmws.SpanStart{Name: "fan " + strconv.Itoa(i)})
		k.spawn(&all, func() {
			x.end(apmws.SpanEnd{})
		})
	}
	for i := range n {
		k.spawn(&all, func() {
			s.child(m.ctx, m.span, apmws.SpanStart{Name: "out " + strconv.Itoa(i)}).end(apmws.SpanEnd{})
		})
	}
	all.Wait()
	m.end(apmws.MessageEnd{})

	g := s.sent()
	t := g.message(m)
	for _, name := range []string{"first", "second"} {
		g.wantBelow(t, name, t.SpanID)
	}
	for i := range n {
		g.span(t, "fan "+strconv.Itoa(i))
		g.span(t, "out "+strconv.Itoa(i))
	}
}

func checkSpansOutlived(k *kit) {
	s := k.session()
	m := s.openConn().message(apmws.MessageStart{})
	if !canSpan(m.span) {
		return
	}
	load := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load"})
	if !canSpan(load.span) {
		return
	}
	query := s.child(load.ctx, load.span, apmws.SpanStart{Name: "query"})
	load.end(apmws.SpanEnd{})
	query.end(apmws.SpanEnd{Time: query.start.Time.Add(time.Second), Outcome: apmws.OutcomeFailure})
	m.end(apmws.MessageEnd{})

	g := s.sent()
	t := g.message(m)
	above := g.wantBelow(t, "load", t.SpanID)
	if above.Outcome != apmws.OutcomeSuccess {
		g.errorf("the span above has the outcome %q, want its own", above.Outcome)
	}
	g.wantBelow(t, "query", above.SpanID)
}

func checkSpansIdentified(k *kit) {
	s := k.session()
	c := s.connect(context.Background(), apmws.ConnStart{})
	type asked struct {
		name string
		of   func(g *sent) *Transaction
		told apmws.SpanContext
	}
	var all []asked
	ask := func(x *child, of func(g *sent) *Transaction) {
		id, ok := x.span.(apmws.Identifier)
		if !ok {
			return
		}
		told := id.SpanContext()
		if again := id.SpanContext(); again != told {
			s.errorf("SpanContext of the span %q is %s, and then %s", x.start.Name, identified{ids: told}, identified{ids: again})
		}
		all = append(all, asked{x.start.Name, of, told})
	}
	ofConnect := func(g *sent) *Transaction { return g.connect(c) }
	if canSpan(c.span) {
		check := s.child(c.ctx, c.span, apmws.SpanStart{Name: "check", Type: "external.grpc.call", Destination: "billing.example:443"})
		ask(check, ofConnect)
		check.end(apmws.SpanEnd{})
	}
	c.opened(apmws.OpenEnd{Accepted: true})
	m := c.message(apmws.MessageStart{Remote: remote(), Continue: true})
	ofMessage := func(g *sent) *Transaction { return g.message(m) }
	if canSpan(m.span) {
		first := s.child(m.ctx, m.span, apmws.SpanStart{Name: "first", Type: "external.grpc.call", Destination: "billing.example:443"})
		second := s.child(m.ctx, m.span, apmws.SpanStart{Name: "second"})
		ask(first, ofMessage)
		ask(second, ofMessage)
		if canSpan(second.span) {
			below := s.child(second.ctx, second.span, apmws.SpanStart{Name: "below"})
			ask(below, ofMessage)
			below.end(apmws.SpanEnd{})
		}
		first.end(apmws.SpanEnd{})
		second.end(apmws.SpanEnd{})
	}
	m.end(apmws.MessageEnd{})

	g := s.sent()
	for _, x := range all {
		ids := identified{ids: x.told}
		if s.Limits.NoIDs {
			if x.told != (apmws.SpanContext{}) {
				s.errorf("SpanContext of the span %q is %s, but the back end shows no ids", x.name, ids)
			}
			continue
		}
		t := x.of(g)
		if span := g.span(t, x.name); t.TraceID != x.told.TraceIDString() || span.SpanID != x.told.SpanIDString() || !x.told.Sampled() {
			s.errorf("SpanContext of the span %q is %s, but the back end shows %s %s", x.name, ids, t.TraceID, span.SpanID)
		}
	}
}

func checkSpansForeign(k *kit) {
	s := k.session()
	c, d := s.openConn(), s.openConn()
	mine, other := c.message(apmws.MessageStart{}), d.message(apmws.MessageStart{})
	if !canSpan(mine.span) {
		return
	}
	outer := s.child(other.ctx, other.span, apmws.SpanStart{Name: "theirs"})
	s.child(other.ctx, mine.span, apmws.SpanStart{Name: "under their message"}).end(apmws.SpanEnd{})
	s.child(outer.ctx, mine.span, apmws.SpanStart{Name: "under their span"}).end(apmws.SpanEnd{})
	s.child(context.Background(), mine.span, apmws.SpanStart{Name: "under nothing"}).end(apmws.SpanEnd{})
	outer.end(apmws.SpanEnd{})
	mine.end(apmws.MessageEnd{})
	other.end(apmws.MessageEnd{})

	g := s.sent()
	t := g.message(mine)
	for _, name := range []string{"under their message", "under their span", "under nothing"} {
		g.wantBelow(t, name, t.SpanID)
	}
	if theirs := g.message(other); len(theirs.Spans) != 1 {
		g.errorf("the other message has %d spans, want its own only", len(theirs.Spans))
	}
}
