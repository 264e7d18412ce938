package elasticws

import (
	"context"
	"errors"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

// ErrRequestFailed is returned by Flush and Shutdown when the APM Server could
// not be reached, or did not take a request, while they ran: what that held is
// lost. Elastic's agent logs the reason (ELASTIC_APM_LOG_FILE).
var ErrRequestFailed = errors.New("elasticws: a request to the APM Server failed")

// Attach implements apmws.Attacher: the agent's counters are reported with the
// tracer's metrics from now on. An Exporter serves one agent; the call for a
// second one does nothing, even after Shutdown.
func (e *Exporter) Attach(agent *apmws.Agent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attached {
		return
	}
	e.attached = true
	e.agent = agent
	e.deregister = e.tracer.RegisterMetricsGatherer(apm.GatherMetricsFunc(e.gather))
}

// Flush implements apmws.Flusher. It makes the tracer send what it has buffered,
// whoever recorded it, and returns ctx's error when that takes longer, or
// ErrRequestFailed. What it has begun goes on after that; meanwhile further calls
// wait.
func (e *Exporter) Flush(ctx context.Context) error {
	return e.during(ctx, func() { e.flush(ctx) })
}

// Shutdown implements apmws.Shutdowner: it reports the counters a last time and
// flushes. It returns ctx's error when that takes longer, or ErrRequestFailed.
// Give ctx a deadline, since a server may never answer. The tracer is not closed.
// Transactions that end later are still recorded, and sent when the application
// flushes the tracer; counters are reported no more, whatever it returns.
func (e *Exporter) Shutdown(ctx context.Context) error {
	defer e.detach()
	return e.during(ctx, func() {
		// A report on its way would be taken for the one asked for.
		e.flush(ctx)
		e.report(ctx, e.tracer.SendMetrics)
		e.flush(ctx)
	})
}

// during runs work, which asks the tracer for something, and returns when that
// is done or ctx has expired.
func (e *Exporter) during(ctx context.Context, work func()) error {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	failed := e.tracer.Stats().Errors.SendStream
	done := make(chan struct{})
	go func() {
		defer func() { <-e.turn }()
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.tracer.Stats().Errors.SendStream != failed {
		return ErrRequestFailed
	}
	return nil
}

// flush flushes the tracer twice: when a request is about to be finished, the
// first waits for that, and what did not get into it is in the next one.
//
// The tracer gets no abort channel. Its loop remembers whom it told that there
// is nothing to flush, and tells it again after the next request: when the abort
// came in between, nobody listens, and the loop stops for good.
func (e *Exporter) flush(ctx context.Context) {
	for range 2 {
		if ctx.Err() == nil {
			e.tracer.Flush(nil)
		}
	}
}

// report makes the tracer gather and send metrics a last time, by its SendMetrics.
// When it is gathering at that moment it does not begin anew, and what has happened
// since would be missing. And SendMetrics returns with any request that held metrics,
// while those that were gathered last may still be on their way into the tracer's
// buffer, where a flush finds them: there they are once it gathers again.
func (e *Exporter) report(ctx context.Context, send func(abort <-chan struct{})) {
	before, attached := e.gathered()
	for now := before; now == before && attached && ctx.Err() == nil; now, attached = e.gathered() {
		if !e.tracer.Recording() {
			return // it would gather nothing and never say so
		}
		send(ctx.Done())
	}
	for again := e.reportNoMore(); ctx.Err() == nil && e.tracer.Recording(); {
		select {
		case <-again:
			return
		default:
			send(again)
		}
	}
}

// reportNoMore makes the exporter add nothing when metrics are gathered next, and
// returns a channel that is closed then, or when that cannot be.
func (e *Exporter) reportNoMore() (again <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := make(chan struct{})
	if e.agent == nil {
		close(last)
		return last
	}
	e.last = last
	return last
}

// gathered returns how often metrics have been gathered, and whether they are.
func (e *Exporter) gathered() (times int, attached bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gathers, e.agent != nil
}

// detach ends what Attach started, without waiting for the tracer.
func (e *Exporter) detach() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deregister == nil {
		return
	}
	go e.deregister()
	if e.last != nil {
		close(e.last)
	}
	e.agent, e.deregister, e.last = nil, nil, nil
}
