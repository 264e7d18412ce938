package elasticws

import (
	"log/slog"

	"github.com/apmws/go-apmws/apmws"
)

// Vendor implements apmws.LogCorrelator.
func (e *Exporter) Vendor() string { return "elastic" }

// LogFields implements apmws.LogCorrelator: trace.id and transaction.id, by which
// Kibana goes from a line to its transaction and back (Elastic Common Schema,
// tracing fields). There are none when the transaction is not sampled, since an
// APM Server does not keep it then.
func (e *Exporter) LogFields(ids apmws.SpanContext) []slog.Attr {
	if !ids.IsValid() || !ids.Sampled() {
		return nil
	}
	return []slog.Attr{
		slog.String("trace.id", ids.TraceIDString()),
		slog.String("transaction.id", ids.SpanIDString()),
	}
}
