package apmws

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// callType is the type of spans of outbound HTTP requests, as Elastic and New
// Relic name them.
const callType = "external.http"

// Transport returns a RoundTripper that says whose calls those of base are. nil
// means http.DefaultTransport as it is now, and what Transport has returned is
// returned as it is, so that no request is counted twice; with a RoundTripper of
// another kind between two of these, each counts. One serves any number of agents
// and connections:
//
//	client := &http.Client{Transport: apmws.Transport(nil)}
//
// A request whose context is that of a connection or a message, or is derived
// from it, is counted in websocket.outbound.calls by the connection's route, the
// message's name and the host, whatever is sampled. Each redirect is a request of
// its own. A call of the handshake is counted under the name CONNECT, as is one of
// a message that is registered by that name, and one that belongs to neither, such
// as that of a goroutine that a connection has, under none. A message's context
// stays the message's when that has been handled.
//
// While the transaction of the context is open the request is a span of it, too:
// named by method and host, such as "GET billing.example", of type external.http,
// an exit span to host and port, with the status. It fails with the request and for
// statuses from 400 on. It ends with the answer's body: when that has been read to
// its end, has failed or is closed, and with the answer where there is none and for
// a 101. Of the URL nothing but host and port is recorded, and nothing of the
// headers and bodies. Of the URL in an error of http.Client, too, no more
// than scheme and host is recorded when a handler returns it.
//
// The request then carries the span's trace context (https://www.w3.org/TR/trace-context/)
// in traceparent and tracestate, that of the first exporter that has one. A
// traceparent that is there already stays, with its tracestate; a tracestate alone
// belongs to no trace, and goes. The headers are set on a copy of the request.
//
// Hosts are told apart by their port, and beyond the first 100 of an agent they are
// _OTHER, in spans too. Beyond the first 2,000 combinations of route, message name and
// host of an agent, calls are counted under the host _OTHER. A request whose context
// belongs to no connection goes to base untouched and uncounted. What base returns is
// returned as it is, but for the body of an answer, and a panic is not recovered. A
// vendor's own RoundTripper around or below this one makes spans of its own.
func Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport // now: it may be replaced by what is made here
	}
	if t, ok := base.(*transport); ok {
		return t
	}
	return &transport{base: base}
}

type transport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s := scopeOf(req.Context())
	if s == nil || req.URL == nil { // the latter is no request, of which base tells
		return t.base.RoundTrip(req)
	}
	to := s.conn.agent.destinations.of(req.URL, &s.conn.agent.drops.hosts)
	name := s.caller()
	s.conn.agent.destinations.count(s.conn.route, name, to, &s.conn.agent.drops.hosts)

	method := boundedMethod(req.Method)
	ctx, span := StartSpan(req.Context(), method+" "+to.address, SpanOptions{
		Type: callType, Destination: to.name, Attrs: []slog.Attr{
			slog.String(semconv.RequestMethod, method),
			slog.String(semconv.ServerAddress, to.address),
			slog.String(semconv.MessageName, name),
		},
	})
	if span == nil {
		return t.base.RoundTrip(req)
	}
	return t.observe(ctx, span, req)
}

// observe makes a request that is a span.
func (t *transport) observe(ctx context.Context, span *Span, req *http.Request) (res *http.Response, err error) {
	returned := false
	defer func() {
		if !returned { // base panics
			span.finish(OutcomeFailure, nil)
		}
	}()
	sent := withTrace(req.WithContext(ctx), span.span)
	res, err = t.base.RoundTrip(sent)
	returned = true
	if res == nil || err != nil {
		span.finish(OutcomeFailure, nil)
		return res, err
	}
	if res.Request == sent {
		res.Request = req
	}
	c := &call{span: span, status: res.StatusCode}
	_, upgraded := res.Body.(io.Writer)
	if res.Body == nil || res.Body == http.NoBody || upgraded {
		c.end(nil)
	} else {
		res.Body = c.body(res.Body)
	}
	return res, nil
}

// CloseIdleConnections lets http.Client's reach base.
func (t *transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// withTrace returns the request with the span's trace context, unless it has one.
func withTrace(req *http.Request, span *handles) *http.Request {
	req.Header = traceHeader(req.Header, span.spanContext())
	return req
}

// traceHeader returns a copy of the header with a trace context, or the header
// itself where it has one, or there is none.
func traceHeader(header http.Header, sc SpanContext) http.Header {
	parent := sc.TraceParent()
	if parent == "" || hasHeader(header, "Traceparent") {
		return header
	}
	header = header.Clone()
	if header == nil {
		header = make(http.Header, 2)
	}
	maps.DeleteFunc(header, func(key string, _ []string) bool { return strings.EqualFold(key, "Tracestate") })
	header.Set("Traceparent", parent)
	if sc.State != "" {
		header.Set("Tracestate", sc.State)
	}
	return header
}

// hasHeader finds a header in any spelling: keys that the application has set by
// hand are sent as they are.
func hasHeader(header http.Header, name string) bool {
	for key := range header {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

// boundedMethod is a request's method, or _OTHER for one that is in neither RFC
// 9110, section 9.3, nor RFC 5789.
func boundedMethod(method string) string {
	switch method {
	case "":
		return http.MethodGet // by the documentation of http.Request
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	default:
		return semconv.Other
	}
}

// call is a request that has been answered.
type call struct {
	span   *Span
	status int
}

// end ends the span; a failure when reading the answer has failed.
func (c *call) end(err error) {
	outcome := OutcomeSuccess
	if err != nil || c.status >= http.StatusBadRequest { // as Elastic's agents have it for clients
		outcome = OutcomeFailure
	}
	c.span.finish(outcome, []slog.Attr{slog.Int(semconv.StatusCode, c.status)})
}

// body wraps the answer's.
func (c *call) body(body io.ReadCloser) io.ReadCloser {
	b := callBody{ReadCloser: body, call: c}
	if to, ok := body.(io.WriterTo); ok {
		return &callBodyTo{callBody: b, to: to}
	}
	return &b
}

// callBody ends the span with the body.
type callBody struct {
	io.ReadCloser
	call *call
}

// Read implements io.Reader.
func (b *callBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.call.end(nil)
	case err != nil:
		b.call.end(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *callBody) Close() error {
	defer b.call.end(nil) // unless it has ended
	return b.ReadCloser.Close()
}

// callBodyTo is for a body that can be written elsewhere without copying it.
type callBodyTo struct {
	callBody
	to io.WriterTo
}

// WriteTo implements io.WriterTo.
func (b *callBodyTo) WriteTo(w io.Writer) (int64, error) {
	n, err := b.to.WriteTo(w)
	if err == nil { // else w may be at fault, and Close follows
		b.call.end(nil)
	}
	return n, err
}
