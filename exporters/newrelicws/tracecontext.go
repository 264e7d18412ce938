package newrelicws

import (
	"encoding/hex"
	"net/http"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// accept makes a transaction continue a trace. It must be called before anything
// else that concerns the trace, such as asking for its ids.
func (e *Exporter) accept(tx *newrelic.Transaction, remote *apmws.SpanContext, transport newrelic.TransportType) {
	if !e.traces || !remote.IsValid() {
		return
	}
	// The agent looks the keys up as they are, so they must be canonical.
	header := http.Header{newrelic.DistributedTraceW3CTraceParentHeader: {remote.TraceParent()}}
	if remote.State != "" {
		header[newrelic.DistributedTraceW3CTraceStateHeader] = []string{remote.State}
	}
	tx.AcceptDistributedTraceHeaders(transport, header)
}

// identify returns a transaction's ids, as far as something with them will be
// found in New Relic: the span id of one that is not sampled is zero, since there
// will be no spans. The agent decides by this call at the latest whether it is
// sampled.
func identify(tx *newrelic.Transaction) apmws.SpanContext {
	var sc apmws.SpanContext
	ids := tx.GetTraceMetadata()
	if !decodeID(sc.TraceID[:], ids.TraceID) {
		return apmws.SpanContext{}
	}
	decodeID(sc.SpanID[:], ids.SpanID)
	if tx.IsSampled() {
		sc.Flags = 1
	}
	return sc
}

// outgoing returns what the agent would send along with a call under the innermost
// segment of a lane: also of a transaction that is not sampled, so that the called
// service does not sample it either; nothing while the agent is not connected. span
// is the id of the span that calls, empty where it has none. Where that is not the
// innermost segment, since the application has one above it, what the agent says in
// tracestate would be about another one.
func outgoing(lane *newrelic.Transaction, span string) apmws.SpanContext {
	header := http.Header{}
	lane.InsertDistributedTraceHeaders(header)
	sc, err := apmws.ParseTraceParent(
		header.Get(newrelic.DistributedTraceW3CTraceParentHeader), header.Get(newrelic.DistributedTraceW3CTraceStateHeader))
	if err != nil {
		return apmws.SpanContext{}
	}
	if span != "" && span != sc.SpanIDString() {
		sc.State = ""
		decodeID(sc.SpanID[:], span)
	}
	return sc
}

// decodeID reports whether the id has the length that W3C Trace Context asks for.
func decodeID(dst []byte, id string) bool {
	if len(id) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(id))
	return err == nil
}
