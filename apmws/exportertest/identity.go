package exportertest

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// identityRules are those about ids that leave the exporter.
func identityRules() []rule {
	return []rule{
		{
			"identifier",
			"SpanContext returns the ids that the back end shows, always the same, from the start until after the end, on any goroutine; where the back end shows none, the zero SpanContext",
			checkIdentifier,
		},
		{
			"log-fields",
			"LogFields returns strings that name the transaction by ids found in the back end, and no ids for the zero SpanContext; Vendor is always the same, a prefix without its dot",
			checkLogFields,
		},
	}
}

// identified is a handle with the ids that it has told.
type identified struct {
	what   string
	handle any
	ids    apmws.SpanContext
	of     func(g *sent) *Transaction
}

// String implements fmt.Stringer.
func (x identified) String() string {
	return fmt.Sprintf("%s %s, flags %d", x.ids.TraceIDString(), x.ids.SpanIDString(), x.ids.Flags)
}

// identifiedLife records a connection with two messages and returns the handles
// that have ids, asked at once.
func (s *session) identifiedLife() (found []identified, end func()) {
	c := s.openConn()
	m, failed := c.message(apmws.MessageStart{}), c.message(apmws.MessageStart{Remote: remote(), Continue: true})
	for _, x := range []identified{
		{what: "CONNECT", handle: c.span, of: func(g *sent) *Transaction { return g.connect(c) }},
		{what: "a message", handle: m.span, of: func(g *sent) *Transaction { return g.message(m) }},
		{what: "a message that continues a trace", handle: failed.span, of: func(g *sent) *Transaction { return g.message(failed) }},
	} {
		if id, ok := x.handle.(apmws.Identifier); ok {
			x.ids = id.SpanContext()
			found = append(found, x)
		}
	}
	return found, func() {
		m.end(apmws.MessageEnd{})
		failed.failed("no such room")
		c.closed(apmws.ConnEnd{})
	}
}

func checkIdentifier(k *kit) {
	s := k.session()
	found, end := s.identifiedLife()
	same := func(when string) {
		for _, x := range found {
			if now := x.handle.(apmws.Identifier).SpanContext(); now != x.ids {
				s.errorf("SpanContext of %s is %s %s, but was %s", x.what, identified{ids: now}, when, x)
			}
		}
	}
	same("a second time")
	var all sync.WaitGroup
	for range 4 {
		k.spawn(&all, func() {
			same("on another goroutine")
		})
	}
	end()
	all.Wait()
	same("after the end")
	other := s.openConn() // which may use what has ended
	other.message(apmws.MessageStart{}).end(apmws.MessageEnd{})
	same("after the end, with others under way")

	g := s.sent()
	for _, x := range found {
		switch t := x.of(g); {
		case s.Limits.NoIDs && x.ids != apmws.SpanContext{}:
			s.errorf("SpanContext of %s is %s, but the back end shows no ids", x.what, x)
		case s.Limits.NoIDs:
		case t.TraceID != x.ids.TraceIDString() || t.SpanID != x.ids.SpanIDString():
			s.errorf("SpanContext of %s is %s, but the back end shows %s %s", x.what, x, t.TraceID, t.SpanID)
		}
	}
	same("after it has been sent")
}

func checkLogFields(k *kit) {
	s := k.session()
	correlator, ok := s.Exporter.(apmws.LogCorrelator)
	if !ok {
		return
	}
	vendor := correlator.Vendor()
	if vendor == "" || strings.HasSuffix(vendor, ".") || vendor != correlator.Vendor() {
		s.errorf("Vendor returns %q, then %q", vendor, correlator.Vendor())
	}
	for _, field := range correlator.LogFields(apmws.SpanContext{}) {
		if isID(field.Value.String()) {
			s.errorf("LogFields of no transaction returns %s = %s", field.Key, field.Value)
		}
	}
	found, end := s.identifiedLife()
	fields := make([][]slog.Attr, len(found))
	for i, x := range found {
		fields[i] = correlator.LogFields(x.ids)
	}
	end()
	g := s.sent()
	for i, x := range found {
		t := x.of(g)
		named := false
		for _, field := range fields[i] {
			value := field.Value.String()
			named = named || value == t.TraceID || value == t.SpanID
			switch {
			case field.Key == "" || field.Value.Kind() != slog.KindString:
				s.errorf("LogFields of %s returns %s = %v, want a string with a key", x.what, field.Key, field.Value)
			case isID(value) && value != t.TraceID && value != t.SpanID:
				s.errorf("LogFields of %s returns %s = %s, but the back end shows %s %s", x.what, field.Key, value, t.TraceID, t.SpanID)
			}
		}
		if !named && !s.Limits.NoIDs {
			s.errorf("LogFields of %s returns none of its ids: %v", x.what, fields[i])
		}
	}
}

// isID reports whether a text looks like a trace's or a span's id.
func isID(text string) bool { return isHex(text, 16) || isHex(text, 8) }
