package newrelicws

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// Exporter is an apmws.Exporter for New Relic. It serves one apmws.Agent: make
// one for each. It is safe for concurrent use.
type Exporter struct {
	app     *newrelic.Application // nil: nothing is recorded
	options []newrelic.TraceOption
	keys    contextKeys
	handoff handoff
	none    connValues // of what is of no connection

	// What the application has configured. The agent writes an error line for
	// each call of a part of its API that is switched off.
	traces          bool // distributed tracing
	attributes      bool // none in high-security mode
	errors          bool
	customMetrics   bool // none in serverless mode
	infiniteTracing bool

	requests *requestCounter // nil unless the application has asked for it

	entity            atomic.Pointer[entity]
	notConnected      atomic.Int64
	droppedAttributes atomic.Int64
	droppedSpans      atomic.Int64

	interval time.Duration // between reports
	loop     reporter

	mu       sync.Mutex       // held while metrics are reported
	agent    *apmws.Agent     // nil before Attach and after Shutdown
	reported map[string]int64 // counters, by the metric's name
	known    map[string]bool  // names of messages' counters
	calls    map[string]bool  // names of outbound calls' counters
}

var (
	_ apmws.Exporter      = (*Exporter)(nil)
	_ apmws.Broadcaster   = (*Exporter)(nil)
	_ apmws.Attacher      = (*Exporter)(nil)
	_ apmws.Masker        = (*Exporter)(nil)
	_ apmws.LogCorrelator = (*Exporter)(nil)
	_ apmws.Flusher       = (*Exporter)(nil)
	_ apmws.Shutdowner    = (*Exporter)(nil)
	_ apmws.DropReporter  = (*Exporter)(nil)
)

// New returns an Exporter that records with the application. With a nil one, or
// one whose configuration has Enabled false, it records nothing and costs
// nothing. The application stays the caller's: the exporter never shuts it down.
func New(app *newrelic.Application) *Exporter {
	e := &Exporter{
		keys:     findContextKeys(),
		none:     newConnValues("", "", apmws.SpanContext{}),
		interval: reportInterval,
		reported: make(map[string]int64),
		known:    make(map[string]bool),
		calls:    make(map[string]bool),
	}
	cfg, known := app.Config()
	if app == nil || known && !cfg.Enabled {
		return e
	}
	e.app = app
	// A code location would be the same for every message: one in this library.
	e.options = []newrelic.TraceOption{newrelic.WithoutCodeLevelMetrics()}
	e.handoff.init(app)
	e.traces = cfg.DistributedTracer.Enabled
	e.attributes = !cfg.HighSecurity
	e.errors = cfg.ErrorCollector.Enabled
	e.customMetrics = !cfg.ServerlessMode.Enabled
	e.infiniteTracing = cfg.InfiniteTracing.TraceObserver.Host != ""
	e.requests, _ = cfg.Transport.(*requestCounter)
	return e
}

// start starts a transaction, or returns nil when the agent would drop it: a
// transaction belongs to the connection to New Relic during which it started.
func (e *Exporter) start(name string) *newrelic.Transaction {
	// With infinite tracing the agent waits for two connections, of which
	// transactions need only one.
	if !e.infiniteTracing && !e.connected() {
		e.notConnected.Add(1)
		return nil
	}
	return e.app.StartTransaction(name, e.options...)
}

// connected reports whether the agent takes data. A timeout in the past makes it
// answer at once.
func (e *Exporter) connected() bool {
	if e.app.WaitForConnection(-1) == nil {
		return true
	}
	return e.infiniteTracing && e.app.StartTransaction("", e.options...).GetLinkingMetadata().EntityGUID != ""
}

// Dropped implements apmws.DropReporter. The reasons are "queue_full", for
// transactions that the agent could not take in time; "not_connected", for those
// that it would have dropped since it was not connected to New Relic;
// "attributes", for those beyond New Relic's limits; "spans", for those that were
// started while 1,000 others were open in their transaction; and "requests", with
// CountRequests, for posts that New Relic did not take, whoever made what they held.
// The agent sends again what was in one that got no answer or a status of 408, 429,
// 500 or 503, metrics up to four times and events up to nine; the rest is lost. What
// the agent itself samples away is not counted here: see its supportability
// metrics.
func (e *Exporter) Dropped() []apmws.Dropped {
	if e.app == nil {
		return nil
	}
	return []apmws.Dropped{
		{Reason: "queue_full", Count: e.handoff.dropped.Load()},
		{Reason: "not_connected", Count: e.notConnected.Load()},
		{Reason: "attributes", Count: e.droppedAttributes.Load()},
		{Reason: "spans", Count: e.droppedSpans.Load()},
		{Reason: "requests", Count: e.failedRequests()},
	}
}
