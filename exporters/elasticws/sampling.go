package elasticws

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// startMessage starts the transaction of a message.
func (c *connSpan) startMessage(start *apmws.MessageStart) *apm.Transaction {
	e := c.exporter
	opts := apm.TransactionOptions{Start: start.Time, Links: c.links()}
	remote := start.Remote.IsValid()
	// A message that is recorded Late has come with a trace that is not: what
	// continues that is not recorded either, so it gets a trace of its own.
	continues := remote && start.Continue && !start.Late
	switch {
	case continues:
		opts.TraceContext = remoteContext(start.Remote)
	case start.Sampled:
		opts.TraceContext = e.decided(start.Weight)
	}
	tx := e.tracer.StartTransactionOptions(start.Name, semconv.TypeMessage, opts)
	if continues && start.Sampled && tx.TraceContext().Trace != opts.TraceContext.Trace {
		// The continuation strategy has made it a root, on which the tracer's
		// sampler has decided once more.
		tx.Discard()
		continues, opts.TraceContext = false, e.decided(start.Weight)
		tx = e.tracer.StartTransactionOptions(start.Name, semconv.TypeMessage, opts)
	}
	if remote && !continues {
		tx.AddLink(link(&start.Remote))
	}
	return tx
}

// decided returns the trace context of a transaction that begins a trace and is
// to be recorded with that weight, whatever the tracer's sampler. The agent takes
// it for the context of a caller, but no strategy of continuation restarts a
// trace without a calling span, and a transaction without one has no parent.
func (e *Exporter) decided(weight float64) apm.TraceContext {
	return apm.TraceContext{
		Trace:   newTraceID(),
		Options: apm.TraceOptions(0).WithRecorded(true),
		State:   e.rates.state(weight),
	}
}

// newTraceID returns a random trace id, which is never zero. Its right half is
// all random, as W3C Trace Context Level 2 wants it of random ids (section 3.2.2.5).
func newTraceID() (id apm.TraceID) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

// maxRates bounds the rates that are remembered. There are as many as the
// application has configured.
const maxRates = 64

// rateStates are the trace states of sampling rates, by weight: to make one takes
// longer than to start a transaction. Look-ups take no lock.
type rateStates struct {
	mu    sync.Mutex
	known atomic.Pointer[[]rateState]
}

type rateState struct {
	weight float64
	state  apm.TraceState
}

// state returns the trace state of a weight. It is shared and never changed.
func (r *rateStates) state(weight float64) apm.TraceState {
	if state, ok := r.find(weight); ok {
		return state
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if state, ok := r.find(weight); ok {
		return state
	}
	state := apm.NewTraceState(apm.TraceStateEntry{Key: "es", Value: "s:" + formatRate(weight)})
	if all := r.all(); len(all) < maxRates {
		all = append(slices.Clip(all), rateState{weight, state})
		r.known.Store(&all)
	}
	return state
}

func (r *rateStates) find(weight float64) (apm.TraceState, bool) {
	all := r.all()
	for i := range all {
		if all[i].weight == weight {
			return all[i].state, true
		}
	}
	return apm.TraceState{}, false
}

func (r *rateStates) all() []rateState {
	if all := r.known.Load(); all != nil {
		return *all
	}
	return nil
}

// formatRate returns the sampling rate of a weight, 0 for one that does not count,
// in at most twelve decimals. The tracer rounds its own to four: then a rate of
// 0.00015 would become 0.0002, and estimates a quarter too low.
func formatRate(weight float64) string {
	if !(weight > 0) { // NaN too
		return "0"
	}
	const decimals = 1e12
	return strconv.FormatFloat(math.Round(min(1, 1/weight)*decimals)/decimals, 'f', -1, 64)
}
