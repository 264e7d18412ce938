package exportertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// session is an exporter that is told, by hand, what an agent would tell it.
type session struct {
	*kit
	Backend
	base  time.Time // long ago, so that nobody's own clock shows it
	reuse bool      // attributes are overwritten when a call has returned
	last  atomic.Int64
}

// session opens the first back end.
func (k *kit) session() *session { return k.sessionOf(k.open[0]()) }

func (k *kit) sessionOf(b Backend) *session {
	if b.Exporter == nil || b.Sent == nil {
		k.fatalf("the Backend has no Exporter or no Sent")
	}
	return &session{kit: k, Backend: b, base: time.Now().Add(-10 * time.Minute).Truncate(time.Second)}
}

// at is a time of the session.
func (s *session) at(d time.Duration) time.Time { return s.base.Add(d) }

// lend passes attributes to a call, as memory that is the caller's again when the
// call has returned.
func (s *session) lend(attrs []slog.Attr, call func(lent []slog.Attr)) {
	lent := slices.Clone(attrs)
	call(lent)
	if s.reuse {
		for i := range lent {
			lent[i] = slog.String("kit.overwritten", "overwritten")
		}
	}
}

// conn is a connection of a session.
type conn struct {
	s     *session
	start apmws.ConnStart // as it was told
	ctx   context.Context // as the exporter returned it
	span  apmws.ConnSpan
}

// connect starts a connection. What start leaves out is filled in; its attributes
// come after those that every transaction has.
func (s *session) connect(ctx context.Context, start apmws.ConnStart) *conn {
	if start.ID == "" {
		start.ID = randomHex(8)
	}
	setDefault(&start.Route, "/rooms/{id}")
	setDefault(&start.Name, "CONNECT "+start.Route)
	if start.Time.IsZero() {
		start.Time = s.base
	}
	if start.Request == (apmws.RequestInfo{}) {
		start.Request = apmws.RequestInfo{
			Method: http.MethodGet, Host: "chat.example", Path: "/rooms/7", UserAgent: "Browser/1.0",
			Origin: "https://chat.example", Peer: "192.0.2.1:49152", Proto: "HTTP/1.1",
		}
	}
	start.Attrs = append(common(semconv.EventConnect, &start), start.Attrs...)
	c := &conn{s: s, start: start}
	s.lend(start.Attrs, func(lent []slog.Attr) {
		start.Attrs = lent
		c.ctx, c.span = s.Exporter.StartConn(ctx, start)
	})
	if c.ctx == nil || c.span == nil {
		s.fatalf("StartConn returned no context or no handle: nothing would be recorded")
	}
	return c
}

// openConn starts a connection and accepts it.
func (s *session) openConn() *conn {
	c := s.connect(context.Background(), apmws.ConnStart{})
	c.opened(apmws.OpenEnd{Accepted: true})
	return c
}

// common returns the attributes that every transaction of a connection has.
func common(event string, start *apmws.ConnStart) []slog.Attr {
	return []slog.Attr{
		slog.String(semconv.Event, event),
		slog.String(semconv.ConnectionID, start.ID),
		slog.String(semconv.Route, start.Route),
	}
}

// opened ends CONNECT: accepted, unless end has a status.
func (c *conn) opened(end apmws.OpenEnd) {
	if end.Time.IsZero() {
		end.Time = c.start.Time.Add(30 * time.Millisecond)
	}
	if end.Accepted {
		setDefault(&end.Status, http.StatusSwitchingProtocols)
		setDefault(&end.Result, "HTTP 1xx")
	}
	setDefault(&end.Outcome, apmws.OutcomeSuccess)
	if end.Status != 0 {
		end.Attrs = append([]slog.Attr{slog.Int(semconv.StatusCode, end.Status)}, end.Attrs...)
	}
	c.s.lend(end.Attrs, func(lent []slog.Attr) {
		end.Attrs = lent
		c.s.lendFailure(end.Failure, func(f *apmws.Failure) {
			end.Failure = f
			c.span.Opened(end)
		})
	})
}

// lendFailure passes a failure to a call.
func (s *session) lendFailure(failure *apmws.Failure, call func(*apmws.Failure)) {
	if failure == nil {
		call(nil)
		return
	}
	lent := *failure
	s.lend(failure.Attrs, func(attrs []slog.Attr) {
		lent.Attrs = attrs
		call(&lent)
	})
}

// closed records the end of a connection: normal, unless end has a result.
func (c *conn) closed(end apmws.ConnEnd) {
	setDefault(&end.Result, string(apmws.CauseNormal))
	setDefault(&end.Outcome, apmws.CloseCause(end.Result).Outcome())
	setDefault(&end.Name, "DISCONNECT "+c.start.Route)
	if end.Time.IsZero() {
		end.Time = c.start.Time.Add(time.Minute)
	}
	end.Attrs = slices.Concat(common(semconv.EventDisconnect, &c.start), []slog.Attr{
		slog.String(semconv.CloseCause, end.Result), slog.String(semconv.CloseCode, "1000"),
		slog.Int64(semconv.MessagesReceived, 7), slog.Float64(semconv.ConnectionDuration, 60),
	}, end.Attrs)
	c.s.lend(end.Attrs, func(lent []slog.Attr) {
		end.Attrs = lent
		c.s.lendFailure(end.Failure, func(f *apmws.Failure) {
			end.Failure = f
			c.span.End(end)
		})
	})
}

// message is a message of a connection.
type message struct {
	c     *conn
	n     int64              // its number, in the attribute kit.number
	start apmws.MessageStart // as it was told
	ctx   context.Context    // as the exporter returned it
	span  apmws.MessageSpan
}

// attrNumber tells messages apart.
const attrNumber = "kit.number"

// tryMessage starts a message, which the exporter may refuse to record.
func (c *conn) tryMessage(ctx context.Context, start apmws.MessageStart) *message {
	m := &message{c: c, n: c.s.last.Add(1)}
	setDefault(&start.Name, "chat.say")
	if start.Time.IsZero() {
		start.Time = c.start.Time.Add(time.Second + time.Duration(m.n)*time.Millisecond)
	}
	if !start.Sampled {
		start.Weight = 1
	}
	start.Attrs = slices.Concat(common(semconv.EventMessage, &c.start), []slog.Attr{
		slog.String(semconv.MessageType, "text"), slog.Int(semconv.MessageLength, 64),
		slog.String(semconv.MessageDirection, "inbound"), slog.Int64(attrNumber, m.n),
	}, start.Attrs)
	m.start = start
	c.s.lend(start.Attrs, func(lent []slog.Attr) {
		start.Attrs = lent
		m.ctx, m.span = c.span.StartMessage(ctx, start)
	})
	return m
}

// message starts a message under the connection's context.
func (c *conn) message(start apmws.MessageStart) *message {
	m := c.tryMessage(c.ctx, start)
	if m.ctx == nil || m.span == nil {
		c.s.fatalf("StartMessage returned no context or no handle: nothing would be recorded")
	}
	return m
}

// end ends a message: well, unless end has a result.
func (m *message) end(end apmws.MessageEnd) {
	setDefault(&end.Result, "ok")
	setDefault(&end.Outcome, apmws.OutcomeSuccess)
	if end.Time.IsZero() {
		end.Time = m.start.Time.Add(20 * time.Millisecond)
	}
	m.c.s.lend(end.Attrs, func(lent []slog.Attr) {
		end.Attrs = lent
		m.c.s.lendFailure(end.Failure, func(f *apmws.Failure) {
			end.Failure = f
			m.span.End(end)
		})
	})
}

// failed ends a message with an error.
func (m *message) failed(text string) {
	m.end(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: m.failure(text)})
}

// failure is that of a message.
func (m *message) failure(text string) *apmws.Failure {
	return &apmws.Failure{Message: text, Type: failureType, Err: applicationError(text), Attrs: m.start.Attrs}
}

// failureType is that of an applicationError.
const failureType = "exportertest.applicationError"

// applicationError is an error of an application's.
type applicationError string

// Error implements error.
func (e applicationError) Error() string { return string(e) }

// child is a span.
type child struct {
	s     *session
	start apmws.SpanStart
	ctx   context.Context
	span  apmws.ChildSpan
}

// canSpan reports whether spans can be started below a handle.
func canSpan(parent any) bool {
	_, ok := parent.(apmws.SpanStarter)
	return ok
}

// trySpan starts a span below a handle, which the exporter may refuse to record.
func (s *session) trySpan(ctx context.Context, parent any, start apmws.SpanStart) *child {
	starter, ok := parent.(apmws.SpanStarter)
	if !ok {
		s.fatalf("%T is no SpanStarter, as others of the exporter are", parent)
	}
	setDefault(&start.Type, "app")
	if start.Time.IsZero() {
		start.Time = s.at(2 * time.Second)
	}
	x := &child{s: s, start: start}
	s.lend(start.Attrs, func(lent []slog.Attr) {
		start.Attrs = lent
		x.ctx, x.span = starter.StartSpan(ctx, start)
	})
	return x
}

// child starts a span below a handle.
func (s *session) child(ctx context.Context, parent any, start apmws.SpanStart) *child {
	x := s.trySpan(ctx, parent, start)
	if x.ctx == nil || x.span == nil {
		s.fatalf("StartSpan of %q returned no context or no handle: nothing would be recorded", start.Name)
	}
	return x
}

// end ends a span: well, unless end has an outcome.
func (x *child) end(end apmws.SpanEnd) {
	setDefault(&end.Outcome, apmws.OutcomeSuccess)
	if end.Time.IsZero() {
		end.Time = x.start.Time.Add(5 * time.Millisecond)
	}
	x.s.lend(end.Attrs, func(lent []slog.Attr) {
		end.Attrs = lent
		x.span.End(end)
	})
}

// setDefault replaces a zero value.
func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// remote returns a trace context that came from outside.
func remote() apmws.SpanContext {
	sc := apmws.SpanContext{Flags: 1}
	rand.Read(sc.TraceID[:])
	rand.Read(sc.SpanID[:])
	return sc
}
