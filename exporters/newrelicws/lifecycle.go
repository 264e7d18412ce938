package newrelicws

import (
	"context"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// reporter is the goroutine that reports the counters.
type reporter struct {
	stop context.CancelFunc // nil: it was not started
	done chan struct{}
}

// Attach implements apmws.Attacher: the agent's counters are reported every ten
// seconds from now on. An Exporter serves one agent; the call for a second one
// does nothing, even after Shutdown.
func (e *Exporter) Attach(agent *apmws.Agent) {
	if e.app == nil || !e.customMetrics {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loop.done != nil {
		return
	}
	e.agent = agent
	ctx, stop := context.WithCancel(context.Background())
	e.loop = reporter{stop: stop, done: make(chan struct{})}
	go e.reportAll(ctx, e.loop.done)
}

// reportAll reports until ctx is cancelled. What cannot be reported yet is held.
func (e *Exporter) reportAll(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(e.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = e.report(ctx) // the next one has it
		}
	}
}

// Flush implements apmws.Flusher: it reports the counters and waits until New
// Relic's agent has taken all that the exporter holds. The agent cannot be made to
// send: it does so each minute, or every five seconds for events, and when the
// application calls Shutdown of its newrelic.Application. Flush returns ctx's
// error when ctx expires first, or ErrNotConnected.
func (e *Exporter) Flush(ctx context.Context) error {
	return e.during(ctx, func() error { return e.handOver(ctx) })
}

// Shutdown implements apmws.Shutdowner: it does what Flush does, a last time, and
// ends what the exporter has started. It returns ctx's error when ctx expires
// first, or ErrNotConnected; give ctx a deadline.
//
// New Relic's agent is not shut down, and has sent nothing for certain: call
// Shutdown of the newrelic.Application after that of the apmws.Agent, or the last
// minute is lost. Transactions that end in between are recorded.
func (e *Exporter) Shutdown(ctx context.Context) error {
	return e.during(ctx, func() error {
		e.mu.Lock()
		loop := e.loop
		e.mu.Unlock()
		if loop.stop != nil {
			loop.stop()
			<-loop.done
		}
		err := e.handOver(ctx)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.agent = nil
		return err
	})
}

func (e *Exporter) handOver(ctx context.Context) error {
	err := e.report(ctx)
	if waited := e.handoff.wait(ctx); waited != nil {
		return waited
	}
	return err
}

// during runs work, in which New Relic's agent may keep us waiting, and returns
// when that is done or ctx has expired.
func (e *Exporter) during(ctx context.Context, work func() error) error {
	if e.app == nil {
		return nil
	}
	result := make(chan error, 1)
	go func() { result <- work() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
