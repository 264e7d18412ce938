package apmws

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"strconv"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// CloseCause says why a connection ended. The set is closed.
type CloseCause string

// Close causes. Those whose Outcome is OutcomeFailure make an error document.
const (
	CauseNormal           CloseCause = "normal"
	CauseGoingAway        CloseCause = "going_away"
	CauseApplication      CloseCause = "application"       // the handler closed it, with a code of its own or none
	CauseHeartbeatTimeout CloseCause = "heartbeat_timeout" // see Heartbeat; or a read deadline passed while a ping was unanswered
	CauseReadError        CloseCause = "read_error"        // the peer vanished without a close frame
	CauseProtocolError    CloseCause = "protocol_error"
	CauseMessageTooBig    CloseCause = "message_too_big"
	CauseWriteError       CloseCause = "write_error"
	CauseHandlerError     CloseCause = "handler_error" // the handler closed it with 1011
	CausePanic            CloseCause = "panic"
	CauseSlowConsumer     CloseCause = "slow_consumer" // its peer did not take what was sent: see SendQueue
	CauseMaxAge           CloseCause = "max_age"       // see EndpointOptions.MaxAge
	CauseDrain            CloseCause = "drain"         // see Agent.Shutdown
)

// closeCauses is the closed set, for counters.
var closeCauses = [...]CloseCause{
	CauseNormal, CauseGoingAway, CauseApplication, CauseHeartbeatTimeout, CauseReadError,
	CauseProtocolError, CauseMessageTooBig, CauseWriteError, CauseHandlerError, CausePanic, CauseSlowConsumer,
	CauseMaxAge, CauseDrain,
}

// Outcome of a connection that ended for that cause. A phone that leaves
// coverage is no failure of the server.
func (c CloseCause) Outcome() Outcome {
	switch c {
	case CauseWriteError, CauseHandlerError, CausePanic, CauseSlowConsumer:
		return OutcomeFailure
	case CauseHeartbeatTimeout, CauseReadError, CauseProtocolError, CauseMessageTooBig:
		return OutcomeUnknown
	default:
		return OutcomeSuccess
	}
}

// Close initiators.
const (
	byClient  = "client"
	byServer  = "server"
	byNetwork = "network"
)

// ending is the first thing that showed a connection's end.
type ending struct {
	how    endingKind
	code   int    // of the first close frame; 1005 when it had none
	reason string // as the peer or the application gave it
	err    error  // of the read or the write
	// failure is why the handler ended the connection, when it did so badly.
	// It is set by Serve and Handler and outranks the close frame.
	failure  *Failure
	cause    CloseCause // with failure
	planned  CloseCause // of this side's close frame, or of its end without one; empty: follows from the code
	reported bool       // DISCONNECT has had the failure
}

// end returns what is known of the end. mu is held.
func (c *Conn) end() *ending {
	if c.ending == nil {
		c.ending = new(ending)
	}
	return c.ending
}

type endingKind uint8

const (
	endedByClose     endingKind = iota // the connection was closed without any of the below
	endedByPeerFrame                   // a close frame came in
	endedByOwnFrame                    // a close frame went out
	endedByRead
	endedByWrite
	endedByViolation    // the peer broke the protocol; undone when the library reads on
	endedByTimeout      // a read deadline; tentative, since some programs poll
	endedByWriteTimeout // likewise; undone when another write succeeds
	endedByPlan         // this side has closed the socket, without a close frame
	endedByHeartbeat    // the peer has not answered a ping of the agent's
)

// closeSummary is what DISCONNECT says of the end.
type closeSummary struct {
	cause     CloseCause
	initiator string
	code      string
	reason    string
	err       error
}

// summary derives the cause. pinged says that a ping was unanswered.
func (e *ending) summary(pinged bool) closeSummary {
	s := closeSummary{code: semconv.None, initiator: byServer, cause: CauseApplication, err: e.err}
	switch e.how {
	case endedByPeerFrame:
		s.initiator, s.cause = byClient, peerCause(e.code)
	case endedByOwnFrame:
		s.cause = cmp.Or(e.planned, ownCause(e.code))
	case endedByPlan:
		s.cause = cmp.Or(e.planned, CauseApplication)
	case endedByRead:
		s.initiator, s.cause = byNetwork, CauseReadError
	case endedByWrite, endedByWriteTimeout:
		s.initiator, s.cause = byNetwork, CauseWriteError
	case endedByViolation:
		s.cause = CauseProtocolError
	case endedByTimeout:
		s.initiator, s.cause = byNetwork, CauseReadError
		if pinged {
			s.cause = CauseHeartbeatTimeout
		}
	case endedByHeartbeat:
		s.initiator, s.cause = byNetwork, CauseHeartbeatTimeout
	case endedByClose:
	}
	if e.how == endedByPeerFrame || e.how == endedByOwnFrame {
		s.code = strconv.Itoa(e.code)
		s.reason = sanitize(e.reason, maxCloseReason)
	}
	if e.cause != "" {
		s.cause, s.initiator = e.cause, byServer
	}
	return s
}

// seenByClient makes a summary, which is that of a server, the client's.
func (s *closeSummary) seenByClient() {
	switch s.initiator {
	case byServer:
		s.initiator = byClient
	case byClient:
		s.initiator = byServer
	}
}

// maxCloseReason is what a close frame can hold (RFC 6455, section 5.5.1).
const maxCloseReason = 123 // bytes

func peerCause(code int) CloseCause {
	switch {
	case code == websocket.CloseNormalClosure, code == websocket.CloseNoStatusReceived, code >= 3000 && code <= 4999:
		return CauseNormal
	case code == websocket.CloseMessageTooBig:
		return CauseMessageTooBig
	case code == websocket.CloseProtocolError, code == websocket.CloseUnsupportedData,
		code == websocket.CloseInvalidFramePayloadData, code == websocket.CloseMandatoryExtension:
		return CauseProtocolError
	case !validCloseCode(code):
		return CauseProtocolError
	default:
		// 1001, and what a client in trouble says of itself: it leaves.
		return CauseGoingAway
	}
}

func ownCause(code int) CloseCause {
	switch code {
	case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived:
		return CauseNormal
	case websocket.CloseGoingAway:
		return CauseGoingAway
	case websocket.CloseProtocolError, websocket.CloseUnsupportedData, websocket.CloseInvalidFramePayloadData:
		return CauseProtocolError
	case websocket.CloseMessageTooBig:
		return CauseMessageTooBig
	case websocket.CloseInternalServerErr:
		return CauseHandlerError
	default:
		return CauseApplication
	}
}

// The tap reports what it sees through these. The first counts: when the peer
// has vanished, the close frame that the handler still writes is no cause.

func (c *Conn) peerClosed(code int, reason string) {
	c.ended(ending{how: endedByPeerFrame, code: code, reason: reason})
}

func (c *Conn) peerViolated() { c.ended(ending{how: endedByViolation}) }

// ownClosed returns what takes the close frame back when it could not be
// written.
func (c *Conn) ownClosed(code int, reason string) (takeBack func()) {
	before, noted := c.ended(ending{how: endedByOwnFrame, code: code, reason: reason})
	return func() {
		if !noted {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.end().how == endedByOwnFrame {
			before.failure, before.cause = c.end().failure, c.end().cause
			*c.end() = before
		}
	}
}

// writeFailed reports whether it was a deadline, which need not be the end.
func (c *Conn) writeFailed(err error) (timedOut bool) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case isNetTimeout(err):
		c.ended(ending{how: endedByWriteTimeout, err: err})
		return true
	default:
		c.ended(ending{how: endedByWrite, err: err})
	}
	return false
}

// readFailed reports whether it was a deadline, which need not be the end.
func (c *Conn) readFailed(err error) (timedOut bool) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case isNetTimeout(err):
		c.ended(ending{how: endedByTimeout, err: err})
		return true
	default:
		c.ended(ending{how: endedByRead, err: err})
	}
	return false
}

// isNetTimeout reports whether an error is a missed deadline, as libraries
// decide it.
func isNetTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// goesOn undoes what did not end the connection.
func (c *Conn) goesOn(tentative endingKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end().how == tentative {
		c.end().how, c.end().err = endedByClose, nil
	}
}

// ended returns what was known before, and whether that is replaced.
func (c *Conn) ended(e ending) (before ending, replaced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endedLocked(e)
}

// endedLocked is ended. mu is held.
func (c *Conn) endedLocked(e ending) (before ending, replaced bool) {
	before = *c.end()
	if replaced = before.replacedBy(e.how, c.pings.unanswered() > 0); replaced {
		e.failure, e.cause, e.planned = before.failure, before.cause, cmp.Or(e.planned, before.planned)
		*c.end() = e
	}
	return before, replaced
}

// replacedBy reports whether what happens now tells more of the end than what
// is known. pinged says that a ping is unanswered.
func (e *ending) replacedBy(how endingKind, pinged bool) bool {
	switch e.how {
	case endedByClose:
		return true
	case endedByViolation:
		return how == endedByOwnFrame // the code says the same, and is sent
	case endedByWriteTimeout:
		return how == endedByHeartbeat
	case endedByTimeout:
		// A handler that gives up a silent peer may say so with a close frame, and
		// fail to; the cause is the silence all the same.
		return how == endedByPeerFrame || how == endedByRead || how == endedByViolation ||
			how == endedByHeartbeat || (how == endedByOwnFrame || how == endedByPlan) && !pinged
	default:
		return false
	}
}

// failed notes why the handler gives the connection up.
func (c *Conn) failed(cause CloseCause, failure *Failure) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end().cause == "" {
		c.end().cause, c.end().failure = cause, failure
	}
}

// appendTo appends DISCONNECT's own attributes.
func (s *closeSummary) appendTo(dst []slog.Attr) []slog.Attr {
	dst = append(dst,
		slog.String(semconv.CloseCode, s.code),
		slog.String(semconv.CloseInitiator, s.initiator),
		slog.String(semconv.CloseCause, string(s.cause)))
	if s.reason != "" {
		dst = append(dst, slog.String(semconv.CloseReason, s.reason))
	}
	return dst
}
