package exportertest

import (
	"fmt"
	"log/slog"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// wantSame checks that the back end has what a Recorder beside the exporter has
// recorded of an agent. Without spans those are not compared.
func (g *sent) wantSame(reference []Transaction, spans bool) {
	for i := range reference {
		want := &reference[i]
		id, _ := want.Attrs[semconv.ConnectionID].(string)
		var found []*Transaction
		for _, t := range g.of(want.Type, id) {
			size, _ := g.attr(t.Attrs, semconv.MessageLength)
			if length, ok := want.Attrs[semconv.MessageLength].(float64); !ok || isNumber(size, length) {
				found = append(found, t)
			}
		}
		if len(found) != 1 {
			g.errorf("%d transactions of %s %q, want 1, among %s", len(found), want.Type, want.Name, g.listed())
			continue
		}
		g.wantLike(found[0], want, spans)
	}
}

// wantLike compares a transaction with the Recorder's.
func (g *sent) wantLike(t, want *Transaction, spans bool) {
	what := fmt.Sprintf("%s %q", want.Type, want.Name)
	g.want(t, want.Name, want.Result, want.Outcome)
	g.wantTimesWithin(watchedSlack, what, t.Start, want.Start, t.Duration, want.Duration)
	g.wantAttrs(what, t.Attrs, attrsOf(want.Attrs))
	if t.User != want.User {
		g.errorf("%s has the user %q, want %q", what, t.User, want.User)
	}
	if len(t.Errors) != len(want.Errors) {
		g.errorf("%s has %d errors, want %d", what, len(t.Errors), len(want.Errors))
	} else {
		for i := range want.Errors {
			g.wantErrorLike(what, &t.Errors[i], &want.Errors[i])
		}
	}
	if !spans {
		return
	}
	if len(t.Spans) != len(want.Spans) {
		g.errorf("%s has %d spans, want %d", what, len(t.Spans), len(want.Spans))
		return
	}
	for i := range want.Spans {
		x, y := g.span(t, want.Spans[i].Name), &want.Spans[i]
		if x.Destination != y.Destination || x.Outcome != y.Outcome {
			g.errorf("the span %q has the destination %q and the outcome %q, want %q and %q", y.Name, x.Destination, x.Outcome, y.Destination, y.Outcome)
		}
		if above, wantAbove := nameOf(t, x.ParentID), nameOf(want, y.ParentID); above != wantAbove {
			g.errorf("the span %q of %s is below %q, want %q", y.Name, what, above, wantAbove)
		}
		g.wantAttrs(fmt.Sprintf("the span %q", y.Name), x.Attrs, attrsOf(y.Attrs))
	}
}

func (g *sent) wantErrorLike(what string, e, want *Error) {
	if e.Message != want.Message || e.Type != want.Type {
		g.errorf("the error of %s is %q of the type %q, want %q of %q", what, e.Message, e.Type, want.Message, want.Type)
	}
	if g.Limits.BareErrors {
		return
	}
	g.wantAttrs("the error of "+what, e.Attrs, attrsOf(want.Attrs))
	if want.Stack != "" && !hasFunction(e.Stack, "thatPanics") {
		g.errorf("the stack of the error of %s does not name the function that panicked: %q", what, e.Stack)
	}
}

// nameOf names the transaction or the span with that id.
func nameOf(t *Transaction, id string) string {
	if id == t.SpanID {
		return t.Type
	}
	for i := range t.Spans {
		if t.Spans[i].SpanID == id {
			return t.Spans[i].Name
		}
	}
	return "something else"
}

// attrsOf returns the Recorder's attributes as they were. The client's address
// is left out: back ends have fields of their own for it, and ideas of their own
// about it.
func attrsOf(attrs map[string]any) (list []slog.Attr) {
	for key, value := range attrs {
		if key != semconv.ClientAddress {
			list = append(list, slog.Any(key, value))
		}
	}
	return list
}
