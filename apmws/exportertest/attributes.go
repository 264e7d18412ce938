package exportertest

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// attributeRules are those about the attributes of events.
func attributeRules() []rule {
	return []rule{
		{
			"attributes",
			"every transaction, span and error has the attributes of its events: strings, booleans, and numbers of every kind",
			checkAttributes,
		},
		{
			"attributes-copied",
			"attributes are copied before the call returns, since the slice is the caller's to overwrite, and is not written to",
			checkAttributesCopied,
		},
		{
			"attributes-odd",
			"an attribute of a kind that the back end cannot hold, be it a group, NaN, nil or a value whose methods panic, is changed or dropped, and takes nothing else with it",
			checkAttributesOdd,
		},
		{
			"attributes-last",
			"an attribute that is set again has its last value",
			checkAttributesLast,
		},
		{
			"attributes-long",
			"a long string arrives, cut between characters at the declared length and nowhere else",
			checkAttributesLong,
		},
		{
			"attributes-many",
			"more attributes than the back end takes cost a transaction neither its result, link and error nor the attributes that come first",
			checkAttributesMany,
		},
	}
}

// plainAttrs are of the kinds that must arrive. The prefix makes them differ.
func plainAttrs(prefix string) []slog.Attr {
	return []slog.Attr{
		slog.String("kit.string", prefix+" grüße"),
		slog.Int("kit.int", -42),
		slog.Int64("kit.large", 3_000_000_019), // bytes of a long connection
		slog.Uint64("kit.uint", 42),
		slog.Float64("kit.float", 0.125),
		slog.Bool("kit.bool", true),
		slog.Bool("kit.false", false),
		slog.Int("kit.zero", 0),
	}
}

// lifeWith is a connection with a message, a span and an error.
type lifeWith struct {
	c     *conn
	m     *message
	spans bool
}

// lifeWith records a life whose events have the attributes that attrs returns for
// each of them.
func (s *session) lifeWith(attrs func(event string) []slog.Attr) *lifeWith {
	l := &lifeWith{}
	l.c = s.connect(context.Background(), apmws.ConnStart{Attrs: attrs("connect-start")})
	l.c.opened(apmws.OpenEnd{Accepted: true, Attrs: attrs("connect-end")})
	l.m = l.c.message(apmws.MessageStart{Attrs: attrs("message-start")})
	if l.spans = canSpan(l.m.span); l.spans {
		x := s.child(l.m.ctx, l.m.span, apmws.SpanStart{Name: "load", Attrs: attrs("span-start")})
		x.end(apmws.SpanEnd{Attrs: attrs("span-end")})
	}
	f := l.m.failure("no such room")
	f.Attrs = append(f.Attrs, attrs("error")...)
	l.m.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: f, Attrs: attrs("message-end")})
	l.c.closed(apmws.ConnEnd{Attrs: attrs("disconnect")})
	return l
}

// check demands what the events had, and what all transactions have.
func (l *lifeWith) check(g *sent, attrs func(event string) []slog.Attr) {
	connect, told, end := g.connect(l.c), g.message(l.m), g.disconnect(l.c)
	of := func(events ...string) (all []slog.Attr) {
		for _, event := range events {
			all = append(all, attrs(event)...)
		}
		return all
	}
	g.wantAttrs("CONNECT", connect.Attrs, append(common("connect", &l.c.start), of("connect-start", "connect-end")...))
	g.wantAttrs("CONNECT", connect.Attrs, []slog.Attr{slog.Int("http.response.status_code", 101)})
	g.wantAttrs("the message", told.Attrs, append(common("message", &l.c.start), of("message-start", "message-end")...))
	g.wantAttrs("DISCONNECT", end.Attrs, append(common("disconnect", &l.c.start), of("disconnect")...))
	if l.spans {
		g.wantAttrs("the span", g.span(told, "load").Attrs, of("span-start", "span-end"))
	}
	switch {
	case len(told.Errors) != 1:
		g.errorf("the failed message has %d errors, want 1", len(told.Errors))
	case !g.Limits.BareErrors:
		g.wantAttrs("the error", told.Errors[0].Attrs, append(common("message", &l.c.start), of("error")...))
	}
}

func checkAttributes(k *kit) {
	s := k.session()
	attrs := func(event string) []slog.Attr {
		if strings.HasSuffix(event, "-end") {
			return []slog.Attr{slog.String("kit.later", event)}
		}
		return plainAttrs(event)
	}
	l := s.lifeWith(attrs)
	l.check(s.sent(), attrs)
}

func checkAttributesCopied(k *kit) {
	s := k.session()
	s.reuse = true
	attrs := func(event string) []slog.Attr { return []slog.Attr{slog.String("kit."+event, event)} }
	l := s.lifeWith(attrs)
	g := s.sent()
	l.check(g, attrs)
	for _, t := range g.Transactions {
		all := []map[string]any{t.Attrs}
		for _, x := range t.Spans {
			all = append(all, x.Attrs)
		}
		for _, e := range t.Errors {
			all = append(all, e.Attrs)
		}
		for _, attrs := range all {
			if _, ok := g.attr(attrs, "kit.overwritten"); ok {
				g.errorf("%s %q shows what the caller wrote into its slice afterwards", t.Type, t.Name)
			}
		}
	}
	checkNotWritten(k)
}

// checkNotWritten looks at the caller's slice after a call.
func checkNotWritten(k *kit) {
	s := k.session()
	c := s.openConn()
	lent := make([]slog.Attr, 0, 8)
	lent = append(lent, common("message", &c.start)...)
	lent = append(lent, slog.String("kit.string", "mine"))
	behind := lent[:cap(lent)]
	before := fmt.Sprint(behind)
	_, m := c.span.StartMessage(c.ctx, apmws.MessageStart{Time: s.at(time.Second), Name: "chat.say", Weight: 1, Attrs: lent})
	if m != nil {
		m.End(apmws.MessageEnd{Time: s.at(2 * time.Second), Result: "ok", Outcome: apmws.OutcomeSuccess, Attrs: lent})
	}
	if after := fmt.Sprint(behind); after != before {
		s.errorf("the caller's slice of attributes has become %s; it was %s", after, before)
	}
}

// Values that give trouble.
type (
	resolves   struct{}
	panicValue struct{}
	endless    struct{}
	panicError struct{ text *string }
)

// LogValue implements slog.LogValuer.
func (resolves) LogValue() slog.Value { return slog.StringValue("resolved") }

// LogValue implements slog.LogValuer.
func (panicValue) LogValue() slog.Value { panic("LogValue panics") }

// LogValue implements slog.LogValuer.
func (endless) LogValue() slog.Value { return slog.AnyValue(endless{}) }

// Error implements error. It panics for nil and where there is no text.
func (e *panicError) Error() string { return *e.text }

// MarshalJSON implements json.Marshaler.
func (e *panicError) MarshalJSON() ([]byte, error) { return nil, e }

// oddAttrs are of the kinds that need not arrive.
func oddAttrs(event string) []slog.Attr {
	var nilError *panicError
	some := []slog.Attr{
		slog.Group("kit.group", slog.String("a", "b"), slog.Group("deep", slog.Int("c", 1))),
		slog.Any("kit.valuer", resolves{}),
		slog.Float64("kit.nan", math.NaN()),
		slog.Any("kit.nil", nil),
		slog.Any("kit.panics", &panicError{}),
		slog.Duration("kit.duration", 1500*time.Millisecond),
	}
	if strings.HasPrefix(event, "span") || strings.HasSuffix(event, "-end") {
		return some
	}
	return append(some,
		slog.Group("", slog.String("kit.inlined", "x")),
		slog.Any("kit.valuer.panics", panicValue{}),
		slog.Any("kit.valuer.endless", endless{}),
		slog.Any("kit.error.nil", nilError),
		slog.Time("kit.time", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)),
		slog.Float64("kit.infinite", math.Inf(-1)),
		slog.Uint64("kit.huge", math.MaxUint64),
		slog.Any("kit.func", func() {}),
		slog.Any("kit.map", map[string]any{"a": []int{1}}),
		slog.String("kit.invalid", "\xff\xfe\x00"),
		slog.String("", "no key"),
		slog.Attr{},
	)
}

func checkAttributesOdd(k *kit) {
	s := k.session()
	mark := func(event string) []slog.Attr { return []slog.Attr{slog.String("kit.mark."+event, event)} }
	l := s.lifeWith(func(event string) []slog.Attr { return append(oddAttrs(event), mark(event)...) })
	g := s.sent()
	l.check(g, mark)
	told := g.message(l.m)
	if value, ok := g.attr(told.Attrs, "kit.valuer"); ok && value != "resolved" {
		g.errorf("the LogValuer has arrived as %v, want what it resolves to or nothing", value)
	}
	for _, key := range []string{"kit.nan", "kit.infinite"} {
		if value, ok := g.attr(told.Attrs, key); ok {
			if f, number := value.(float64); number && !math.IsNaN(f) && !math.IsInf(f, 0) {
				g.errorf("%s has become the number %v", key, f)
			}
		}
	}
}

func checkAttributesLast(k *kit) {
	s := k.session()
	c := s.connect(context.Background(), apmws.ConnStart{Attrs: []slog.Attr{slog.String("kit.tenant", "first")}})
	last := []slog.Attr{slog.String("kit.tenant", "last")}
	c.opened(apmws.OpenEnd{Accepted: true, Attrs: last})
	m := c.message(apmws.MessageStart{Attrs: []slog.Attr{slog.String("kit.tenant", "first")}})
	m.end(apmws.MessageEnd{Attrs: last})
	g := s.sent()
	g.wantAttrs("CONNECT", g.connect(c).Attrs, last)
	g.wantAttrs("the message", g.message(m).Attrs, last)
}

func checkAttributesLong(k *kit) {
	s := k.session()
	limit := s.Limits.MaxString
	setDefault(&limit, 1000)
	long := []slog.Attr{
		slog.String("kit.fits", strings.Repeat("f", limit)),
		slog.String("kit.long", strings.Repeat("l", limit/2)+strings.Repeat("é", limit)),
		slog.String("kit.odd", "o"+strings.Repeat("é", limit)), // or the cut is in the middle here
	}
	c := s.openConn()
	m := c.message(apmws.MessageStart{Attrs: long})
	m.end(apmws.MessageEnd{})
	g := s.sent()
	g.wantAttrs("the message", g.message(m).Attrs, long)
}

func checkAttributesMany(k *kit) {
	s := k.session()
	l := s.lifeWith(func(event string) (many []slog.Attr) {
		if event == "connect-start" {
			return nil // those of its end come first
		}
		const n = 100
		for i := range n {
			many = append(many, slog.Int(fmt.Sprintf("kit.%s.%d", event, i), i))
		}
		return many
	})
	g := s.sent()
	l.check(g, func(string) []slog.Attr { return nil })
	connect, told, end := g.connect(l.c), g.message(l.m), g.disconnect(l.c)
	g.want(connect, "CONNECT /rooms/{id}", "HTTP 1xx", apmws.OutcomeSuccess)
	g.want(told, "chat.say", "error", apmws.OutcomeFailure)
	g.want(end, "DISCONNECT /rooms/{id}", "normal", apmws.OutcomeSuccess)
	if !g.Limits.NoIDs {
		g.wantOwnConnect(told, connect)
		g.wantOwnConnect(end, connect)
	}
}
