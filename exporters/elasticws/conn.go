package elasticws

import (
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
}

// handshake is the CONNECT transaction.
type handshake struct {
	carrier
	start   time.Time
	request *http.Request
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
	c := &connSpan{exporter: e, connect: spanContext(tx), labels: newConnLabels(start.ID, start.Route)}
	c.link[0] = link(&c.connect)
	h.setClient(start.Attrs)
	tx.Context.SetHTTPRequest(h.request)
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
	r := &http.Request{
		Method:     info.Method,
		Host:       info.Host,
		URL:        &url.URL{Path: info.Path},
		Header:     http.Header{},
		RemoteAddr: info.Peer,
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

// setClient notes the client's address when that is known better than by the
// socket. It reports whether it was.
func (h *handshake) setClient(attrs []slog.Attr) bool {
	for i := range attrs {
		if inRequest(attrs[i].Key) {
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
	tx := h.leave()
	clientKnown := h.setClient(end.Attrs)
	if end.Failure != nil {
		err := c.exporter.newError(tx, end.Time, end.User, end.Failure)
		clientKnown = h.setClient(end.Failure.Attrs) || clientKnown
		err.Context.SetHTTPRequest(h.request)
		if end.Status != 0 {
			err.Context.SetHTTPStatusCode(end.Status)
		}
		c.labels.set(&err.Context, end.Failure.Attrs, inRequest)
		err.Send()
	}
	if tx.TransactionData != nil { // else the application has ended it
		if clientKnown {
			tx.Context.SetHTTPRequest(h.request)
		}
		if end.Status != 0 {
			tx.Context.SetHTTPStatusCode(end.Status)
		}
		if tx.Sampled() {
			c.labels.set(&tx.Context, end.Attrs, inRequest)
		}
		endTransaction(tx, duration(h.start, end.Time), end.Result, end.Outcome, end.User)
	}
	if end.Accepted {
		h.outer.shorten(end.Time)
	}
}

// leave returns the CONNECT transaction to be ended, and leaves the handler one
// with the same ids that never ends. The handler may have looked its transaction
// up before the upgrade, as it could without apmws, and go on setting labels:
// with one that has ended that is a nil pointer. What it sets then is not sent.
func (h *handshake) leave() *apm.Transaction {
	lock := lockOf(h.tx)
	if lock == nil {
		return h.tx
	}
	ids := h.tx.TraceContext()
	parent := h.tx.ParentID()
	twin := h.exporter.tracer.StartTransactionOptions("", semconv.TypeConnection, apm.TransactionOptions{
		TraceContext:  apm.TraceContext{Trace: ids.Trace, Span: parent, Options: ids.Options, State: ids.State},
		TransactionID: ids.Span,
		Start:         h.start,
	})
	lock.Lock()
	defer lock.Unlock()
	if h.tx.TransactionData == nil || twin.TraceContext().Trace != ids.Trace {
		twin.Discard() // the application has ended it, or central configuration has changed
		return h.tx
	}
	twin.TransactionData, h.tx.TransactionData = h.tx.TransactionData, twin.TransactionData
	return twin
}

// End implements apmws.ConnSpan.
func (c *connSpan) End(end apmws.ConnEnd) {
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

// StartSpan implements apmws.SpanStarter.
func (c *connSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	h := c.open.Load()
	if h == nil {
		return ctx, nil
	}
	return h.startSpan(ctx, &c.labels, start)
}
