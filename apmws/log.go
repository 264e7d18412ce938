package apmws

import (
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// The agent's log lines. Field names are ECS; the contract's own strings are
// ECS labels, spelled as Elastic spells them in traces. The logger's own names
// for time, level and message stay the application's.

// label is the name under which a string attribute is logged.
func label(name string) string { return "labels." + strings.ReplaceAll(name, ".", "_") }

var (
	labelEvent        = label(semconv.Event)
	labelConnectionID = label(semconv.ConnectionID)
	labelRoute        = label(semconv.Route)
	labelRole         = label(semconv.Role)
	labelOrigin       = label(semconv.Origin)
	labelSubprotocol  = label(semconv.Subprotocol)
	labelReason       = label(semconv.RefusalReason)
	labelMessageName  = label(semconv.MessageName)
	labelMessageType  = label(semconv.MessageType)
	labelCloseCode    = label(semconv.CloseCode)
	labelCloseReason  = label(semconv.CloseReason)
	labelCloseCause   = label(semconv.CloseCause)
	labelInitiator    = label(semconv.CloseInitiator)
	labelRecent       = label(semconv.ConnectionRecent)
)

// line begins a line with what every line has.
func (c *Conn) line(level zerolog.Level, action, event string, ids identified) *zerolog.Event {
	if c.agent.logger == nil {
		return nil // zerolog's disabled line
	}
	e := c.agent.logger.WithLevel(level)
	if e == nil {
		return nil
	}
	e.Str("event.action", action)
	c.logIdentity(e, event, ids)
	return e
}

// identified are the exporters' handles of a transaction.
type identified interface {
	// logIDs writes their ids.
	logIDs(e *zerolog.Event)
}

// logIdentity writes the ids.
func (c *Conn) logIdentity(e *zerolog.Event, event string, ids identified) {
	e.Str(labelEvent, event).Str(labelConnectionID, c.id).Str(labelRoute, c.route.name)
	if c.dialled != nil {
		e.Str(labelRole, semconv.RoleClient)
	}
	if ids != nil {
		ids.logIDs(e)
	}
	if user := c.User(); user != "" {
		e.Str(semconv.UserID, user)
	}
}

func (c *Conn) logArrival() {
	e := c.line(zerolog.InfoLevel, "websocket-handshake", semconv.EventConnect, c.scope.ids)
	if e == nil {
		return
	}
	c.logRequest(e)
	e.Msg("websocket handshake")
}

// logRequest writes what may be known of the request.
func (c *Conn) logRequest(e *zerolog.Event) {
	if c.dialled != nil {
		e.Str(semconv.ServerAddress, c.dialled.address)
		return
	}
	e.Str("http.request.method", c.request.Method).
		Str("url.path", c.request.Path).
		Str(semconv.ClientAddress, c.ClientAddress())
	if agent := c.request.UserAgent; agent != "" {
		e.Str("user_agent.original", agent)
	}
	if origin := c.request.Origin; origin != "" {
		e.Str(labelOrigin, origin)
	}
}

func (c *Conn) logConnected(now time.Time, subprotocol string, outcome Outcome) {
	e := c.line(zerolog.InfoLevel, "websocket-connected", semconv.EventConnect, c.scope.ids)
	if e == nil {
		return
	}
	c.logRequest(e)
	if subprotocol != "" {
		e.Str(labelSubprotocol, subprotocol)
	}
	e.Int(semconv.StatusCode, 101).
		Str(semconv.EventOutcome, string(outcome)).
		Int64("event.duration", int64(now.Sub(c.start))).
		Msg("websocket connected")
}

func (c *Conn) logRefused(now time.Time, r refusal, reason string, outcome Outcome, why *Failure) {
	level := zerolog.WarnLevel
	if r.status >= 500 || r.failure != nil {
		level = zerolog.ErrorLevel
	}
	e := c.line(level, "websocket-refused", semconv.EventConnect, c.scope.ids)
	if e == nil {
		return
	}
	c.logRequest(e)
	if r.status != 0 {
		e.Int(semconv.StatusCode, r.status)
	}
	logFailure(e, why)
	if r.hijackerHidden && why == nil {
		e.Str("error.message", "no http.Hijacker reached the WebSocket library: a middleware between it and apmws hides it")
	}
	e.Str(labelReason, reason).
		Str("event.reason", reason).
		Str(semconv.EventOutcome, string(outcome)).
		Int64("event.duration", int64(now.Sub(c.start))).
		Msg("websocket refused")
}

// logLatePanic writes the line of a handler that has panicked after its
// connection was closed: DISCONNECT has been reported without it.
func (c *Conn) logLatePanic(failure *Failure) {
	e := c.line(zerolog.ErrorLevel, "websocket-disconnected", semconv.EventDisconnect, c.scope.ids)
	if e == nil {
		return
	}
	logFailure(e, failure)
	e.Msg("websocket handler panicked after the connection was closed")
}

// logMessage writes the line of a handled message: always for a failure, else
// when asked for.
func (c *Conn) logMessage(name string, typ MessageType, size int, ids *handles, d time.Duration, h handling) {
	level := zerolog.ErrorLevel
	if h.failure == nil {
		if level = c.messageLevel(name); level == zerolog.Disabled {
			return
		}
	}
	e := c.line(level, "websocket-message", semconv.EventMessage, ids)
	if e == nil {
		return
	}
	logFailure(e, h.failure)
	e.Str(labelMessageName, name).
		Str(labelMessageType, typ.String()).
		Int(semconv.MessageLength, size).
		Str(semconv.EventOutcome, string(h.outcome)).
		Int64("event.duration", int64(d)).
		Msg("websocket message")
}

// messageLevel returns the level at which a handled message is to be logged.
func (c *Conn) messageLevel(name string) (level zerolog.Level) {
	asked := c.route.messages.LogLevel
	if asked == nil {
		return zerolog.Disabled
	}
	level = zerolog.Disabled
	defer c.agent.containCallback()
	return asked(name)
}

// logPeerLost writes the line of a peer that was silent that long after a ping.
func (c *Conn) logPeerLost(silence time.Duration) {
	e := c.line(zerolog.WarnLevel, "websocket-peer-lost", semconv.EventDisconnect, c.scope.ids)
	if e == nil {
		return
	}
	if c.dialled != nil {
		e.Str(semconv.ServerAddress, c.dialled.address)
	} else {
		e.Str(semconv.ClientAddress, c.ClientAddress())
	}
	e.Str("event.reason", string(CauseHeartbeatTimeout)).
		Int64("event.duration", int64(silence)).
		Msg("websocket peer lost")
}

func (c *Conn) logDisconnected(d time.Duration, s closeSummary, outcome Outcome, failure *Failure, past string) {
	level := zerolog.InfoLevel
	if outcome == OutcomeFailure {
		level = zerolog.WarnLevel
	}
	e := c.line(level, "websocket-disconnected", semconv.EventDisconnect, c.scope.ids)
	if e == nil {
		return
	}
	if s.reason != "" {
		e.Str(labelCloseReason, s.reason)
	}
	if past != "" {
		e.Str(labelRecent, past)
	}
	logFailure(e, failure)
	e.Str(labelCloseCode, s.code).
		Str(labelCloseCause, string(s.cause)).
		Str(labelInitiator, s.initiator)
	if c.dialled != nil {
		e.Str(semconv.ServerAddress, c.dialled.address)
	} else {
		e.Str(semconv.ClientAddress, c.ClientAddress())
	}
	e.Int64(semconv.MessagesReceived, c.messagesReceived.Load()).
		Int64(semconv.MessagesSent, c.messagesSent.Load()).
		Int64(semconv.BytesReceived, c.bytesReceived.Load()).
		Int64(semconv.BytesSent, c.bytesSent.Load()).
		Str(semconv.EventOutcome, string(outcome)).
		Str("event.reason", string(s.cause)).
		Int64("event.duration", int64(d)).
		Msg("websocket disconnected")
}

// logFailure writes the error, if any.
func logFailure(e *zerolog.Event, f *Failure) {
	if f == nil {
		return
	}
	e.Str("error.message", f.Message).Str("error.type", f.Type)
	if f.Stack != nil {
		e.Str("error.stack_trace", string(f.Stack))
	}
}
