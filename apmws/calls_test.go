package apmws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// callerNames are the messages of callers.
func callerNames() MessageOptions {
	return MessageOptions{
		Name:  func(dst []byte, _ MessageType, payload []byte) []byte { return append(dst, payload...) },
		Names: []string{"order.pay", "order.refund"},
	}
}

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

// TestTransportCombinations: routes, names and hosts together are bounded, too, and no
// call is lost, whoever makes it at the same time.
func TestTransportCombinations(t *testing.T) {
	const routes, hosts, callers = 25, 100, 4
	agent := New(Options{})
	base := answering(http.StatusOK)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range routes {
				c := agent.connect(agent.route(fmt.Sprint("/", i)), upgradeRequest())
				for j := range hosts {
					callFrom(c.scope, t, base, fmt.Sprintf("http://h%d.example/", j))
				}
			}
		})
	}
	all.Wait()
	apart, counted, others := 0, int64(0), int64(0)
	for what, n := range calls(agent) {
		counted += n
		if strings.HasSuffix(what, " _OTHER") {
			others += n
		} else if apart++; n != callers {
			t.Errorf("%s: %d", what, n)
		}
	}
	if apart != 2000 || counted != routes*hosts*callers {
		t.Errorf("%d combinations, %d calls", apart, counted)
	}
	if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "too_many_hosts", others}) {
		t.Errorf("dropped: %+v, %d others", d, others)
	}
}

func long(n int) string { return strings.Repeat("h", n) }

// unchecked is a request for a URL that http.NewRequest might not take.
func unchecked(ctx context.Context, to string) *http.Request {
	scheme, rest, _ := strings.Cut(to, "://")
	host, _, _ := strings.Cut(rest, "/")
	return (&http.Request{Method: "", URL: &url.URL{Scheme: scheme, Host: host}}).WithContext(ctx)
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

// TestPlainScopes: a connection keeps few contexts for messages that nobody records,
// and the calls of the others have their names, too.
func TestPlainScopes(t *testing.T) {
	agent := New(Options{})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.accepted()
	l := &loop{ctx: c.scope, observed: c}
	var names [2 * maxPlain]messageName
	for range 2 {
		for i := range names {
			name := &names[i]
			name.name = fmt.Sprint("message ", i)
			s := l.plainScope(name)
			if s.caller() != name.name {
				t.Errorf("a call of %s is counted under %s", name.name, s.caller())
			}
			if kept := l.plainScope(name) == s; kept != (i < maxPlain) {
				t.Errorf("the context of %s is kept: %v", name.name, kept)
			}
		}
	}
	if len(l.plain) != maxPlain {
		t.Errorf("%d contexts are kept, want %d", len(l.plain), maxPlain)
	}
}
