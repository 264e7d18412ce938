package elasticws

import (
	"strings"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// remoteContext converts a trace context that came from outside.
func remoteContext(sc apmws.SpanContext) apm.TraceContext {
	return apm.TraceContext{
		Trace:   apm.TraceID(sc.TraceID),
		Span:    apm.SpanID(sc.SpanID),
		Options: apm.TraceOptions(sc.Flags),
		State:   traceState(sc.State),
	}
}

// traceState parses the tracestate header's list (W3C Trace Context, section
// 3.3.1): Elastic's agent finds the sampling rate of the caller there.
func traceState(header string) apm.TraceState {
	if header == "" {
		return apm.TraceState{}
	}
	var entries []apm.TraceStateEntry
	for member := range strings.SplitSeq(header, ",") {
		if key, value, ok := strings.Cut(strings.Trim(member, " \t"), "="); ok {
			entries = append(entries, apm.TraceStateEntry{Key: key, Value: value})
		}
	}
	return apm.NewTraceState(entries...)
}

// spanContext returns the ids of a transaction, for log lines.
func spanContext(tx *apm.Transaction) apmws.SpanContext {
	tc := tx.TraceContext()
	return apmws.SpanContext{
		TraceID: tc.Trace,
		SpanID:  tc.Span,
		Flags:   byte(tc.Options),
	}
}

func link(sc *apmws.SpanContext) apm.SpanLink {
	return apm.SpanLink{Trace: apm.TraceID(sc.TraceID), Span: apm.SpanID(sc.SpanID)}
}
