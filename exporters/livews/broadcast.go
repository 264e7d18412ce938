package livews

import (
	"context"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// StartBroadcast implements apmws.Broadcaster. A broadcast is of no connection, and
// its route is known when it has ended.
func (v *View) StartBroadcast(_ context.Context, _ any, start apmws.MessageStart) apmws.MessageSpan {
	if v == nil {
		return nil
	}
	t := (&connection{view: v}).transaction(semconv.TypeMessage, start.Name, start.Time)
	t.attrs.set(start.Attrs)
	v.history.begin(t)
	return broadcast{t}
}

// broadcast is the handle of one.
type broadcast struct{ *transaction }

// End implements apmws.MessageSpan.
func (b broadcast) End(end apmws.MessageEnd) {
	b.setRoute(&end)
	b.transaction.End(end)
}

func (t *transaction) setRoute(end *apmws.MessageEnd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, attr := range end.Attrs {
		if attr.Key == semconv.Route && !t.ended {
			t.route = cut(attr.Value.String(), maxText)
		}
	}
}
