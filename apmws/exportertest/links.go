package exportertest

import (
	"context"
	"log/slog"
	"slices"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// linkRules are those about how transactions belong together.
func linkRules() []rule {
	return []rule{
		{
			"roots",
			"CONNECT without a remote parent, each message and DISCONNECT are roots of traces of their own, whatever transaction the context carries",
			checkRoots,
		},
		{
			"links",
			"messages and DISCONNECT are linked to the CONNECT of their connection, or carry its ids where there are no links",
			checkLinks,
		},
		{
			"links-remote",
			"a message that came with a trace context and does not continue it is linked to that, or carries its ids where there are no links",
			checkLinksRemote,
		},
		{
			"continue",
			"CONNECT, and a message that is to continue, are children of the trace context that came with them, in its trace",
			checkContinue,
		},
	}
}

func checkRoots(k *kit) {
	s := k.session()
	if s.Limits.NoIDs {
		return
	}
	a := s.openConn()
	first := a.message(apmws.MessageStart{})
	within := a.tryMessage(first.ctx, apmws.MessageStart{})
	if within.ctx == nil || within.span == nil {
		s.fatalf("StartMessage returned no context or no handle under a message's context")
	}
	within.end(apmws.MessageEnd{})
	first.end(apmws.MessageEnd{})
	a.closed(apmws.ConnEnd{})
	b := s.openConn()
	b.closed(apmws.ConnEnd{})

	g := s.sent()
	roots := []*Transaction{
		g.connect(a), g.connect(b), g.message(first), g.message(within), g.disconnect(a), g.disconnect(b),
	}
	traces, spans := make(map[string]bool), make(map[string]bool)
	for _, t := range roots {
		if t.ParentID != "" {
			g.errorf("%s has the parent %s, want none", t.Type, t.ParentID)
		}
		traces[t.TraceID], spans[t.SpanID] = true, true
	}
	if len(traces) != len(roots) || len(spans) != len(roots) {
		g.errorf("%d transactions have %d trace ids and %d span ids, want one each", len(roots), len(traces), len(spans))
	}
}

// wantLink checks that a transaction is linked to another one, or has its ids in
// attributes of those names.
func (g *sent) wantLink(t *Transaction, to Link, traceAttr, spanAttr string) {
	if g.Limits.NoLinks {
		g.wantAttrs(t.Type, t.Attrs, []slog.Attr{slog.String(traceAttr, to.TraceID), slog.String(spanAttr, to.SpanID)})
		return
	}
	if !slices.Contains(t.Links, to) {
		g.errorf("%s has the links %v, want one to %v", t.Type, t.Links, to)
	}
}

// wantOwnConnect checks the link to CONNECT.
func (g *sent) wantOwnConnect(t, connect *Transaction) {
	g.wantLink(t, Link{connect.TraceID, connect.SpanID}, semconv.ConnectTraceID, semconv.ConnectSpanID)
}

func checkLinks(k *kit) {
	s := k.session()
	if s.Limits.NoIDs {
		return
	}
	a := s.openConn()
	b := s.connect(context.Background(), apmws.ConnStart{Remote: remote()})
	b.opened(apmws.OpenEnd{Accepted: true})
	ofA, ofB := a.message(apmws.MessageStart{}), b.message(apmws.MessageStart{})
	continued := a.message(apmws.MessageStart{Remote: remote(), Continue: true})
	for _, m := range []*message{ofA, ofB, continued} {
		m.end(apmws.MessageEnd{})
	}
	a.closed(apmws.ConnEnd{})
	b.closed(apmws.ConnEnd{})

	g := s.sent()
	for _, t := range []*Transaction{g.message(ofA), g.message(continued), g.disconnect(a)} {
		g.wantOwnConnect(t, g.connect(a))
	}
	for _, t := range []*Transaction{g.message(ofB), g.disconnect(b)} {
		g.wantOwnConnect(t, g.connect(b))
	}
}

// linkOf returns what a link to a span has.
func linkOf(sc apmws.SpanContext) Link { return Link{sc.TraceIDString(), sc.SpanIDString()} }

func checkLinksRemote(k *kit) {
	s := k.session()
	if s.Limits.NoIDs {
		return
	}
	c := s.openConn()
	from := remote()
	ordinary := c.message(apmws.MessageStart{Remote: from})
	ordinary.end(apmws.MessageEnd{})
	sampled := c.message(apmws.MessageStart{Remote: from, Sampled: true, Weight: 4})
	sampled.end(apmws.MessageEnd{})
	alone := c.message(apmws.MessageStart{})
	alone.end(apmws.MessageEnd{})

	g := s.sent()
	for _, m := range []*message{ordinary, sampled} {
		t := g.message(m)
		g.wantLink(t, linkOf(from), semconv.MessageTraceID, semconv.MessageSpanID)
		g.wantOwnConnect(t, g.connect(c))
		if t.TraceID == from.TraceIDString() || t.ParentID != "" {
			g.errorf("a message that was not to continue has the trace %s and the parent %q", t.TraceID, t.ParentID)
		}
	}
	t := g.message(alone)
	if _, ok := g.attr(t.Attrs, semconv.MessageTraceID); ok || !g.Limits.NoLinks && len(t.Links) != 1 {
		g.errorf("a message without a trace context has the links %v and attributes %v, want one link to CONNECT", t.Links, t.Attrs)
	}
}

func checkContinue(k *kit) {
	s := k.session()
	if s.Limits.NoIDs {
		return
	}
	connectFrom, messageFrom := remote(), remote()
	c := s.connect(context.Background(), apmws.ConnStart{Remote: connectFrom})
	c.opened(apmws.OpenEnd{Accepted: true})
	m := c.message(apmws.MessageStart{Remote: messageFrom, Continue: true})
	m.end(apmws.MessageEnd{})
	sampled := c.message(apmws.MessageStart{Remote: messageFrom, Continue: true, Sampled: true, Weight: 1})
	sampled.end(apmws.MessageEnd{})
	nothing := c.message(apmws.MessageStart{Continue: true})
	nothing.end(apmws.MessageEnd{})

	g := s.sent()
	for _, x := range []struct {
		what string
		t    *Transaction
		from apmws.SpanContext
	}{
		{"CONNECT", g.connect(c), connectFrom},
		{"a message", g.message(m), messageFrom},
		{"a sampled message", g.message(sampled), messageFrom},
	} {
		if x.t.TraceID != x.from.TraceIDString() || x.t.ParentID != x.from.SpanIDString() {
			g.errorf("%s has the trace %s and the parent %q, want %s and %s",
				x.what, x.t.TraceID, x.t.ParentID, x.from.TraceIDString(), x.from.SpanIDString())
		}
	}
	if t := g.message(nothing); t.ParentID != "" {
		g.errorf("a message with nothing to continue has the parent %s", t.ParentID)
	}
}
