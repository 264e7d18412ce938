package exportertest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// Recorder is an exporter that keeps all transactions in memory, for tests of
// programs and of exporters. It follows every rule of this package, with zero
// Limits, and never forgets anything: it is not for production. It is safe for
// concurrent use; NewRecorder makes one.
type Recorder struct {
	mu    sync.Mutex
	ended []*recorded // in the order of their ends
}

var (
	_ apmws.Exporter    = (*Recorder)(nil)
	_ apmws.Broadcaster = (*Recorder)(nil)
	_ apmws.SpanStarter = (*recorderConn)(nil)
	_ apmws.Identifier  = (*recorderConn)(nil)
	_ apmws.SpanStarter = (*recorderMessage)(nil)
	_ apmws.Identifier  = (*recorderMessage)(nil)
	_ apmws.SpanStarter = (*recorderSpan)(nil)
	_ apmws.Identifier  = (*recorderSpan)(nil)
)

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{} }

// Backend returns the Recorder as a Backend.
func (r *Recorder) Backend() Backend { return Backend{Exporter: r, Sent: r.Sent} }

// Sent returns a copy of the transactions that have ended, in that order, with
// those of their spans that have ended. The error is always nil. Raw is the same
// as JSON.
func (r *Recorder) Sent() (Telemetry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	telemetry := Telemetry{Transactions: make([]Transaction, 0, len(r.ended))}
	for _, x := range r.ended {
		t := x.Transaction
		t.Attrs = maps.Clone(t.Attrs)
		t.Links = slices.Clone(t.Links)
		t.Errors = slices.Clone(t.Errors)
		for _, span := range x.spans {
			if span.ended {
				s := span.Span
				s.Attrs = maps.Clone(s.Attrs)
				t.Spans = append(t.Spans, s)
			}
		}
		telemetry.Transactions = append(telemetry.Transactions, t)
	}
	raw, err := json.Marshal(telemetry.Transactions)
	telemetry.Raw = string(raw)
	return telemetry, err
}

// recorded is a transaction in the making. The Recorder's mutex guards it.
type recorded struct {
	Transaction
	ids   apmws.SpanContext
	ended bool
	spans []*recordedSpan
}

type recordedSpan struct {
	Span
	ended bool
}

// newRecorded starts a transaction: a child of parent, or a root when that is not
// valid.
func newRecorded(typ, name string, start time.Time, parent apmws.SpanContext) *recorded {
	ids := apmws.SpanContext{Flags: 1, TraceID: parent.TraceID}
	x := &recorded{Transaction: Transaction{Type: typ, Name: name, Start: start, Weight: 1, Attrs: make(map[string]any)}}
	if parent.IsValid() {
		x.ParentID = parent.SpanIDString()
	} else {
		rand.Read(ids.TraceID[:]) // never fails
	}
	rand.Read(ids.SpanID[:])
	x.ids, x.TraceID, x.SpanID = ids, ids.TraceIDString(), ids.SpanIDString()
	return x
}

// recorderEnd is what the events that end a transaction have in common.
type recorderEnd struct {
	time    time.Time
	result  string
	outcome apmws.Outcome
	user    string
	failure *apmws.Failure
	attrs   []slog.Attr
}

// end ends a transaction, once.
func (r *Recorder) end(x *recorded, e recorderEnd) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.ended {
		return
	}
	x.ended = true
	x.Duration = max(0, e.time.Sub(x.Start))
	x.Result, x.Outcome, x.User = e.result, e.outcome, e.user
	setAttrs(x.Attrs, e.attrs)
	if f := e.failure; f != nil {
		doc := Error{Message: f.Message, Type: f.Type, Time: e.time, Stack: string(f.Stack), Attrs: make(map[string]any)}
		setAttrs(doc.Attrs, f.Attrs)
		x.Errors = append(x.Errors, doc)
	}
	r.ended = append(r.ended, x)
}

// StartConn implements apmws.Exporter.
func (r *Recorder) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	c := &recorderConn{r: r, connect: newRecorded(semconv.TypeConnection, start.Name, start.Time, start.Remote)}
	setAttrs(c.connect.Attrs, start.Attrs)
	return ctx, c
}

// recorderConn is the handle of a connection.
type recorderConn struct {
	r       *Recorder
	connect *recorded
	once    sync.Once // DISCONNECT
}

// SpanContext implements apmws.Identifier.
func (c *recorderConn) SpanContext() apmws.SpanContext { return c.connect.ids }

// Opened implements apmws.ConnSpan.
func (c *recorderConn) Opened(e apmws.OpenEnd) {
	c.r.end(c.connect, recorderEnd{e.Time, e.Result, e.Outcome, e.User, e.Failure, e.Attrs})
}

// link is the one to CONNECT.
func (c *recorderConn) link() Link { return Link{c.connect.TraceID, c.connect.SpanID} }

// StartMessage implements apmws.ConnSpan.
func (c *recorderConn) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	parent := apmws.SpanContext{}
	if start.Continue {
		parent = start.Remote
	}
	m := &recorderMessage{r: c.r, message: newRecorded(semconv.TypeMessage, start.Name, start.Time, parent)}
	m.message.Links = append(m.message.Links, c.link())
	if start.Remote.IsValid() && !start.Continue {
		m.message.Links = append(m.message.Links, Link{start.Remote.TraceIDString(), start.Remote.SpanIDString()})
	}
	if start.Sampled {
		m.message.Weight = start.Weight
	}
	setAttrs(m.message.Attrs, start.Attrs)
	return ctx, m
}

// End implements apmws.ConnSpan.
func (c *recorderConn) End(e apmws.ConnEnd) {
	c.once.Do(func() {
		x := newRecorded(semconv.TypeDisconnection, e.Name, e.Time, apmws.SpanContext{})
		x.Links = append(x.Links, c.link())
		c.r.end(x, recorderEnd{e.Time, e.Result, e.Outcome, e.User, e.Failure, e.Attrs})
	})
}

// StartSpan implements apmws.SpanStarter.
func (c *recorderConn) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return ctx, c.r.startSpan(c.connect, c.connect.SpanID, start)
}

// recorderMessage is the handle of a message.
type recorderMessage struct {
	r       *Recorder
	message *recorded
}

// SpanContext implements apmws.Identifier.
func (m *recorderMessage) SpanContext() apmws.SpanContext { return m.message.ids }

// End implements apmws.MessageSpan.
func (m *recorderMessage) End(e apmws.MessageEnd) {
	m.r.end(m.message, recorderEnd{e.Time, e.Result, e.Outcome, e.User, e.Failure, e.Attrs})
}

// StartSpan implements apmws.SpanStarter.
func (m *recorderMessage) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return ctx, m.r.startSpan(m.message, m.message.SpanID, start)
}

// recorderSpan is the handle of a span.
type recorderSpan struct {
	r    *Recorder
	of   *recorded
	span *recordedSpan
	ids  apmws.SpanContext
}

// startSpan starts a span of a transaction, which may have ended: it is its last
// then.
func (r *Recorder) startSpan(of *recorded, parent string, start apmws.SpanStart) *recorderSpan {
	id := of.ids // of its trace
	rand.Read(id.SpanID[:])
	x := &recordedSpan{Span: Span{
		Name: start.Name, Destination: start.Destination, SpanID: id.SpanIDString(), ParentID: parent,
		Start: start.Time, Attrs: make(map[string]any),
	}}
	setAttrs(x.Attrs, start.Attrs)
	r.mu.Lock()
	defer r.mu.Unlock()
	of.spans = append(of.spans, x)
	return &recorderSpan{r: r, of: of, span: x, ids: id}
}

// SpanContext implements apmws.Identifier.
func (s *recorderSpan) SpanContext() apmws.SpanContext { return s.ids }

// StartSpan implements apmws.SpanStarter.
func (s *recorderSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return ctx, s.r.startSpan(s.of, s.span.SpanID, start)
}

// End implements apmws.ChildSpan.
func (s *recorderSpan) End(e apmws.SpanEnd) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.span.ended {
		return
	}
	s.span.ended = true
	s.span.Duration = max(0, e.Time.Sub(s.span.Start))
	s.span.Outcome = e.Outcome
	setAttrs(s.span.Attrs, e.Attrs)
}

// setAttrs copies attributes: numbers as float64, durations in seconds, times by
// RFC 3339, groups as dotted names, other values as text. What is no finite number
// is left out, since JSON cannot hold it, and so is nil.
func setAttrs(to map[string]any, attrs []slog.Attr) {
	for _, a := range attrs {
		setAttr(to, a.Key, a.Value)
	}
}

func setAttr(to map[string]any, key string, v slog.Value) {
	v = v.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, a := range v.Group() {
			joined := key + "." + a.Key
			if key == "" || a.Key == "" {
				joined = key + a.Key
			}
			setAttr(to, joined, a.Value)
		}
		return
	}
	if value, ok := plain(v); ok && key != "" {
		to[key] = value
	}
}

// plain returns a value that is a string, a boolean or a finite number.
func plain(v slog.Value) (value any, ok bool) {
	switch v.Kind() {
	case slog.KindString:
		return v.String(), true
	case slog.KindBool:
		return v.Bool(), true
	case slog.KindInt64:
		return float64(v.Int64()), true
	case slog.KindUint64:
		return float64(v.Uint64()), true
	case slog.KindFloat64:
		f := v.Float64()
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case slog.KindDuration:
		return v.Duration().Seconds(), true
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano), true
	default:
		return fmt.Sprint(v.Any()), v.Any() != nil
	}
}
