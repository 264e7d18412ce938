package elasticws

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// connSpan is the handle of a connection. It lives as long as the connection, so
// it keeps no more than that needs; what CONNECT needs is in a handshake.
type connSpan struct {
	exporter *Exporter
	connect  apmws.SpanContext // of CONNECT
	link     [1]apm.SpanLink   // to CONNECT
	labels   connLabels
	open     atomic.Pointer[handshake] // nil once CONNECT has ended
	ended    atomic.Bool
}

// handshake is the CONNECT transaction.
type handshake struct {
	carrier
	start   time.Time
	request *http.Request // nil: it is this side's own
	outer   outer
}

// StartConn implements apmws.Exporter.
func (e *Exporter) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	if !e.tracer.Recording() {
		return ctx, nil
	}
	outer, parent := findOuter(ctx, start.Time)
	if parent.Span.Validate() != nil && start.Remote.IsValid() {
		parent = remoteContext(start.Remote)
	}
	tx := e.tracer.StartTransactionOptions(start.Name, semconv.TypeConnection, apm.TransactionOptions{
		TraceContext: parent,
		Start:        start.Time,
	})
	h := &handshake{
		carrier: carrier{Context: ctx, exporter: e, tx: tx},
		start:   start.Time,
		request: syntheticRequest(start.Request),
		outer:   outer,
	}
	c := &connSpan{exporter: e, connect: spanContext(tx), labels: newConnLabels(start.ID, start.Route, e.tags)}
	c.link[0] = link(&c.connect)
	h.setClient(start.Attrs)
	h.setRequest(&tx.Context)
	if tx.Sampled() {
		c.labels.set(&tx.Context, start.Attrs, inRequest)
	}
	c.open.Store(h)
	return h.context(), c
}

// syntheticRequest makes a request for Elastic's agent that holds what may be
// known of the real one: the agent would send the query, the cookies and most
// headers of that.
func syntheticRequest(info apmws.RequestInfo) *http.Request {
	if info == (apmws.RequestInfo{}) {
		return nil
	}
	r := &http.Request{
		Method:     info.Method,
		Host:       info.Host,
		URL:        &url.URL{Path: info.Path},
		Header:     http.Header{},
		RemoteAddr: cmp.Or(info.Client, info.Peer),
		Proto:      info.Proto,
	}
	if info.UserAgent != "" {
		r.Header.Set("User-Agent", info.UserAgent)
	}
	if major, minor, ok := http.ParseHTTPVersion(info.Proto); ok {
		r.ProtoMajor, r.ProtoMinor = major, minor
	}
	if info.TLS {
		r.TLS = &tls.ConnectionState{}
	}
	return r
}

// setRequest sets the context of the request. Elastic's is of requests that came in.
func (h *handshake) setRequest(c *apm.Context) {
	if h.request != nil {
		c.SetHTTPRequest(h.request)
	}
}

// setClient notes the client's address when that is known better than by the
// socket. It reports whether it was.
func (h *handshake) setClient(attrs []slog.Attr) bool {
	for i := range attrs {
		if inRequest(attrs[i].Key) && h.request != nil {
			h.request.RemoteAddr = attrs[i].Value.Resolve().String()
			return true
		}
	}
	return false
}

// inRequest reports whether an attribute of CONNECT belongs into the context of
// the request, where Elastic makes client.ip of it.
func inRequest(key string) bool { return key == semconv.ClientAddress || key == "client.ip" }

// Opened implements apmws.ConnSpan.
func (c *connSpan) Opened(end apmws.OpenEnd) {
	h := c.open.Swap(nil)
	if h == nil {
		return
	}
	tx := h.tx
	clientKnown := h.setClient(end.Attrs)
	if end.Failure != nil {
		err := c.exporter.newError(tx, end.Time, end.User, end.Failure)
		clientKnown = h.setClient(end.Failure.Attrs) || clientKnown
		h.setRequest(&err.Context)
		if end.Status != 0 {
			err.Context.SetHTTPStatusCode(end.Status)
		}
		c.labels.set(&err.Context, end.Failure.Attrs, inRequest)
		err.Send()
	}
	if tx.TransactionData != nil { // else the application has ended it
		if clientKnown {
			h.setRequest(&tx.Context)
		}
		if end.Status != 0 {
			tx.Context.SetHTTPStatusCode(end.Status)
		}
		if tx.Sampled() {
			c.labels.set(&tx.Context, end.Attrs, inRequest)
		}
		h.leave(func() {
			endTransaction(tx, duration(h.start, end.Time), end.Result, end.Outcome, end.User)
		})
	}
	if end.Accepted {
		h.outer.shorten(end.Time)
	}
}

// leave lets end end the CONNECT transaction, and leaves the handler one with the
// same ids that is never sent. The handler may have looked its transaction up
// before the upgrade, as it could without apmws, and go on setting labels: with
// one that has ended that is a nil pointer.
//
// What it sets then is lost. A span that it starts or ends then is sent, except
// that the agent holds an exit span back until the next span that ends below the
// same parent, to compress the two: the last of those which end after the
// upgrade directly below CONNECT may never be sent. Spans of our own are not held
// back, see connSpan.StartSpan.
func (h *handshake) leave(end func()) {
	lock := lockOf(h.tx)
	if lock == nil {
		end()
		return
	}
	spare := h.exporter.tracer.StartTransactionOptions("", semconv.TypeConnection, apm.TransactionOptions{Start: h.start})
	neverSend(spare)
	end()
	// Spans that other goroutines start in between belong to an ended transaction,
	// which the agent allows.
	lock.Lock()
	defer lock.Unlock()
	h.tx.TransactionData, spare.TransactionData = spare.TransactionData, nil
}

// End implements apmws.ConnSpan.
func (c *connSpan) End(end apmws.ConnEnd) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	tx := c.exporter.tracer.StartTransactionOptions(end.Name, semconv.TypeDisconnection, apm.TransactionOptions{
		Start: end.Time,
		Links: c.links(),
	})
	if tx.Sampled() {
		c.labels.set(&tx.Context, end.Attrs, nil)
	}
	if end.Failure != nil {
		err := c.exporter.newError(tx, end.Time, end.User, end.Failure)
		c.labels.set(&err.Context, end.Failure.Attrs, nil)
		err.Send()
	}
	endTransaction(tx, 0, end.Result, end.Outcome, end.User)
}

// links returns the link to CONNECT, or none when that was not sampled: it would
// lead nowhere.
func (c *connSpan) links() []apm.SpanLink {
	if !c.connect.Sampled() {
		return nil
	}
	return c.link[:]
}

// endTransaction ends a transaction. The outcome is always set: the agent would
// derive it from the status, or from an error that was captured.
func endTransaction(tx *apm.Transaction, d time.Duration, result string, outcome apmws.Outcome, user string) {
	tx.Duration = d
	tx.Result = result
	tx.Outcome = string(outcome)
	if user != "" { // else the application may have set it with Elastic's API
		tx.Context.SetUserID(user)
	}
	tx.End()
}

// duration is never negative: the agent would measure on its own then.
func duration(from, to time.Time) time.Duration { return max(0, to.Sub(from)) }

// SpanContext implements apmws.Identifier.
func (c *connSpan) SpanContext() apmws.SpanContext { return c.connect }

// StartSpan implements apmws.SpanStarter. The agent does not compress a span whose
// trace context has been asked for. It must not here: a span that it holds back
// for that when CONNECT ends would be lost, see handshake.leave.
func (c *connSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	h := c.open.Load()
	if h == nil {
		return ctx, nil
	}
	ctx, span := h.startSpan(ctx, &c.labels, start)
	span.span.TraceContext()
	return ctx, span
}
