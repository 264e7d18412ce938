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
// are traces of their own, so that the tracer's sampler decides on each, with a
// span link to the handshake when that was sampled. The contract's attributes
// are labels: strings and booleans in labels, numbers in numeric_labels. Users
// are in the user context. Of the HTTP request only what apmws.RequestInfo holds
// is sent.
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

	// turn is taken by whoever makes the tracer flush or report: it knows only
	// the last one who asked.
	turn chan struct{}

	mu         sync.Mutex // held while metrics are gathered
	agent      *apmws.Agent
	deregister func()
	series     map[string]*series // by name and labels
	gathers    int
}

var (
	_ apmws.Exporter     = (*Exporter)(nil)
	_ apmws.Attacher     = (*Exporter)(nil)
	_ apmws.Masker       = (*Exporter)(nil)
	_ apmws.Flusher      = (*Exporter)(nil)
	_ apmws.Shutdowner   = (*Exporter)(nil)
	_ apmws.DropReporter = (*Exporter)(nil)
)

// New returns an Exporter that records with the tracer, or with
// apm.DefaultTracer() when that is nil. The tracer stays the application's: the
// exporter never closes it.
//
// New sets the tracer's minimum duration of exit spans to 0, since calls such as
// a PUBLISH to a Redis nearby take less than the default of a millisecond and
// would be missing in every message. This holds for all that the tracer records,
// not for WebSockets alone. The environment variable
// ELASTIC_APM_EXIT_SPAN_MIN_DURATION, when it is set, and Kibana's central
// configuration outrank it.
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
		turn:   make(chan struct{}, 1),
		series: make(map[string]*series),
	}
}

// Dropped implements apmws.DropReporter. The reasons are "transactions", "spans"
// and "errors", which the tracer had no room for, and "requests", which the APM
// Server did not take; the tracer does not tell how many events were in those.
// The counts are the tracer's, whoever made the events.
func (e *Exporter) Dropped() []apmws.Dropped {
	stats := e.tracer.Stats()
	return []apmws.Dropped{
		{Reason: "transactions", Count: int64(stats.TransactionsDropped)},
		{Reason: "spans", Count: int64(stats.SpansDropped)},
		{Reason: "errors", Count: int64(stats.ErrorsDropped)},
		{Reason: "requests", Count: int64(stats.Errors.SendStream)},
	}
}
