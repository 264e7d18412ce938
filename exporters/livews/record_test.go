package livews

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

func TestAttributesAreCopied(t *testing.T) {
	v := New(Options{})
	scratch := []slog.Attr{slog.String("k", "right")}
	spoil := func() { scratch[0] = slog.String("k", "wrong") }
	restore := func() { scratch[0] = slog.String("k", "right") }

	_, c := v.StartConn(t.Context(), apmws.ConnStart{Time: t0, ID: "1", Attrs: scratch})
	spoil()
	c.Opened(apmws.OpenEnd{Time: t0})
	restore()
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: "m", Attrs: scratch})
	spoil()
	own := []slog.Attr{slog.String("s", "right")}
	_, s := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "s", Attrs: own})
	own[0] = slog.String("s", "wrong")
	s.End(apmws.SpanEnd{Time: t0})
	m.End(apmws.MessageEnd{Time: t0})
	restore()
	c.End(apmws.ConnEnd{Time: t0, Attrs: scratch})
	spoil()

	d := v.document(0)
	if len(d.Transactions) != 3 {
		t.Fatalf("%d transactions; want 3", len(d.Transactions))
	}
	for _, x := range d.Transactions {
		if got := attr(x.Attrs, "k"); got != "right" {
			t.Errorf("attribute of %q is %v", x.Name, got)
		}
	}
	if got := attr(d.Transactions[1].Spans[0].Attrs, "s"); got != "right" {
		t.Errorf("attribute of the span is %v", got)
	}
}

func TestAttributesAtTheEndAddToThoseAtTheStart(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Attrs: []slog.Attr{slog.Int("a", 1), slog.Int("b", 2)}})
	m.End(apmws.MessageEnd{Time: t0, Attrs: []slog.Attr{slog.Int("b", 3), slog.Int("c", 4)}})
	got := v.document(0).Transactions[0].Attrs
	want := Attributes{{"a", int64(1)}, {"b", int64(3)}, {"c", int64(4)}}
	if !slices.Equal(got, want) {
		t.Errorf("attributes %v; want %v", got, want)
	}
}

func TestLateAndDoubleEndsAreHarmless(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	opened := apmws.OpenEnd{Time: t0.Add(time.Second), Result: "HTTP 1xx", User: "u"}
	c.Opened(opened)
	opened.Result = "again"
	c.Opened(opened)
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: "m"})
	_, late := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0.Add(time.Second), Name: "late"})
	c.End(apmws.ConnEnd{Time: t0, Name: "DISCONNECT"})
	c.End(apmws.ConnEnd{Time: t0, Name: "DISCONNECT"})
	m.End(apmws.MessageEnd{Time: t0.Add(2 * time.Second), Result: "ok", Outcome: apmws.OutcomeSuccess})
	m.End(apmws.MessageEnd{Time: t0.Add(9 * time.Second), Result: "error", Outcome: apmws.OutcomeFailure})
	before := v.document(0)
	if s := before.Transactions[2].Spans[0]; s.Duration != nil {
		t.Errorf("span %+v has a duration before its end", s)
	}

	late.End(apmws.SpanEnd{Time: t0.Add(5 * time.Second), Outcome: apmws.OutcomeFailure})
	late.End(apmws.SpanEnd{Time: t0.Add(9 * time.Second), Outcome: apmws.OutcomeSuccess})
	d := v.document(0)
	if got := names(d.Transactions); !slices.Equal(got, []string{"CONNECT /ws", "DISCONNECT", "m"}) {
		t.Fatalf("transactions %q", got)
	}
	if x := d.Transactions[0]; x.Result != "HTTP 1xx" || *x.Duration != int64(time.Second) || x.User != "u" {
		t.Errorf("CONNECT %+v", x)
	}
	if x := d.Transactions[2]; x.Result != "ok" || *x.Duration != int64(2*time.Second) {
		t.Errorf("message %+v", x)
	}
	s := d.Transactions[2].Spans[0]
	if s.Offset != int64(time.Second) || *s.Duration != int64(4*time.Second) || s.Outcome != "failure" {
		t.Errorf("late span %+v", s)
	}
	if changed := v.document(before.Seq); len(changed.Transactions) != 1 || changed.Transactions[0].Name != "m" {
		t.Errorf("the late end changed %q; want m alone", names(changed.Transactions))
	}
	if d.RunningTotal != 0 || len(d.Running) != 0 {
		t.Errorf("%d in progress; want none", d.RunningTotal)
	}
}

func TestNoSpansOfConnectOnceItHasEnded(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	c.Opened(apmws.OpenEnd{Time: t0})
	ctx, s := c.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Name: "s"})
	if s != nil || ctx != t.Context() {
		t.Errorf("StartSpan returned %v", s)
	}
}

func TestACancelledContextStillRecords(t *testing.T) {
	v := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	derived, c := v.StartConn(ctx, apmws.ConnStart{Time: t0, ID: "1", Name: "CONNECT"})
	if derived != ctx {
		t.Error("StartConn returned another context")
	}
	c.Opened(apmws.OpenEnd{Time: t0})
	message(ctx, c, "m", nil)
	if got := names(v.document(0).Transactions); !slices.Equal(got, []string{"CONNECT", "m"}) {
		t.Errorf("transactions %q", got)
	}
}

func TestNilHandlesDoNothing(t *testing.T) {
	var v *View
	v.Attach(nil)
	if ctx, c := v.StartConn(t.Context(), apmws.ConnStart{}); c != nil || ctx != t.Context() {
		t.Errorf("StartConn of a nil View returned %v", c)
	}
	var c *connection
	c.Opened(apmws.OpenEnd{})
	c.End(apmws.ConnEnd{})
	if _, m := c.StartMessage(t.Context(), apmws.MessageStart{}); m != nil {
		t.Errorf("StartMessage of a nil connection returned %v", m)
	}
	var m *transaction
	m.End(apmws.MessageEnd{})
	var s *span
	s.End(apmws.SpanEnd{})
	for _, starter := range []apmws.SpanStarter{c, m, s} {
		if ctx, below := starter.StartSpan(t.Context(), apmws.SpanStart{}); below != nil || ctx != t.Context() {
			t.Errorf("StartSpan of a nil %T returned %v", starter, below)
		}
	}
}

func TestSpansAreNestedAndBounded(t *testing.T) {
	v := New(Options{MaxSpans: 3})
	c := startConn(t, v, "1")
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: "m"})
	_, a := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "a"})
	_, b := a.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "b"})
	_, e := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "e"})
	b.End(apmws.SpanEnd{Time: t0})
	a.End(apmws.SpanEnd{Time: t0})
	e.End(apmws.SpanEnd{Time: t0})
	for range 7 {
		if _, s := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "x"}); s != nil {
			t.Fatal("a span beyond the limit was kept")
		}
	}
	m.End(apmws.MessageEnd{Time: t0})
	x := v.document(0).Transactions[0]
	var got []string
	for _, s := range x.Spans {
		got = append(got, fmt.Sprintf("%d %d %s", s.Number, s.Parent, s.Name))
	}
	if want := []string{"1 0 a", "2 1 b", "3 0 e"}; !slices.Equal(got, want) || x.SpansDropped != 7 {
		t.Errorf("spans %q and %d more; want %q and 7", got, x.SpansDropped, want)
	}
}

// loud is a value of the application's own type.
type loud struct{ text string }

func (l loud) String() string { return l.text }

func TestWhatIsKeptOfOneTransactionIsBounded(t *testing.T) {
	long := strings.Repeat("é", 100000)
	attrs := []slog.Attr{
		slog.String("long", long), slog.Any("stringer", loud{long}), slog.Any("error", errors.New(long)),
		slog.String(long, "v"), slog.Group("group", slog.String("k", long)),
	}
	for i := range 100 {
		attrs = append(attrs, slog.Int(fmt.Sprint("n", i), i))
	}
	v := New(Options{})
	c := startConn(t, v, "1")
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: long, User: long, Attrs: attrs})
	for range 100 {
		_, s := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: long, Type: long, Destination: long, Attrs: attrs})
		if s != nil {
			s.End(apmws.SpanEnd{Time: t0, Attrs: attrs})
		}
	}
	m.End(apmws.MessageEnd{
		Time: t0, Result: long, User: long, Attrs: attrs, Outcome: apmws.OutcomeFailure,
		Failure: &apmws.Failure{Message: long, Type: long},
	})
	d := v.document(0)
	x := d.Transactions[0]
	if len(x.Attrs) != maxAttrs || x.AttrsDropped == 0 {
		t.Errorf("%d attributes, %d dropped; want %d and the rest", len(x.Attrs), x.AttrsDropped, maxAttrs)
	}
	if len(x.Name) > maxText || !strings.HasSuffix(x.Name, "é…") {
		t.Errorf("name %q is not cut at a character", x.Name)
	}
	if n := len(x.Error.Message); n > maxErrorText || n < maxErrorText-4 {
		t.Errorf("error's message has %d bytes", n)
	}
	data, err := d.encode()
	if err != nil {
		t.Fatal(err)
	}
	// 50 spans of 3 strings and 16 attributes, of which 5 have long strings.
	if limit := 50 * 10 * (maxText + 100); len(data) > limit {
		t.Errorf("the document has %d bytes; want less than %d", len(data), limit)
	}
}
