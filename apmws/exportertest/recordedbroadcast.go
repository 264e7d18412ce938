package exportertest

import (
	"context"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// StartBroadcast implements apmws.Broadcaster.
func (r *Recorder) StartBroadcast(_ context.Context, parent any, start apmws.MessageStart) apmws.MessageSpan {
	var above apmws.SpanContext
	if start.Continue {
		above = start.Remote
	}
	if within, ok := parent.(apmws.Identifier); ok { // of this package
		above = within.SpanContext()
	}
	m := &recorderMessage{r: r, message: newRecorded(semconv.TypeMessage, start.Name, start.Time, above)}
	if start.Sampled {
		m.message.Weight = start.Weight
	}
	setAttrs(m.message.Attrs, start.Attrs)
	return m
}
