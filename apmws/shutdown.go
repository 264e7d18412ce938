package apmws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Drain says how Agent.Shutdown closes the open connections. The zero value works.
type Drain struct {
	// Rate is how many connections are told to go in a second, so that the servers
	// that they come back to are not overrun: a TLS handshake alone costs about a
	// millisecond of a core. Where it would not do in the time that there is, it is
	// raised. 0 means 1,000, a negative value no bound.
	Rate int

	// RetryAfter is what clients are told that come meanwhile, in the header
	// Retry-After of the 503 (RFC 9110, section 10.2.3), in whole seconds, at least
	// 1. A client should add a random time of its own. 0 means 5 seconds.
	RetryAfter time.Duration
}

const (
	defaultDrainRate  = 1000 // connections per second
	defaultRetryAfter = 5 * time.Second
	goingAwayReason   = "going away" // that clients know

	// maxReserve bounds what the exporters get of the time. A fifth of that is left to
	// them.
	maxReserve = 5 * time.Second
	// reportGrace is what they get when there is no time left. The connections that are
	// cut off have as long, at most, to end.
	reportGrace = time.Second
	// maxCutters bounds the goroutines that cut connections off.
	maxCutters = 256
)

// DrainStats say how far Shutdown is.
type DrainStats struct {
	Began   time.Time
	Open    int // connections that are still open
	Closed  int // those that have ended since, for whatever reason
	CutOff  int // of them, those that were closed at once when the time was over
	Drained bool
}

// drain is the one shutdown of an agent.
type drain struct {
	began   time.Time
	closed  atomic.Int64
	cutOff  atomic.Int64
	cutting atomic.Bool   // the time is over
	drained atomic.Bool   // the connections are closed
	changed chan struct{} // a connection or a handshake has ended
	over    chan struct{} // Shutdown has returned err
	err     error
}

// Shutdown drains the agent: it refuses new connections, closes those that are open,
// flushes the exporters and releases what they hold, all within ctx.
//
// From its first moment on, handshakes are answered with 503, Retry-After and the
// refusal reason draining, before the handler gets them; one that has begun already is
// let through, and the connection then closed. Open connections, the oldest first, are
// closed gently, as Conn.CloseAt does, with the code 1001, the reason "going away" and
// the cause drain, no more of them in a second than Options.Drain says. So what was
// read of a peer is handled and answered before that is told to go. The log lines
// "websocket draining", one in a second, and "websocket drained" tell how far it is;
// so do Stats, and Draining, for a readiness probe.
//
// The exporters keep a fifth of the time until ctx's deadline for themselves, at most 5
// seconds, and have no more than those 5 in any case: a back end that is away does not
// hold up an exit. What is open when the rest is over, or when ctx is cancelled, as a
// second signal should do, is closed at once, whatever is in hand, and the error that is
// returned wraps that of ctx. Messages and hooks that end within half a second of that,
// or within an eighth of the time that is left, are reported before their connection's
// end; others delay it no longer. When ctx is over by then, the exporters get 1 second
// all the same. A context without a deadline waits for the last message in hand.
//
// http.Server.Shutdown leaves WebSocket connections alone. Call it afterwards: until
// then the server answers those that come. Further calls of Shutdown wait for the
// first and return what it does, or their own ctx's error.
func (a *Agent) Shutdown(ctx context.Context) error {
	d := &drain{began: time.Now(), changed: make(chan struct{}, 1), over: make(chan struct{})}
	if !a.drainage.CompareAndSwap(nil, d) {
		d = a.drainage.Load()
		select {
		case <-d.over:
			return d.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(d.over)
	a.stop()
	drained := a.drain(ctx, d)
	reporting, cancel := reportContext(ctx)
	defer cancel()
	d.err = errors.Join(drained, a.exporter.Shutdown(reporting))
	return d.err
}

// reportContext is how long the exporters have.
func reportContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return context.WithTimeout(context.WithoutCancel(ctx), reportGrace)
	}
	return context.WithTimeout(ctx, maxReserve)
}

// Draining reports whether Shutdown has been called: the agent takes no connections
// any more.
func (a *Agent) Draining() bool { return a.drainage.Load() != nil }

func (a *Agent) drainStats() *DrainStats {
	d := a.drainage.Load()
	if d == nil {
		return nil
	}
	return &DrainStats{
		Began: d.began, Open: a.registry.size(), Closed: int(d.closed.Load()), CutOff: int(d.cutOff.Load()),
		Drained: d.drained.Load(),
	}
}

// drain closes the connections. It returns an error when some had to be cut off.
func (a *Agent) drain(ctx context.Context, d *drain) error {
	defer d.drained.Store(true)
	if a.quiet() {
		return nil
	}
	a.logDraining(d)
	within, cancel := drainContext(ctx)
	defer cancel()
	err := a.closeAll(within, d)
	if err != nil {
		a.cutOff(ctx, d)
		err = a.unfinished(d, err)
	}
	a.logDrained(d)
	return err
}

// unfinished says what has not ended by itself when the time was over. That is nothing
// when the last of it has ended at that moment.
func (a *Agent) unfinished(d *drain, why error) error {
	switch n := d.cutOff.Load(); {
	case n > 0:
		return fmt.Errorf("apmws: shutdown: %d connections were cut off: %w", n, why)
	case a.handshakes.Load() > 0:
		return fmt.Errorf("apmws: shutdown: a handshake has not ended: %w", why)
	case a.broadcasts.Load() > 0:
		return fmt.Errorf("apmws: shutdown: a broadcast has not ended: %w", why)
	case a.registry.size() > 0:
		return fmt.Errorf("apmws: shutdown: the end of a connection has not been reported: %w", why)
	default:
		return nil
	}
}

// quiet reports whether there is no connection, and none to come, and no broadcast.
func (a *Agent) quiet() bool {
	// In this order: a handshake becomes a connection, whose messages broadcast.
	return a.handshakes.Load() == 0 && a.registry.size() == 0 && a.broadcasts.Load() == 0
}

// drainContext leaves some of the time to the exporters.
func drainContext(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	reserve := min(maxReserve, time.Until(deadline)/5)
	return context.WithDeadline(ctx, deadline.Add(-max(0, reserve)))
}

// closeAll retires the connections, and waits for their ends.
func (a *Agent) closeAll(ctx context.Context, d *drain) error {
	conns := a.registry.open()
	pause := a.drainPause(ctx, len(conns))
	begin := monotonic()
	told := 0
	second := time.NewTicker(time.Second)
	defer second.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		for len(conns) > 0 && monotonic()-begin >= time.Duration(told)*pause {
			if conns[0].isOpen() {
				conns[0].retire(goingAwayReason, CauseDrain)
				told++
			}
			conns = conns[1:]
		}
		if len(conns) > 0 {
			next.Reset(time.Duration(told)*pause - (monotonic() - begin))
		}
		if a.quiet() {
			return nil
		}
		select {
		case <-next.C:
		case <-d.changed:
		case <-second.C:
			a.logDraining(d)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drainPause is the time between two connections.
func (a *Agent) drainPause(ctx context.Context, n int) (pause time.Duration) {
	if rate := cmp.Or(a.drainOptions.Rate, defaultDrainRate); rate > 0 {
		pause = time.Second / time.Duration(rate)
	}
	if deadline, bounded := ctx.Deadline(); bounded && n > 0 {
		// The last one, too, is to have time for its answer.
		left := max(0, time.Until(deadline))
		pause = min(pause, (left-min(closeTimeout, left/2))/time.Duration(n))
	}
	return pause
}

// cutOff closes at once what is open, and gives the ends a moment to be reported: at
// first to the hooks of Endpoints, and then without those that do not return.
func (a *Agent) cutOff(ctx context.Context, d *drain) {
	d.cutting.Store(true)
	turns := make(chan struct{}, maxCutters)
	for _, c := range a.registry.open() {
		if !c.claimCutOff(d) {
			continue
		}
		turns <- struct{}{}
		go func() {
			defer func() { <-turns }()
			c.cut(goingAwayReason, CauseDrain)
		}()
	}
	patience := reportGrace / 2
	if deadline, bounded := ctx.Deadline(); bounded && ctx.Err() == nil {
		patience = min(patience, time.Until(deadline)/8) // it is the exporters' time
	}
	if a.gone(d, patience) {
		return
	}
	for _, c := range a.registry.open() {
		c.releaseConnect(OutcomeFailure)
		c.release()
	}
	a.gone(d, patience)
}

// claimCutOff reports whether the caller is to cut the connection off, and counts it
// then: it is open, and nobody else does.
func (c *Conn) claimCutOff(d *drain) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open || c.cutShort {
		return false
	}
	c.cutShort = true
	d.cutOff.Add(1)
	return true
}

// gone waits for the ends of all, but no longer than that. It reports whether all have
// ended.
func (a *Agent) gone(d *drain, patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for a.registry.size() > 0 || a.broadcasts.Load() > 0 {
		select {
		case <-d.changed:
		case <-late.C:
			return false
		}
	}
	return true
}

// nudge makes the drain look again.
func (d *drain) nudge() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// refuseDraining answers a handshake that has come too late.
func (a *Agent) refuseDraining(w http.ResponseWriter, r *http.Request, c *Conn) {
	c.SetRefusalReason(reasonDraining)
	after := cmp.Or(max(0, a.drainOptions.RetryAfter), defaultRetryAfter)
	seconds := max(1, (after+time.Second-1)/time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	if r.ProtoMajor == 1 { // HTTP/2 has no such header (RFC 9113, section 8.2.2)
		w.Header().Set("Connection", "close") // whoever comes back may find another server
	}
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// arrived is called when a handshake has ended, well or not.
func (c *Conn) arrived() {
	c.mu.Lock()
	counted, accepted, timed := c.arriving, c.state == open, c.times != nil
	c.arriving = false
	c.mu.Unlock()
	if !accepted {
		c.forgetTimes()
	} else if timed {
		c.timeIsUp() // it may have passed meanwhile
	}
	if counted {
		c.agent.handshakes.Add(-1)
	}
	d := c.agent.drainage.Load()
	if d == nil {
		return
	}
	switch {
	case !accepted:
	case !d.cutting.Load():
		c.retire(goingAwayReason, CauseDrain)
	case c.claimCutOff(d):
		go c.cut(goingAwayReason, CauseDrain)
	}
	d.nudge()
}

// departed is called when a connection's end has been reported.
func (c *Conn) departed() {
	if c.dialled != nil {
		defer close(c.dialled.departed)
	}
	c.forgetTimes()
	c.agent.registry.remove(c)
	if d := c.agent.drainage.Load(); d != nil {
		d.closed.Add(1)
		d.nudge()
	}
}

// isOpen reports whether the connection has not ended.
func (c *Conn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == open
}

// logDraining writes the line of a drain under way.
func (a *Agent) logDraining(d *drain) {
	if a.logger == nil {
		return
	}
	a.logger.Info().Str("event.action", "websocket-draining").
		Int("websocket.drain.open", a.registry.size()).
		Int64("websocket.drain.closed", d.closed.Load()).
		Msg("websocket draining")
}

func (a *Agent) logDrained(d *drain) {
	if a.logger == nil {
		return
	}
	a.logger.Info().Str("event.action", "websocket-drained").
		Int64("websocket.drain.closed", d.closed.Load()).
		Int64("websocket.drain.cut_off", d.cutOff.Load()).
		Int64("event.duration", int64(time.Since(d.began))).
		Msg("websocket drained")
}
