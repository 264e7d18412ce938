package newrelicws

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// connSpan is the handle of a connection. It lives as long as the connection, so
// it keeps no more than that needs; what CONNECT needs is in a handshake.
type connSpan struct {
	exporter *Exporter
	connect  apmws.SpanContext // of CONNECT; zero when that was not recorded
	values   connValues
	open     atomic.Pointer[handshake] // nil once CONNECT has ended
	ended    atomic.Bool
}

// handshake is the CONNECT transaction.
type handshake struct {
	transaction
	outer outer
}

// StartConn implements apmws.Exporter.
func (e *Exporter) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	if e.app == nil {
		return ctx, nil
	}
	c := &connSpan{exporter: e}
	around := findOuter(ctx)
	tx := e.start(semconv.TypeConnection + "/" + start.Name)
	if tx == nil {
		c.values = newConnValues(start.ID, start.Route, c.connect)
		return ctx, c
	}
	e.accept(tx, &start.Remote, transportOf(&start.Request))
	c.connect = identify(tx)
	c.values = newConnValues(start.ID, start.Route, c.connect)
	h := &handshake{outer: around}
	h.init(ctx, e, tx, c.connect, &c.values)
	c.values.set(h, start.Attrs)
	h.setRequest(&start.Request, start.Attrs)
	c.open.Store(h)
	return h.context(), c
}

func transportOf(r *apmws.RequestInfo) newrelic.TransportType {
	if r.TLS {
		return newrelic.TransportHTTPS
	}
	return newrelic.TransportHTTP
}

// setRequest sets what may be known of the request, under the names that New
// Relic's agents use. The agent is not given a request: CONNECT would be a web
// transaction, and the agent sends the referrer.
func (h *handshake) setRequest(r *apmws.RequestInfo, attrs []slog.Attr) {
	own := ownAttributes{&h.transaction}
	for _, known := range [...]struct{ key, value string }{
		{attrMethod, r.Method},
		{attrURI, r.Path},
		{attrHost, r.Host},
		{attrUserAgent, r.UserAgent},
	} {
		if known.value != "" {
			own.AddAttribute(known.key, cut(known.value))
		}
	}
	for i := range attrs {
		if attrs[i].Key == semconv.ClientAddress {
			return // the client's address is known better than by the socket
		}
	}
	if client := cmp.Or(r.Client, hostOf(r.Peer)); client != "" {
		own.AddAttribute(semconv.ClientAddress, cut(client))
	}
}

// hostOf returns an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// Opened implements apmws.ConnSpan.
func (c *connSpan) Opened(end apmws.OpenEnd) {
	h := c.open.Swap(nil)
	if h == nil {
		return
	}
	h.setStatus(end.Status)
	h.end(&ending{result: end.Result, outcome: end.Outcome, user: end.User, failure: end.Failure, attrs: end.Attrs})
	if end.Accepted {
		h.outer.ignore()
	}
}

// firstErrorStatus is the first status of which the agent makes an error, with the
// stack of whoever tells it. A refusal is none by the contract.
const firstErrorStatus = 400

func (h *handshake) setStatus(status int) {
	switch {
	case status == 0 || h.tx.IsEnded():
	case status < firstErrorStatus:
		h.tx.SetWebResponse(nil).WriteHeader(status)
	default:
		ownAttributes{&h.transaction}.AddAttribute(attrStatusCode, int64(status))
	}
}

// End implements apmws.ConnSpan.
func (c *connSpan) End(end apmws.ConnEnd) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	tx := c.exporter.start(semconv.TypeDisconnection + "/" + end.Name)
	if tx == nil {
		return
	}
	var t transaction
	t.init(context.Background(), c.exporter, tx, apmws.SpanContext{}, &c.values)
	c.values.link(ownAttributes{&t})
	t.end(&ending{result: end.Result, outcome: end.Outcome, user: end.User, failure: end.Failure, attrs: end.Attrs})
}

// SpanContext implements apmws.Identifier.
func (c *connSpan) SpanContext() apmws.SpanContext { return c.connect }

// StartSpan implements apmws.SpanStarter.
func (c *connSpan) StartSpan(ctx context.Context, start apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	h := c.open.Load()
	if h == nil {
		return ctx, nil
	}
	return h.startSpan(ctx, nil, &start)
}
