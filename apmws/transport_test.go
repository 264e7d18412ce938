package apmws

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// roundTripper is a base transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a base transport that answers without a network.
func answering(status int) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
	})
}

// requestOf is a request of that context.
func requestOf(ctx context.Context, t testing.TB, to string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// callFrom makes a request through Transport and closes the answer's body.
func callFrom(ctx context.Context, t testing.TB, base http.RoundTripper, to string) {
	t.Helper()
	res, err := Transport(base).RoundTrip(requestOf(ctx, t, to))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// partner is a service on a real socket that every host's name leads to.
type partner struct {
	*http.Transport
	mu   sync.Mutex
	seen []*http.Request
}

func newPartner(t *testing.T, handle http.HandlerFunc) *partner {
	t.Helper()
	p := &partner{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r)
		p.mu.Unlock()
		if handle != nil {
			handle(w, r)
		}
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	p.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	t.Cleanup(func() { p.CloseIdleConnections(); server.Close() })
	return p
}

func (p *partner) requests() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// inMessage calls f with the context of a message order.pay, and returns what was
// recorded when the message and its connection have ended.
func inMessage(t *testing.T, f func(ctx context.Context)) (*Agent, *recorder) {
	t.Helper()
	rec := newRecorder()
	agent, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}, Messages: callerNames()}, func(ctx context.Context, _ Message) error {
		f(ctx)
		return nil
	})
	send(t, conn, "order.pay")
	rec.wait(t, "message-end", 1)
	conn.Close()
	rec.wait(t, "disconnect", 1)
	return agent, rec
}

// calls are those that an agent has counted, by route, name and address.
func calls(agent *Agent) map[string]int64 {
	all := map[string]int64{}
	for _, r := range agent.Stats().Routes {
		for _, c := range r.Calls {
			all[r.Route+" "+c.Name+" "+c.Address] = c.Count
		}
	}
	return all
}

func wantCalls(t *testing.T, agent *Agent, want map[string]int64) {
	t.Helper()
	if got := calls(agent); !maps.Equal(got, want) {
		t.Errorf("counted are %v, want %v", got, want)
	}
}

// TestTransportSpan: a request is a span with what may be told of it, and nothing
// else, and carries the span's trace context.
func TestTransportSpan(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "answer=secret-cookie")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "secret-answer")
	})
	agent, rec := inMessage(t, func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost,
			"http://ada:secret-password@Billing.Example/secret-path?token=secret-query#secret-fragment", strings.NewReader("secret-body"))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer secret-token")
		before := req.Header.Clone()
		res, err := Transport(p).RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); string(body) != "secret-answer" || err != nil {
			t.Errorf("the answer is %q, %v", body, err)
		}
		if res.Request != req || req.Context() != ctx || !maps.EqualFunc(req.Header, before, slices.Equal) {
			t.Errorf("the request has become %v, and that of the answer is %v", req.Header, res.Request)
		}
	})
	starts, ends := rec.all("span"), rec.all("span-end")
	if len(starts) != 1 || len(ends) != 1 {
		t.Fatalf("%d spans have begun and %d ended", len(starts), len(ends))
	}
	start, end := starts[0], ends[0]
	if start.name != "POST billing.example" || start.start.Type != "external.http" || start.start.Destination != "billing.example:80" || start.parent != "order.pay" {
		t.Errorf("the span is %+v", start)
	}
	connection := rec.all("connect")[0]
	if want := map[string]any{
		semconv.Event: "message", semconv.ConnectionID: connection.conn, semconv.Route: "/ws",
		semconv.RequestMethod: "POST", semconv.ServerAddress: "billing.example", semconv.MessageName: "order.pay",
	}; !maps.Equal(start.attrs, want) {
		t.Errorf("its attributes are %v, want %v", start.attrs, want)
	}
	if want := map[string]any{semconv.StatusCode: int64(201)}; end.outcome != OutcomeSuccess || !maps.Equal(end.attrs, want) {
		t.Errorf("it ends with %s and %v, want %v", end.outcome, end.attrs, want)
	}
	sent := p.requests()[0]
	if got := sent.Header["Traceparent"]; len(got) != 1 || got[0] != start.ids.TraceParent() {
		t.Errorf("the traceparent is %q, want %q", got, start.ids.TraceParent())
	}
	if got := sent.Header["Tracestate"]; len(got) != 1 || got[0] != "kit=1" {
		t.Errorf("the tracestate is %q", got)
	}
	if sent.Header.Get("Authorization") != "Bearer secret-token" || sent.URL.Path != "/secret-path" {
		t.Errorf("what was sent is %v %v", sent.URL, sent.Header)
	}
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": 1})
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if told := fmt.Sprintf("%+v %+v", rec.events, agent.Stats()); strings.Contains(told, "secret") {
		t.Errorf("a secret is told: %s", told)
	}
}

// TestTransportHeaders: what the application has put into a request stays.
func TestTransportHeaders(t *testing.T) {
	p := newPartner(t, nil)
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tests := []struct {
		name          string
		given         http.Header
		parent, state string // "" for the span's own
	}{
		{"none", nil, "", "kit=1"},
		{"its own", http.Header{"Traceparent": {own}}, own, "-"},
		{"its own, spelled as the standard has it", http.Header{"traceparent": {own}}, own, "-"},
		{"both", http.Header{"Traceparent": {own}, "Tracestate": {"a=b"}}, own, "a=b"},
		{"a state alone", http.Header{"Tracestate": {"a=b"}}, "", "kit=1"},
		{"a state alone, spelled so", http.Header{"tracestate": {"a=b"}}, "", "kit=1"},
	}
	_, rec := inMessage(t, func(ctx context.Context) {
		for _, test := range tests {
			req := requestOf(ctx, t, "http://billing.example/")
			req.Header = test.given
			res, err := Transport(p).RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		}
	})
	requests, spans := p.requests(), rec.all("span")
	if len(requests) != len(tests) || len(spans) != len(tests) {
		t.Fatalf("%d requests and %d spans", len(requests), len(spans))
	}
	for i, test := range tests {
		parent, state := test.parent, []string{test.state}
		if parent == "" {
			parent = spans[i].ids.TraceParent()
		}
		if test.state == "-" {
			state = nil
		}
		header := requests[i].Header
		if !slices.Equal(header["Traceparent"], []string{parent}) || !slices.Equal(header["Tracestate"], state) {
			t.Errorf("%s: sent are %q and %q, want %q and %q", test.name, header["Traceparent"], header["Tracestate"], parent, state)
		}
	}
}

// TestTransportTracesOfTwo: the trace context is that of the first exporter whose
// spans have one, and a faulty one is passed over.
func TestTransportTracesOfTwo(t *testing.T) {
	p := newPartner(t, nil)
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{nopExporter{}, &panickingIDs{recorder: newRecorder()}, rec, newRecorder()}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	callFrom(c.scope, t, p, "http://billing.example/")
	c.refuse(refusal{status: http.StatusForbidden})
	if got, want := p.requests()[0].Header.Get("Traceparent"), rec.all("span")[0].ids.TraceParent(); got != want {
		t.Errorf("the traceparent is %q, want %q", got, want)
	}
	if d := agent.Stats().Dropped; len(d) != 1 || d[0].Reason != "panic" || d[0].Count != 1 {
		t.Errorf("dropped: %+v", d)
	}
}

// panickingIDs is an exporter whose spans panic when they are asked for their ids.
type panickingIDs struct{ *recorder }

func (e *panickingIDs) StartConn(ctx context.Context, s ConnStart) (context.Context, ConnSpan) {
	ctx, span := e.recorder.StartConn(ctx, s)
	return ctx, panickingIDsConn{span.(*recorderConn)}
}

type panickingIDsConn struct{ *recorderConn }

func (c panickingIDsConn) StartSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	ctx, span := c.recorderConn.StartSpan(ctx, s)
	return ctx, panickingIDsSpan{span.(*recorderSpan)}
}

type panickingIDsSpan struct{ *recorderSpan }

func (panickingIDsSpan) SpanContext() SpanContext { panic("no ids") }

// TestTransportRedirects: each hop is a call of its own, to its own host, with its
// own trace context.
func TestTransportRedirects(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "old.example" {
			http.Redirect(w, r, "http://new.example/?token=secret", http.StatusFound)
		}
	})
	agent, rec := inMessage(t, func(ctx context.Context) {
		if err := read((&http.Client{Transport: Transport(p)}).Do(requestOf(ctx, t, "http://old.example/"))); err != nil {
			t.Error(err)
		}
	})
	wantCalls(t, agent, map[string]int64{"/ws order.pay old.example": 1, "/ws order.pay new.example": 1})
	requests, spans := p.requests(), rec.all("span")
	if len(requests) != 2 || len(spans) != 2 || len(rec.all("span-end")) != 2 {
		t.Fatalf("%d requests and %d spans", len(requests), len(spans))
	}
	for i, host := range []string{"old.example", "new.example"} {
		if spans[i].name != "GET "+host || spans[i].parent != "order.pay" || requests[i].Header.Get("Traceparent") != spans[i].ids.TraceParent() {
			t.Errorf("hop %d is %+v, with %v", i, spans[i], requests[i].Header)
		}
	}
}

// TestTransportMethods: a method that anybody could make up has no name.
func TestTransportMethods(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	for _, method := range []string{"", "PATCH", "get", "SECRET"} {
		req := requestOf(c.scope, t, "http://billing.example/")
		req.Method = method
		res, err := Transport(answering(http.StatusOK)).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	for i, want := range []string{"GET", "PATCH", "_OTHER", "_OTHER"} {
		if span := rec.all("span")[i]; span.name != want+" billing.example" || span.attrs[semconv.RequestMethod] != want {
			t.Errorf("a span is %s with %v, want %s", span.name, span.attrs, want)
		}
	}
}

// TestTransportBase: http.Client reaches what is below, which is
// http.DefaultTransport unless it is given.
func TestTransportBase(t *testing.T) {
	closed := 0
	base := &closing{roundTripper: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusTeapot, Body: http.NoBody, Request: r}, nil
	}, closed: &closed}
	(&http.Client{Transport: Transport(base)}).CloseIdleConnections()
	(&http.Client{Transport: Transport(base.roundTripper)}).CloseIdleConnections() // which has no such method
	if closed != 1 {
		t.Errorf("idle connections are closed %d times", closed)
	}
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	http.DefaultTransport = base
	made := Transport(nil)
	http.DefaultTransport = made // as programs do, which must not call itself
	agent, _ := inMessage(t, func(ctx context.Context) {
		for _, client := range []*http.Client{{}, {Transport: Transport(nil)}, {Transport: Transport(made)}} {
			res, err := client.Do(requestOf(ctx, t, "http://billing.example/"))
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != http.StatusTeapot {
				t.Errorf("the answer is %d", res.StatusCode)
			}
		}
	})
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": 3}) // each once
}

// closing counts how often its idle connections are closed.
type closing struct {
	roundTripper
	closed *int
}

func (c *closing) CloseIdleConnections() { *c.closed++ }
