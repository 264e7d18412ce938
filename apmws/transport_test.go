package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

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

// callerNames are the messages of callers.
func callerNames() MessageOptions {
	return MessageOptions{
		Name:  func(dst []byte, _ MessageType, payload []byte) []byte { return append(dst, payload...) },
		Names: []string{"order.pay", "order.refund"},
	}
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
		{"a state alone", http.Header{"Tracestate": {"a=b"}}, "", "a=b"},
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

// TestTransportCounts: calls are counted where they belong, also where nothing is
// recorded: of the handshake, of messages, and of neither.
func TestTransportCounts(t *testing.T) {
	p := newPartner(t, nil)
	client := &http.Client{Transport: Transport(p)}
	get := func(ctx context.Context, host string) error {
		res, err := client.Do(requestOf(ctx, t, "http://"+host+"/"))
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	for name, opts := range map[string]Options{
		"no exporter": {}, "recorded": {Exporters: []Exporter{newRecorder()}},
		"not sampled": {Exporters: []Exporter{newRecorder()}, Sampling: &Sampling{}},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Messages = callerNames()
			agent := New(opts)
			closed := make(chan error, 1)
			url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
				Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
					return ctx, errors.Join(get(ctx, "auth.example"), get(r.Context(), "auth.example"))
				},
				Connect: func(ctx context.Context, _ *Conn) (context.Context, error) { return ctx, get(ctx, "auth.example") },
				Message: func(ctx context.Context, m Message) error {
					within, span := StartSpan(ctx, "work", SpanOptions{})
					err := errors.Join(get(ctx, "billing.example"), get(within, "stock.example"))
					span.End(nil)
					return errors.Join(err, get(within, "stock.example"), FromContext(ctx).Write(ctx, m.Type, m.Data))
				},
				Close: func(ctx context.Context, _ *Conn, _ error) { closed <- get(ctx, "billing.example") },
			}))
			conn := dial(t, url, nil)
			for _, m := range []string{"order.pay", "order.pay", "order.refund", "order.unheard-of"} {
				send(t, conn, m)
				if _, _, err := conn.ReadMessage(); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
			if err := <-closed; err != nil {
				t.Error(err)
			}
			if err := get(t.Context(), "billing.example"); err != nil { // of no connection
				t.Error(err)
			}
			wantCalls(t, agent, map[string]int64{
				"/ws CONNECT auth.example":      3,
				"/ws order.pay billing.example": 2, "/ws order.pay stock.example": 4,
				"/ws order.refund billing.example": 1, "/ws order.refund stock.example": 2,
				"/ws _OTHER billing.example": 1, "/ws _OTHER stock.example": 2,
				"/ws none billing.example": 1,
			})
		})
	}
}

// TestTransportAfterwards: the context of a message is the message's for good, that
// of a handshake is nobody's once CONNECT has ended. Neither makes a span then.
func TestTransportAfterwards(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Messages: callerNames()})
	base := answering(http.StatusOK)
	c := agent.connect(agent.route("/a"), upgradeRequest())
	callFrom(c.scope, t, base, "https://billing.example/")
	c.accepted()
	callFrom(c.scope, t, base, "https://billing.example/")
	ctx, tx := StartMessage(c.scope, MessageInfo{Name: "order.pay"})
	tx.End(nil)
	callFrom(context.WithoutCancel(ctx), t, base, "https://billing.example/")
	c.disconnected()
	callFrom(c.scope, t, base, "https://billing.example/")

	refused := agent.connect(agent.route("/b"), upgradeRequest())
	refused.refuse(refusal{status: http.StatusForbidden})
	callFrom(refused.scope, t, base, "https://billing.example/")
	wantCalls(t, agent, map[string]int64{
		"/a CONNECT billing.example": 1, "/a none billing.example": 2, "/a order.pay billing.example": 1, "/b none billing.example": 1,
	})
	if spans := rec.all("span"); len(spans) != 1 || spans[0].start.Destination != "billing.example:443" {
		t.Errorf("the spans are %+v", spans)
	}
}

// TestTransportOutcomes: how a request has ended is how its span ends.
func TestTransportOutcomes(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/missing":
			http.NotFound(w, r)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		case "/torn":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half of")
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		case "/away":
			panic(http.ErrAbortHandler)
		}
	})
	base := errors.New("no route to host")
	type end struct {
		outcome Outcome
		status  any // nil: none
	}
	tests := []struct {
		name string
		to   string
		base http.RoundTripper
		use  func(*http.Response, error) error
		want end
	}{
		{"read", "/", p, read, end{OutcomeSuccess, int64(200)}},
		{"no body", "/none", p, nothing, end{OutcomeSuccess, int64(204)}},
		{"not read, but closed", "/long", p, closeUnread, end{OutcomeSuccess, int64(200)}},
		{"a status of the client's", "/missing", p, read, end{OutcomeFailure, int64(404)}},
		{"a status of the server's", "/broken", p, closeUnread, end{OutcomeFailure, int64(502)}},
		{"a torn body", "/torn", p, wantError(io.ErrUnexpectedEOF), end{OutcomeFailure, int64(200)}},
		{"no answer", "/away", p, wantError(io.EOF), end{OutcomeFailure, nil}},
		{"an error", "/", roundTripper(func(*http.Request) (*http.Response, error) { return nil, base }), wantSame(base), end{OutcomeFailure, nil}},
		{"neither", "/", roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }), nothing, end{OutcomeFailure, nil}},
		{"no body at all", "/", roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK}, nil
		}), nothing, end{OutcomeSuccess, int64(200)}},
	}
	agent, rec := inMessage(t, func(ctx context.Context) {
		for _, test := range tests {
			if err := test.use(Transport(test.base).RoundTrip(requestOf(ctx, t, "http://billing.example"+test.to))); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
	ends := rec.all("span-end")
	if len(ends) != len(tests) {
		t.Fatalf("%d spans have ended, want %d", len(ends), len(tests))
	}
	for i, test := range tests {
		if got := (end{ends[i].outcome, ends[i].attrs[semconv.StatusCode]}); got != test.want {
			t.Errorf("%s: the span ends with %v, want %v", test.name, got, test.want)
		}
	}
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": int64(len(tests))})
}

func read(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

func closeUnread(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// nothing leaves the answer alone, which has no body that would have to be closed.
func nothing(_ *http.Response, err error) error { return err }

func wantError(want error) func(*http.Response, error) error {
	return func(res *http.Response, err error) error {
		if err = read(res, err); !errors.Is(err, want) {
			return fmt.Errorf("the error is %w, want %w", err, want)
		}
		return nil
	}
}

func wantSame(want error) func(*http.Response, error) error {
	return func(_ *http.Response, err error) error {
		if err != want { // not even wrapped
			return fmt.Errorf("the error is %w, want %w itself", err, want)
		}
		return nil
	}
}

// TestTransportEnd: the span ends with the body, once, and not before.
func TestTransportEnd(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") })
	rec := newRecorder()
	ended := func(want int) {
		t.Helper()
		if got := len(rec.all("span-end")); got != want {
			t.Errorf("%d spans have ended, want %d", got, want)
		}
	}
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	res, err := Transport(p).RoundTrip(requestOf(c.scope, t, "http://billing.example/"))
	if err != nil {
		t.Fatal(err)
	}
	ended(0)
	if _, err := io.ReadFull(res.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	ended(0)
	if rest, err := io.ReadAll(res.Body); string(rest) != "wer" || err != nil {
		t.Fatalf("the rest is %q, %v", rest, err)
	}
	ended(1)
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a closed body is read: %d, %v", n, err)
	}
	ended(1)
	if end := rec.all("span-end")[0]; end.outcome != OutcomeSuccess {
		t.Errorf("the span ends with %s", end.outcome)
	}
}

// TestTransportBodies: a body keeps what it can do beside being read.
func TestTransportBodies(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	roundTrip := func(status int, body io.ReadCloser) io.ReadCloser {
		t.Helper()
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body}, nil
		})
		res, err := Transport(base).RoundTrip(requestOf(c.scope, t, "http://billing.example/"))
		if err != nil {
			t.Fatal(err)
		}
		return res.Body
	}
	if roundTrip(204, http.NoBody) != http.NoBody {
		t.Error("no body has become one")
	}
	one, other := net.Pipe()
	defer one.Close()
	if roundTrip(101, one) != io.ReadCloser(one) {
		t.Error("a connection has become another")
	}
	if got := len(rec.all("span-end")); got != 2 {
		t.Errorf("%d spans have ended, want those without a body", got)
	}
	body := roundTrip(200, io.NopCloser(bytes.NewReader([]byte("answer")))) // which can write itself
	to, ok := body.(io.WriterTo)
	if !ok {
		t.Fatal("the body cannot write itself any more")
	}
	other.Close()
	if _, err := to.WriteTo(one); err == nil {
		t.Error("a pipe that nobody reads takes an answer")
	}
	if got := len(rec.all("span-end")); got != 2 { // which is not the fault of what is called
		t.Errorf("%d spans have ended", got)
	}
	body.Close()
	whole := roundTrip(200, io.NopCloser(strings.NewReader("answer"))).(io.WriterTo)
	var got bytes.Buffer
	if n, err := whole.WriteTo(&got); n != 6 || err != nil || got.String() != "answer" {
		t.Errorf("%d bytes are written, %q, %v", n, &got, err)
	}
	ends := rec.all("span-end")
	if len(ends) != 4 || ends[2].outcome != OutcomeSuccess || ends[3].outcome != OutcomeSuccess {
		t.Errorf("the spans end as %+v", ends)
	}
}

// TestTransportUpgrade: a connection that is upgraded is the application's, and its
// span is over.
func TestTransportUpgrade(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		fmt.Fprint(conn, line)
	})
	_, rec := inMessage(t, func(ctx context.Context) {
		req := requestOf(ctx, t, "http://billing.example/")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		res, err := Transport(p).RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		conn, ok := res.Body.(io.ReadWriteCloser)
		if !ok || res.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("the answer is %d with a body of %T", res.StatusCode, res.Body)
			return
		}
		fmt.Fprint(conn, "ping\n")
		if answer, err := io.ReadAll(conn); string(answer) != "ping\n" || err != nil {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	})
	if ends := rec.all("span-end"); len(ends) != 1 || ends[0].outcome != OutcomeSuccess || ends[0].attrs[semconv.StatusCode] != int64(101) {
		t.Errorf("the spans end as %+v", ends)
	}
}

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

// TestTransportCancelled: who gives up a request gets its error as it is.
func TestTransportCancelled(t *testing.T) {
	arrived := make(chan struct{}, 2)
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	_, rec := inMessage(t, func(ctx context.Context) {
		client := &http.Client{Transport: Transport(p)}
		waiting, cancel := context.WithCancel(ctx)
		go func() { <-arrived; cancel() }()
		if err := read(client.Do(requestOf(waiting, t, "http://billing.example/"))); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		reading, cancel := context.WithCancel(ctx)
		go func() { <-arrived; cancel() }()
		if err := read(client.Do(requestOf(reading, t, "http://billing.example/begun"))); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
	for _, end := range rec.wait(t, "span-end", 2) {
		if end.outcome != OutcomeFailure {
			t.Errorf("a span ends as %+v", end)
		}
	}
}

// TestTransportPanics: a panic of the base transport goes on as it is, after the
// span has failed.
func TestTransportPanics(t *testing.T) {
	agent, rec := inMessage(t, func(ctx context.Context) {
		defer func() {
			if p := recover(); p != "base panics" {
				t.Errorf("the panic is %v", p)
			}
		}()
		_, _ = Transport(roundTripper(func(*http.Request) (*http.Response, error) { panic("base panics") })).
			RoundTrip(requestOf(ctx, t, "http://billing.example/"))
	})
	if ends := rec.all("span-end"); len(ends) != 1 || ends[0].outcome != OutcomeFailure || len(ends[0].attrs) != 0 {
		t.Errorf("the spans end as %+v", ends)
	}
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": 1})
}

// TestTransportHosts: hosts are bounded, and told apart by their port.
func TestTransportHosts(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	base := answering(http.StatusOK)
	want := map[string]int64{}
	for to, told := range map[string]string{
		"http://billing.example/":        "billing.example billing.example:80",
		"https://BILLING.example/":       "billing.example billing.example:443",
		"https://billing.example:8443/":  "billing.example billing.example:8443",
		"http://[2001:db8::1]:8080/":     "2001:db8::1 [2001:db8::1]:8080",
		"unix://socket.example/":         "socket.example socket.example",
		"http://bücher.example/":         "_OTHER _OTHER",
		"http://a%20b.example/":          "_OTHER _OTHER",
		"http:///nowhere":                "_OTHER _OTHER",
		"http://" + long(254) + "/":      "_OTHER _OTHER",
		"http://" + long(253) + ":1000/": long(253) + " " + long(253) + ":1000",
	} {
		before := len(rec.all("span"))
		res, err := Transport(base).RoundTrip(unchecked(c.scope, to))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		span := rec.all("span")[before]
		address, _ := span.attrs[semconv.ServerAddress].(string)
		if got := address + " " + span.start.Destination; got != told || span.name != "GET "+address {
			t.Errorf("%s is told as %q in %q, want %q", to, got, span.name, told)
		}
		want["/ws CONNECT "+address]++
	}
	wantCalls(t, agent, want)
	if d := agent.Stats().Dropped; len(d) != 0 {
		t.Errorf("dropped: %+v", d)
	}

	for i := range 200 { // the first 94 are within the limit
		callFrom(c.scope, t, base, fmt.Sprintf("http://h%d.example/", i))
		callFrom(c.scope, t, base, fmt.Sprintf("http://h%d.example/", i))
	}
	all := calls(agent)
	if n := all["/ws CONNECT _OTHER"]; n != 4+2*106 || all["/ws CONNECT h93.example"] != 2 || all["/ws CONNECT h94.example"] != 0 {
		t.Errorf("%d are of other hosts; h93: %d, h94: %d", n, all["/ws CONNECT h93.example"], all["/ws CONNECT h94.example"])
	}
	if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "too_many_hosts", 2 * 106}) {
		t.Errorf("dropped: %+v", d)
	}
	if span := rec.all("span"); span[len(span)-1].name != "GET _OTHER" || span[len(span)-1].start.Destination != "_OTHER" {
		t.Errorf("a span beyond the limit is %+v", span[len(span)-1].start)
	}
}

func long(n int) string { return strings.Repeat("h", n) }

// unchecked is a request for a URL that http.NewRequest might not take.
func unchecked(ctx context.Context, to string) *http.Request {
	scheme, rest, _ := strings.Cut(to, "://")
	host, _, _ := strings.Cut(rest, "/")
	return (&http.Request{Method: "", URL: &url.URL{Scheme: scheme, Host: host}}).WithContext(ctx)
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

// TestTransportConcurrently: one client serves many messages at the same time, and
// nothing is lost. Run it with -race.
func TestTransportConcurrently(t *testing.T) {
	const clients, messages, each = 8, 10, 3
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") })
	client := &http.Client{Transport: Transport(p)}
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}, Messages: callerNames()})
	service := serveWS(t, agent.Handler("/ws", serving(func(ctx context.Context, m Message) error {
		var all sync.WaitGroup
		var errs [each]error
		for i := range each {
			all.Go(func() { errs[i] = read(client.Do(requestOf(ctx, t, fmt.Sprintf("http://h%d.example/", i)))) })
		}
		all.Wait()
		return errors.Join(errors.Join(errs[:]...), FromContext(ctx).Write(ctx, m.Type, m.Data))
	}, nil)))
	var all sync.WaitGroup
	for range clients {
		conn := dial(t, service, nil)
		all.Go(func() {
			for range messages {
				if err := conn.WriteMessage(websocket.TextMessage, []byte("order.pay")); err != nil {
					t.Error(err)
				}
				if _, _, err := conn.ReadMessage(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	const per = clients * messages
	wantCalls(t, agent, map[string]int64{"/ws order.pay h0.example": per, "/ws order.pay h1.example": per, "/ws order.pay h2.example": per})
	ok := 0
	for _, end := range rec.all("span-end") {
		if end.attrs[semconv.StatusCode] == int64(200) && end.outcome == OutcomeSuccess {
			ok++
		}
	}
	if ok != each*per {
		t.Errorf("%d spans are recorded, want %d", ok, each*per)
	}
}

// TestTransportElsewhere: a request of no connection goes through as it is, and
// costs nothing.
func TestTransportElsewhere(t *testing.T) {
	type key struct{}
	req := requestOf(context.WithValue(t.Context(), key{}, 1), t, "http://billing.example/")
	answer := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	var got *http.Request
	transport := Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r
		return answer, nil
	}))
	if allocations := testing.AllocsPerRun(100, func() {
		if res, err := transport.RoundTrip(req); res != answer || err != nil {
			t.Errorf("the answer is %v, %v", res, err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	if got != req {
		t.Error("the request is another")
	}
	c := New(Options{}).connect(newRoute("/ws", MessageOptions{}), upgradeRequest())
	if _, err := Transport(nil).RoundTrip((&http.Request{}).WithContext(c.scope)); err == nil {
		t.Error("a request without a URL is made")
	}
	wantCalls(t, c.agent, map[string]int64{})
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
	client := &http.Client{Transport: Transport(nil)}
	http.DefaultTransport = base
	res, err := client.Do(requestOf(t.Context(), t, "http://billing.example/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTeapot {
		t.Errorf("the answer is %d", res.StatusCode)
	}
}

// closing counts how often its idle connections are closed.
type closing struct {
	roundTripper
	closed *int
}

func (c *closing) CloseIdleConnections() { *c.closed++ }
