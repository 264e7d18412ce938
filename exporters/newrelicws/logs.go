package newrelicws

import (
	"log/slog"

	"github.com/apmws/go-apmws/apmws"
)

// Names of New Relic's logs in context, and of the transaction's ids in events.
const (
	fieldTraceID    = "trace.id"
	fieldSpanID     = "span.id"
	fieldEntityGUID = "entity.guid"
	fieldEntityName = "entity.name"
	fieldEntityType = "entity.type"
	fieldHostname   = "hostname"
)

// entity is the application as New Relic knows it.
type entity struct{ guid, name, hostname string }

// Vendor implements apmws.LogCorrelator: the prefix is "newrelic".
func (e *Exporter) Vendor() string { return "newrelic" }

// LogFields implements apmws.LogCorrelator with the fields of New Relic's logs in
// context: trace.id, the span's id when there are spans to be found, and the
// entity. There are none for a transaction that was not recorded. The fields are
// all that is done for log lines: the agent's own way of attaching a line to a
// transaction takes 886 KB per transaction.
func (e *Exporter) LogFields(ids apmws.SpanContext) []slog.Attr {
	if e.app == nil || ids.TraceID == [16]byte{} {
		return nil
	}
	fields := make([]slog.Attr, 0, 6)
	fields = append(fields, slog.String(fieldTraceID, ids.TraceIDString()))
	if ids.SpanID != [8]byte{} {
		fields = append(fields, slog.String(fieldSpanID, ids.SpanIDString()))
	}
	if entity := e.entityOf(); entity != nil {
		fields = append(fields,
			slog.String(fieldEntityGUID, entity.guid),
			slog.String(fieldEntityName, entity.name),
			slog.String(fieldEntityType, "SERVICE"),
			slog.String(fieldHostname, entity.hostname))
	}
	return fields
}

// entityOf asks the agent until it knows, and never when it is not connected: it
// would write an error line.
func (e *Exporter) entityOf() *entity {
	if known := e.entity.Load(); known != nil {
		return known
	}
	if !e.connected() {
		return nil
	}
	found := e.app.GetLinkingMetadata()
	if found.EntityGUID == "" {
		return nil
	}
	e.entity.Store(&entity{guid: found.EntityGUID, name: found.EntityName, hostname: found.Hostname})
	return e.entity.Load()
}
