// Package elasticws exports to Elastic APM what an apmws.Agent sees, through
// Elastic's own Go agent. A program makes its apm.Tracer as usual and hands it
// over:
//
//	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{elasticws.New(tracer)}})
//
// # Transactions
//
// A handshake is a transaction of type Connection; it continues the trace that
// came with the request, and is a child of the transaction that an HTTP
// middleware outside the agent has opened, if any. Each message is a transaction
// of type Message and the end of the connection one of type Disconnection. Both
// are traces of their own, sampled each by itself, with a span link to the
// handshake when that was sampled. The contract's attributes
// are labels: strings and booleans in labels, numbers in numeric_labels. Users
// are in the user context. Of the HTTP request only what apmws.RequestInfo holds
// is sent.
//
// The caller decides whether a trace that it began is sampled: a handshake whose
// traceparent says that it is not has no transaction in Elastic that can be
// looked at, and no spans. Metrics, errors and log lines are not affected. Where
// handshakes come from strangers, set
// ELASTIC_APM_TRACE_CONTINUATION_STRATEGY=restart_external: handshakes of callers
// without an agent of Elastic's then begin a trace of their own, on which the
// tracer's sampler decides, with a span link to the caller's. A caller that
// claims such an agent in its tracestate is believed; "restart" believes none.
//
// # Sampling
//
// Without apmws.Options.Sampling the tracer's sampler decides on each message
// (ELASTIC_APM_TRANSACTION_SAMPLE_RATE and Kibana's central configuration); what
// it leaves out has cost nearly as much as what it takes. With it the decision is
// the agent's alone, and the tracer's sampler is asked about handshakes and ends of
// connections only.
//
// A message that the agent has chosen is sent with the agent's rate, and so are its
// spans and the tracestate header of what it calls. The APM Server counts it
// 1/rate times, and one that is kept for its failure or slowness alone, with the
// rate 0, not at all: throughput, failure rate and latency in Kibana are estimates
// without bias. Queries that count documents count those too; to weigh them, sum
// transaction.representative_count.
//
// A message that continues a trace (apmws.MessageOptions.ContinueTrace) counts as
// that does: by the rate in the caller's tracestate, which is believed from 0.0001
// on. Where ELASTIC_APM_TRACE_CONTINUATION_STRATEGY begins a new trace instead, a
// message that the agent has chosen is recorded all the same and counts once, so
// that estimates are of the messages whose callers were sampled. A message that is
// kept after it has been handled never continues a trace, which nobody has recorded;
// it is linked to it.
//
// # Errors
//
// A failure becomes an error document with labels and a user of its own. Errors
// are sent whether or not their transaction was sampled.
//
// # The application's spans
//
// A handler's context carries Elastic's transaction, so that Elastic's
// integrations and apm.StartSpan add to it. Two rules of Elastic's agent matter
// to handlers, whose calls are often fast and many. Successful exit spans
// shorter than a millisecond are dropped by default; New changes that, see
// there. Exit spans of one parent that follow each other and have the same name
// and destination, and take at most 50 ms, are compressed into one span with
// span.composite.count; its labels are those of the first. That is left as it
// is: ELASTIC_APM_SPAN_COMPRESSION_ENABLED=false keeps them apart. Spans of
// writes to a peer are no exit spans and never compressed.
//
// The spans that apmws.StartSpan makes directly below a handshake are no part of
// that, and always kept apart.
//
// Elastic's agent adds a stack trace to spans of 5 ms and more
// (ELASTIC_APM_SPAN_STACK_TRACE_MIN_DURATION). It begins with frames of this
// package and of apmws; stacktrace.RegisterLibraryPackage, called in an init
// function with the paths of both, lets Kibana fold them.
//
// # HTTP middleware
//
// Elastic's own middleware for HTTP servers sends the whole request, with its
// query, cookies and headers. Where handshakes carry secrets there, let it ignore
// them, for example with apmhttp.WithServerRequestIgnorer. Where it does not, and
// is outside the agent, its transaction becomes the parent of CONNECT and is made
// to last until the 101 has been written, although it ends with the connection.
//
// # Metrics
//
// The agent's counters and histograms are reported with the tracer's own
// metrics, every 30 seconds by default (ELASTIC_APM_METRICS_INTERVAL). Elastic
// has no counters, so a counter is sent as the sum since the last report and a
// histogram as the distribution since then, in seconds: dashboards add them up.
// Gauges are the value at the moment. Series with no label but http.route are
// reported even when they are zero; those with further labels when something has
// happened since the last report. What a request that failed had carried is
// lost, as with the tracer's own metrics; such requests are counted in Dropped.
//
// The tracer has room for some 2,000 series in one report
// (ELASTIC_APM_METRICS_BUFFER_SIZE, 750 KB) and says nothing of what is beyond. A
// name of messages is up to two series in each route.
package elasticws

import (
	"os"
	"sync"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// Exporter is an apmws.Exporter for Elastic APM. It serves one apmws.Agent: make
// one for each. It is safe for concurrent use.
type Exporter struct {
	tracer *apm.Tracer
	keys   contextKeys
	tags   tagsField
	rates  rateStates
	none   connLabels // of what is of no connection

	// turn is taken by whoever makes the tracer flush or report, since that
	// knows only the last one who asked.
	turn chan struct{}

	mu         sync.Mutex   // held while metrics are gathered
	attached   bool         // once and for all
	agent      *apmws.Agent // nil before Attach and after Shutdown
	deregister func()
	series     map[string]*series // by name and labels
	gathers    int
	last       chan struct{} // when it is not nil, nothing more is reported; closed when metrics are gathered next
}

var (
	_ apmws.Exporter      = (*Exporter)(nil)
	_ apmws.Broadcaster   = (*Exporter)(nil)
	_ apmws.LogCorrelator = (*Exporter)(nil)
	_ apmws.Attacher      = (*Exporter)(nil)
	_ apmws.Masker        = (*Exporter)(nil)
	_ apmws.Flusher       = (*Exporter)(nil)
	_ apmws.Shutdowner    = (*Exporter)(nil)
	_ apmws.DropReporter  = (*Exporter)(nil)
)

// New returns an Exporter that records with the tracer, or with
// apm.DefaultTracer() when that is nil. The tracer stays the application's: the
// exporter never closes it.
//
// New sets the tracer's minimum duration of exit spans to 0, since calls such as
// a PUBLISH to a Redis nearby take less than the default of a millisecond and
// would be missing in every message. This holds for all that the tracer records,
// not for WebSockets alone, and replaces what the application has chosen with
// SetExitSpanMinDuration before: call that after New to choose another. The
// environment variable ELASTIC_APM_EXIT_SPAN_MIN_DURATION, when it is set, and
// Kibana's central configuration outrank New.
func New(tracer *apm.Tracer) *Exporter {
	if tracer == nil {
		tracer = apm.DefaultTracer()
	}
	if os.Getenv("ELASTIC_APM_EXIT_SPAN_MIN_DURATION") == "" {
		tracer.SetExitSpanMinDuration(0)
	}
	return &Exporter{
		tracer: tracer,
		keys:   findContextKeys(),
		tags:   findTags(),
		none:   newConnLabels("", "", -1),
		turn:   make(chan struct{}, 1),
		series: make(map[string]*series),
	}
}

// Dropped implements apmws.DropReporter. The reasons are "transactions", "spans"
// and "errors", which the tracer had no room for, and "requests", which the APM
// Server did not take; the tracer does not tell how many events were in those.
// The counts are the tracer's, whoever made the events.
func (e *Exporter) Dropped() []apmws.Dropped {
	return dropped(e.tracer.Stats())
}

func dropped(stats apm.TracerStats) []apmws.Dropped {
	return []apmws.Dropped{
		{Reason: "transactions", Count: int64(stats.TransactionsDropped)},
		{Reason: "spans", Count: int64(stats.SpansDropped)},
		{Reason: "errors", Count: int64(stats.ErrorsDropped)},
		{Reason: "requests", Count: int64(stats.Errors.SendStream)},
	}
}
