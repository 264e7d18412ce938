package apmws

import (
	"log/slog"

	"github.com/rs/zerolog"
)

// logIDs implements identified.
func (c *multiConn) logIDs(e *zerolog.Event) {
	if c == nil {
		return
	}
	later := false
	for i := range c.spans {
		later = c.spans[i].member.logIDs(e, c.spans[i].span, c.shard, later) || later
	}
}

// logIDs implements identified.
func (h *handles) logIDs(e *zerolog.Event) {
	if h == nil {
		return
	}
	later := false
	for i := range h.n {
		later = h.at(i).member.logIDs(e, h.at(i).span, h.shard, later) || later
	}
}

// logIDs writes the fields by which the exporter's back end finds a line, under
// its own prefix when those of another are there already. It reports whether
// there were any.
func (m *member) logIDs(e *zerolog.Event, handle any, shard int, later bool) (written bool) {
	id, ok := handle.(Identifier)
	if !ok || m.off() {
		return false
	}
	call := m.gate.enter(shard)
	if call == nil {
		return false
	}
	defer m.leave(call)
	correlator, ok := m.exporter.(LogCorrelator)
	if !ok {
		if later {
			return false // under which prefix?
		}
		correlator = defaultCorrelator{}
	}
	prefix := ""
	if later {
		prefix = correlator.Vendor() + "."
	}
	for _, field := range correlator.LogFields(id.SpanContext()) {
		e.Str(prefix+field.Key, field.Value.String())
		written = true
	}
	return written
}

// defaultCorrelator is that of exporters without one.
type defaultCorrelator struct{}

// Vendor implements LogCorrelator.
func (defaultCorrelator) Vendor() string { return "" }

// LogFields implements LogCorrelator.
func (defaultCorrelator) LogFields(ids SpanContext) []slog.Attr {
	if !ids.Sampled() || !ids.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace.id", ids.TraceIDString()), slog.String("transaction.id", ids.SpanIDString())}
}
