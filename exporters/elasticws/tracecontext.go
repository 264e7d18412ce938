package elasticws

import (
	"strconv"
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

// minSampleRate is the lowest rate other than 0 that Elastic's agents send: they
// round to four decimals.
const minSampleRate = 0.0001

// traceState parses the tracestate header's list (W3C Trace Context, section
// 3.3.1): Elastic's agent finds the sampling rate of the caller there, and sends
// it with the transaction and its spans. A member whose rate no agent of Elastic's
// has written is left out, since anybody may send the header.
func traceState(header string) apm.TraceState {
	if header == "" {
		return apm.TraceState{}
	}
	var entries []apm.TraceStateEntry
	for member := range strings.SplitSeq(header, ",") {
		key, value, ok := strings.Cut(strings.Trim(member, " \t"), "=")
		if entry := (apm.TraceStateEntry{Key: key, Value: value}); ok && (key != "es" || hasSampleRate(entry)) {
			entries = append(entries, entry)
		}
	}
	return apm.NewTraceState(entries...)
}

// hasSampleRate reports whether Elastic's member holds a rate that may be used.
// The agent itself takes NaN, which JSON cannot hold, and 1e-300, by which the
// server would count one transaction as 1e300.
func hasSampleRate(es apm.TraceStateEntry) bool {
	if apm.NewTraceState(es).Validate() != nil {
		return false
	}
	found := false
	for field := range strings.SplitSeq(es.Value, ";") {
		value, ok := strings.CutPrefix(field, "s:")
		if !ok {
			continue
		}
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil || rate != 0 && !(rate >= minSampleRate && rate <= 1) { // NaN is not in between
			return false
		}
		found = true
	}
	return found
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
