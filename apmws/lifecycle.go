package apmws

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// answered is called when the answer has been written to a hijacked connection.
func (c *Conn) answered(status int) {
	if status == http.StatusSwitchingProtocols {
		c.accepted()
		return
	}
	c.refuse(status, nil, false)
}

// accepted ends CONNECT.
func (c *Conn) accepted() {
	c.mu.Lock()
	if c.state != connecting {
		c.mu.Unlock()
		return
	}
	c.state = open
	proto := c.proto
	c.mu.Unlock()

	now := time.Now()
	c.route.counters.opened.Add(1)
	c.agent.registry.add(c)
	c.endScope()

	scratch := getScratch()
	attrs := append(scratch.attrs, slog.Int(semconv.StatusCode, http.StatusSwitchingProtocols))
	if proto != "" {
		attrs = append(attrs, slog.String(semconv.Subprotocol, proto))
	}
	user, own := c.identity()
	attrs = append(attrs, own...)
	c.span.Opened(OpenEnd{
		Time: now, Accepted: true, Status: http.StatusSwitchingProtocols, Result: "HTTP 1xx",
		Outcome: OutcomeSuccess, User: user, Attrs: attrs,
	})
	scratch.put(attrs)
	c.logConnected(now, proto)
	c.request = nil
}

// endScope hides the CONNECT transaction from the handler's context, before the
// exporters end it.
func (c *Conn) endScope() { c.scope.live.Store(nil) }

// refuse ends CONNECT without a connection. Status 0: there was no answer.
func (c *Conn) refuse(status int, failure *Failure, originRefused bool) {
	c.mu.Lock()
	if c.state != connecting {
		c.mu.Unlock()
		return
	}
	c.state = refused
	reason := c.reason
	c.mu.Unlock()

	now := time.Now()
	if reason == "" {
		reason = refusalReason(status, originRefused, failure != nil)
	}
	result, outcome := semconv.None, OutcomeFailure
	if status != 0 {
		result = fmt.Sprintf("HTTP %dxx", status/100)
		if status < 500 && failure == nil {
			outcome = OutcomeSuccess
		}
	}
	c.route.refused(status, reason)
	c.endScope()

	scratch := getScratch()
	attrs := append(scratch.attrs, slog.String(semconv.RefusalReason, reason))
	if status != 0 {
		attrs = append(attrs, slog.Int(semconv.StatusCode, status))
	}
	user, own := c.identity()
	attrs = append(attrs, own...)
	if failure != nil {
		failure.Attrs = append(c.appendCommon(nil, semconv.EventConnect), attrs...)
	}
	c.span.Opened(OpenEnd{Time: now, Status: status, Result: result, Outcome: outcome, User: user, Failure: failure, Attrs: attrs})
	scratch.put(attrs)
	c.logRefused(now, status, reason, outcome, failure)
}

// Refusal reasons of the contract.
const (
	reasonUnauthenticated = "unauthenticated"
	reasonForbidden       = "forbidden"
	reasonOrigin          = "origin"
	reasonBadHandshake    = "bad_handshake"
	reasonUpgradeFailed   = "upgrade_failed"
	reasonDraining        = "draining"
)

var refusalReasons = []string{
	reasonUnauthenticated, reasonForbidden, reasonOrigin, reasonBadHandshake, reasonUpgradeFailed, reasonDraining,
}

func refusalReason(status int, originRefused, panicked bool) string {
	switch {
	case panicked, status == 0, status == http.StatusInternalServerError, status == http.StatusNotImplemented:
		return reasonUpgradeFailed
	case originRefused:
		return reasonOrigin
	case status == http.StatusUnauthorized:
		return reasonUnauthenticated
	case status == http.StatusForbidden:
		return reasonForbidden
	case status == http.StatusBadRequest, status == http.StatusMethodNotAllowed, status == http.StatusUpgradeRequired:
		return reasonBadHandshake
	default:
		return semconv.Other
	}
}

// handlerReturned is called when next has returned or panicked. A connection
// that was hijacked may live on.
func (c *Conn) handlerReturned(rec *responseRecorder, aborted bool, failure *Failure) {
	if !rec.hijacked {
		status := rec.status
		switch {
		case aborted && !rec.flushed:
			status = 0 // net/http closes the connection without sending what it holds
		case status == 0:
			status = http.StatusOK // what net/http answers then
		}
		c.refuse(status, failure, rec.originRefused())
		return
	}
	if failure != nil {
		c.failed(CausePanic, failure)
	}
	c.reportPostponed()
}

// disconnected ends the connection, once.
func (c *Conn) disconnected() {
	c.mu.Lock()
	if c.postponed != nil || c.state != open {
		connecting := c.state == connecting && c.postponed == nil
		c.mu.Unlock()
		if connecting {
			c.refuse(0, nil, false)
		}
		return
	}
	c.state = closed
	pinged := c.pings != nil && c.pings.n > 0
	summary := c.ending.summary(pinged)
	failure := c.ending.failure
	if pinged {
		c.route.counters.pingsUnanswered.Add(int64(c.pings.n))
	}
	c.mu.Unlock()

	now := time.Now()
	duration := now.Sub(c.start)
	c.agent.registry.remove(c)
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
	if outcome == OutcomeFailure {
		failure = completeFailure(failure, summary)
		failure.Attrs = attrs
	} else {
		failure = nil
	}
	c.span.End(ConnEnd{
		Time: now, Name: "DISCONNECT " + c.route.name, Result: string(summary.cause),
		Outcome: outcome, User: user, Failure: failure, Attrs: attrs,
	})
	c.logDisconnected(duration, summary, outcome, failure)
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
		return &Failure{Message: "websocket closed by the server with code " + s.code, Type: string(s.cause)}
	}
}
