package apmws

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// answered is called when the answer has been written to a hijacked connection.
func (c *Conn) answered(status int) {
	if status == http.StatusSwitchingProtocols {
		c.accepted()
		return
	}
	c.refuse(refusal{status: status})
}

// accepted notes that the connection is open, and ends CONNECT unless an
// Endpoint holds that open.
func (c *Conn) accepted() {
	c.mu.Lock()
	if c.state != connecting {
		c.mu.Unlock()
		return
	}
	c.state = open
	// Before anybody can end it, who would look for it in vain.
	c.route.counters.opened.Add(1)
	c.agent.registry.add(c)
	c.startHeart()
	held := c.held
	c.mu.Unlock()

	defer c.arrived()
	if !held {
		c.endConnect(OutcomeSuccess)
	}
}

// hold is for who runs the connection's whole life: whoever closes the socket, and
// whenever, CONNECT does not end before releaseConnect, nor the connection before
// release, which must be called.
func (c *Conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = c.held || c.state == connecting // CONNECT ends once, also when the program has upgraded by itself
	c.owned = true
}

// isOwned reports whether an Endpoint runs the connection, or is about to.
func (c *Conn) isOwned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owned
}

// release lets the connection end, which it does when its socket has been closed.
func (c *Conn) release() {
	c.mu.Lock()
	c.owned = false
	over := c.closedHeld && !c.held
	c.mu.Unlock()
	if over {
		c.disconnected()
	}
}

// releaseConnect ends CONNECT, once.
func (c *Conn) releaseConnect(outcome Outcome) {
	c.mu.Lock()
	mine := c.held && c.state == open && !c.releasing
	c.releasing = c.releasing || mine
	c.mu.Unlock()
	if !mine {
		return
	}
	c.endConnect(outcome)
	c.mu.Lock()
	c.held = false
	over := c.closedHeld && !c.owned
	c.mu.Unlock()
	if over {
		c.disconnected()
		return
	}
	c.nudge()
}

// endConnect ends the CONNECT transaction of an accepted connection.
func (c *Conn) endConnect(outcome Outcome) {
	now := time.Now()
	c.mu.Lock()
	proto := c.request.proto
	c.mu.Unlock()
	c.endScope()

	scratch := getScratch()
	attrs := append(scratch.attrs, slog.Int(semconv.StatusCode, http.StatusSwitchingProtocols))
	if proto != "" {
		attrs = append(attrs, slog.String(semconv.Subprotocol, proto))
	}
	user, own := c.identity()
	attrs = append(attrs, own...)
	c.span.Opened(&OpenEnd{
		Time: now, Accepted: true, Status: http.StatusSwitchingProtocols, Result: "HTTP 1xx",
		Outcome: outcome, User: user, Attrs: attrs,
	})
	scratch.put(attrs)
	c.logConnected(now, proto, outcome)
	c.request = nil
}

// endScope hides the CONNECT transaction from the handler's context, before the
// exporters end it.
func (c *Conn) endScope() { c.scope.live.Store(nil) }

// refusal says how a handshake was refused.
type refusal struct {
	status         int // 0: there was no answer
	originRefused  bool
	hijackerHidden bool
	failure        *Failure // the handler's panic
}

// refuse ends CONNECT without a connection.
func (c *Conn) refuse(r refusal) {
	c.mu.Lock()
	if c.state != connecting {
		c.mu.Unlock()
		return
	}
	c.state = refused
	reason := c.request.reason
	why := c.end().failure // the application's error, which is no failure of the server
	c.mu.Unlock()
	if r.failure != nil {
		why = r.failure
	}

	defer c.arrived()

	now := time.Now()
	if reason == "" {
		reason = r.reason()
	}
	result, outcome := semconv.None, OutcomeFailure
	if r.status != 0 {
		result = fmt.Sprintf("HTTP %dxx", r.status/100)
		if r.status < 500 && r.failure == nil && c.dialled == nil {
			outcome = OutcomeSuccess
		}
	}
	c.route.refused(r.status, reason)
	c.endScope()

	scratch := getScratch()
	attrs := append(scratch.attrs, slog.String(semconv.RefusalReason, reason))
	if r.status != 0 {
		attrs = append(attrs, slog.Int(semconv.StatusCode, r.status))
	}
	user, own := c.identity()
	attrs = append(attrs, own...)
	if r.failure != nil {
		r.failure.Attrs = append(c.appendArrival(nil), attrs...)
	}
	c.span.Opened(&OpenEnd{
		Time: now, Status: r.status, Result: result, Outcome: outcome, User: user, Failure: r.failure, Attrs: attrs,
	})
	scratch.put(attrs)
	c.logRefused(now, r, reason, outcome, why)
}

// refusedFor notes why the application is about to refuse the handshake.
func (c *Conn) refusedFor(reason string, why *Failure) {
	if reason != "" {
		c.SetRefusalReason(reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end().failure = why
}

// Refusal reasons of the contract.
const (
	reasonUnauthenticated = "unauthenticated"
	reasonForbidden       = "forbidden"
	reasonOrigin          = "origin"
	reasonBadHandshake    = "bad_handshake"
	reasonUpgradeFailed   = "upgrade_failed"
	reasonDraining        = "draining"
	reasonUnreachable     = "unreachable" // a Dialer has got no answer
)

var refusalReasons = []string{
	reasonUnauthenticated, reasonForbidden, reasonOrigin, reasonBadHandshake, reasonUpgradeFailed, reasonDraining,
	reasonUnreachable,
}

// reason derives the reason from what is known.
func (r *refusal) reason() string {
	switch {
	case r.failure != nil, r.status == 0, r.status == http.StatusInternalServerError, r.status == http.StatusNotImplemented:
		return reasonUpgradeFailed
	case r.originRefused:
		return reasonOrigin
	case r.status == http.StatusUnauthorized:
		return reasonUnauthenticated
	case r.status == http.StatusForbidden:
		return reasonForbidden
	case r.status == http.StatusBadRequest, r.status == http.StatusMethodNotAllowed, r.status == http.StatusUpgradeRequired:
		return reasonBadHandshake
	default:
		return semconv.Other
	}
}

// handlerReturned is called when next has returned or panicked. A connection
// that was hijacked may live on.
func (c *Conn) handlerReturned(rec *responseRecorder, aborted bool, failure *Failure) {
	if failure == nil && !rec.hijacked {
		failure = c.hookPanic()
	}
	if !rec.hijacked {
		r := refusal{status: rec.status, originRefused: rec.originRefused(), hijackerHidden: rec.hijackerHidden(), failure: failure}
		switch {
		case aborted && !rec.sent:
			r.status = 0 // net/http closes the connection without sending what it holds
		case r.status == 0:
			r.status = http.StatusOK // what net/http answers then
		}
		c.refuse(r)
		return
	}
	if failure != nil {
		c.failed(CausePanic, failure)
		c.refuse(refusal{failure: failure}) // unless the 101 has been written
	}
	c.reportPostponed()
	if failure != nil && c.over() {
		c.logLatePanic(failure)
	}
}

// hookPanic returns the panic of an Endpoint's hook before the upgrade, if any.
func (c *Conn) hookPanic() *Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end().cause != CausePanic {
		return nil
	}
	return c.end().failure
}

// over reports whether the connection's end has been reported without the
// handler's panic.
func (c *Conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == closed && !c.end().reported
}

// disconnected ends the connection, once.
func (c *Conn) disconnected() {
	c.mu.Lock()
	if c.postponed != nil || c.state != open {
		connecting := c.state == connecting && c.postponed == nil && c.dialled == nil // a Dialer says so itself
		failure := c.end().failure
		c.mu.Unlock()
		if connecting {
			c.refuse(refusal{failure: failure})
		}
		return
	}
	if c.held || c.owned {
		c.closedHeld = true
		c.mu.Unlock()
		return
	}
	c.state = closed
	c.stopHeart()
	pinged := c.pings.unanswered()
	summary := c.end().summary(pinged > 0)
	if c.dialled != nil {
		summary.seenByClient()
	}
	failure := c.end().failure
	c.end().reported = failure != nil
	if pinged > 0 {
		c.route.counters.pingsUnanswered.Add(int64(pinged))
	}
	c.mu.Unlock()

	now := time.Now()
	duration := now.Sub(c.start)
	defer c.departed() // who waits for that finds all reported
	c.route.counters.closed(summary.cause)
	c.route.connectionDuration.record(c.shard, duration)

	attrs := c.appendCommon(make([]slog.Attr, 0, 24), semconv.EventDisconnect)
	attrs = summary.appendTo(attrs)
	attrs = append(attrs,
		slog.Float64(semconv.ConnectionDuration, duration.Seconds()),
		slog.Int64(semconv.MessagesReceived, c.messagesReceived.Load()),
		slog.Int64(semconv.MessagesSent, c.messagesSent.Load()),
		slog.Int64(semconv.BytesReceived, c.bytesReceived.Load()),
		slog.Int64(semconv.BytesSent, c.bytesSent.Load()))
	if rtt := c.rtt.Load(); rtt != 0 {
		attrs = append(attrs, slog.Float64(semconv.PingRTT, time.Duration(rtt).Seconds()))
	}
	user, own := c.identity()
	attrs = append(attrs, own...)
	outcome := summary.cause.Outcome()
	past := ""
	if outcome != OutcomeSuccess {
		past = c.past()
	}
	if outcome == OutcomeFailure {
		failure = completeFailure(failure, summary)
		failure.withoutAddresses(c.peer)
		failure.Attrs = append(slices.Clip(attrs), slog.String(semconv.ConnectionRecent, past))
	} else {
		failure = nil
	}
	c.span.End(ConnEnd{
		Time: now, Name: "DISCONNECT " + c.route.name, Result: string(summary.cause),
		Outcome: outcome, User: user, Failure: failure, Attrs: attrs,
	})
	c.logDisconnected(duration, summary, outcome, failure, past)
}

// forgotten ends a connection that the garbage collector has closed because the
// program lost it. It runs after every connection.
func (c *Conn) forgotten() {
	c.mu.Lock()
	lost := c.state == open || c.state == connecting
	c.mu.Unlock()
	if lost {
		go c.disconnected() // not on the runtime's goroutine: it exports and logs
	}
}

// completeFailure describes a bad end that nobody has described.
func completeFailure(f *Failure, s closeSummary) *Failure {
	switch {
	case f != nil:
		return f
	case s.err != nil:
		return &Failure{Message: s.err.Error(), Type: fmt.Sprintf("%T", s.err), Err: s.err}
	default:
		return &Failure{Message: "websocket closed by the " + s.initiator + " with code " + s.code, Type: string(s.cause)}
	}
}
