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

// correlate decides on the prefix of the exporter's fields: none for the first,
// its own for the others, on every line, so that a field always means the same.
func (m *member) correlate(first bool) (correlates bool) {
	correlator, ok := m.exporter.(LogCorrelator)
	if !ok {
		return false
	}
	defer m.contain()
	m.vendor = correlator.Vendor() + "."
	m.plain = first
	return true
}

// logIDs writes the fields by which the exporter's back end finds a line. later
// says that there are some already. It reports whether there are now.
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
	prefix := m.vendor
	switch {
	case !ok && later:
		return false // under which prefix?
	case !ok:
		correlator = defaultCorrelator{}
	case m.plain && !later:
		prefix = ""
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
