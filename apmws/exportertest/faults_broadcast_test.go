package exportertest

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func broadcastFaults() []fault {
	editBroadcasts := func(edit func(t *Transaction)) func(*Telemetry) {
		return editEach(semconv.TypeMessage, func(t *Transaction) {
			if strings.HasPrefix(t.Name, "broadcast ") {
				edit(t)
			}
		})
	}
	ending := func(change func(b *shimBroadcast, e *apmws.MessageEnd)) func() hooks {
		return always(hooks{spread: func(b *shimBroadcast, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
			change(b, &e)
			next(e)
		}})
	}
	within := func(choose func(parent any, e *apmws.MessageStart) any) func() hooks {
		return always(hooks{broadcast: func(_ *shimBroadcast, parent any, e *apmws.MessageStart) any { return choose(parent, e) }})
	}
	const broken = "broadcast"
	return []fault{
		{name: "broadcasts are lost", broken: []string{broken}, edit: remove(func(t *Transaction) bool { return strings.HasPrefix(t.Name, "broadcast ") })},
		{name: "broadcasts twice", broken: []string{broken}, hooks: always(hooks{
			spread: func(b *shimBroadcast, e apmws.MessageEnd, next func(apmws.MessageEnd)) {
				next(e)
				b.s.recorder.StartBroadcast(context.Background(), nil, b.start).End(e)
			},
		})},
		{name: "broadcasts have the name of the message", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) { t.Name = "chat.say" })},
		{name: "broadcasts are ok", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) { t.Result = "ok" })},
		{name: "broadcasts succeed", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) { t.Outcome = apmws.OutcomeSuccess })},
		{name: "the end of a broadcast has no attributes", broken: []string{broken}, hooks: ending(func(_ *shimBroadcast, e *apmws.MessageEnd) { e.Attrs = nil })},
		{name: "the start of a broadcast has no attributes", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) { delete(t.Attrs, semconv.MessageDirection) })},
		{name: "broadcasts are of a connection", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) { t.Attrs[semconv.ConnectionID] = "" })},
		{name: "broadcasts are linked", broken: []string{broken}, edit: editBroadcasts(func(t *Transaction) {
			t.Links = append(t.Links, Link{t.TraceID, t.SpanID})
		})},
		{name: "broadcasts make errors", broken: []string{broken}, hooks: ending(func(_ *shimBroadcast, e *apmws.MessageEnd) {
			e.Failure = &apmws.Failure{Message: "failed", Type: "broadcast", Attrs: []slog.Attr{}}
		})},
		{name: "broadcasts take no time", broken: []string{broken}, hooks: ending(func(b *shimBroadcast, e *apmws.MessageEnd) { e.Time = b.start.Time })},
		{name: "broadcasts start late", broken: []string{broken}, hooks: within(func(parent any, e *apmws.MessageStart) any {
			e.Time = e.Time.Add(time.Second)
			return parent
		})},
		{name: "broadcasts have no weight", broken: []string{broken}, hooks: within(func(parent any, e *apmws.MessageStart) any {
			e.Sampled = false
			return parent
		})},
		{name: "broadcasts are roots", broken: []string{"broadcast-trace"}, hooks: within(func(any, *apmws.MessageStart) any { return nil })},
		{name: "broadcasts continue nothing", broken: []string{"broadcast-trace"}, hooks: within(func(parent any, e *apmws.MessageStart) any {
			e.Continue = false
			return parent
		})},
		{name: "a trace context outranks what a broadcast happens in", broken: []string{"broadcast-trace"}, hooks: within(func(parent any, e *apmws.MessageStart) any {
			if e.Continue {
				return nil
			}
			return parent
		})},
		{name: "broadcasts in spans are below the message", broken: []string{"broadcast-trace"}, hooks: within(func(parent any, _ *apmws.MessageStart) any {
			if span, ok := parent.(*shimSpan); ok {
				return span.root.inner
			}
			return parent
		})},
		{name: "broadcasts are in the trace without the parent", broken: []string{"broadcast-trace"}, edit: editBroadcasts(func(t *Transaction) { t.ParentID = "" })},
	}
}
