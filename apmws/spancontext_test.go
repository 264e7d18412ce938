package apmws

import (
	"context"
	"net/http"
	"testing"
)

// TestSpanContextFromContext: what is innermost and has not ended.
func TestSpanContextFromContext(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	expect := func(what string, ctx context.Context, want SpanContext) {
		t.Helper()
		if got := SpanContextFromContext(ctx); got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	idsOf := func(n int) SpanContext { return rec.wait(t, "span", n)[n-1].ids }
	connect := c.scope.live.Load().parent.(*multiConn).spans[0].span.(Identifier).SpanContext()

	expect("no connection", t.Context(), SpanContext{})
	expect("CONNECT", c.scope, connect)
	within, span := StartSpan(c.scope, "authenticate", SpanOptions{})
	expect("a span of CONNECT", within, idsOf(1))
	span.End(nil)
	expect("CONNECT, when the span has ended", within, connect)
	c.accepted()
	expect("CONNECT has ended", c.scope, SpanContext{})
	expect("and so has what was below", within, SpanContext{})

	ctx, tx := StartMessage(c.scope, MessageInfo{})
	message := tx.spans.at(0).span.(Identifier).SpanContext()
	expect("a message", ctx, message)
	expect("a context derived from it", context.WithValue(ctx, vendorKey{}, nil), message)
	outerCtx, outer := StartSpan(ctx, "outer", SpanOptions{})
	innerCtx, inner := StartSpan(outerCtx, "inner", SpanOptions{})
	expect("the outer span", outerCtx, idsOf(2))
	expect("the inner span", innerCtx, idsOf(3))
	if sc := SpanContextFromContext(innerCtx); sc.State != "kit=1" {
		t.Errorf("the state is %q", sc.State)
	}
	inner.End(nil)
	expect("the outer span, when the inner has ended", innerCtx, idsOf(2))
	outer.End(nil)
	expect("the message, when both have ended", innerCtx, message)
	expect("the message itself", ctx, message)
	tx.End(nil)
	expect("the message has ended", ctx, SpanContext{})
	expect("and so has what was below it", innerCtx, SpanContext{})
}

// TestSpanContextOfTheFirst: it is that of the first exporter that has one, and a
// panic there is contained.
func TestSpanContextOfTheFirst(t *testing.T) {
	j := &journal{}
	agent := New(Options{Exporters: []Exporter{
		nopExporter{}, // which is no Identifier
		&witness{name: "none", journal: j},
		&witness{name: "faulty", journal: j, faults: map[string]fault{"SpanContext": panics}},
		&witness{name: "has", journal: j, ids: sampled(3)},
		&witness{name: "late", journal: j, ids: sampled(4)},
	}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	if got := SpanContextFromContext(c.scope); got != sampled(3) {
		t.Errorf("of CONNECT: %+v", got)
	}
	c.accepted()
	ctx, tx := StartMessage(c.scope, MessageInfo{})
	defer tx.End(nil)
	if got := SpanContextFromContext(ctx); got != sampled(3) {
		t.Errorf("of the message: %+v", got)
	}
	if n := j.count("late.SpanContext"); n != 0 {
		t.Errorf("the last was asked %d times", n)
	}
}

// TestSpanContextOfNothing: nothing is sent on where nothing is recorded; what an
// exporter has not sampled says so itself.
func TestSpanContextOfNothing(t *testing.T) {
	unsampled := sampled(5)
	unsampled.Flags = 0
	for _, test := range []struct {
		name string
		opts Options
		want SpanContext
	}{
		{"no exporter", Options{}, SpanContext{}},
		{"an exporter without ids", Options{Exporters: []Exporter{nopExporter{}}}, SpanContext{}},
		{"one that has not sampled it", Options{Exporters: []Exporter{&witness{name: "w", journal: &journal{}, ids: unsampled}}}, unsampled},
		{"not chosen", Options{
			Exporters: []Exporter{&witness{name: "w", journal: &journal{}, ids: sampled(5)}},
			Sampling:  &Sampling{},
		}, SpanContext{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			agent := New(test.opts)
			c := agent.connect(agent.route("/ws"), upgradeRequest())
			c.accepted()
			ctx, tx := StartMessage(c.scope, MessageInfo{})
			defer tx.End(nil)
			if got := SpanContextFromContext(ctx); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
	agent := New(Options{Exporters: []Exporter{newRecorder()}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.refuse(refusal{status: http.StatusForbidden})
	if got := SpanContextFromContext(c.scope); got != (SpanContext{}) {
		t.Errorf("of a handshake that was refused: %+v", got)
	}
}
