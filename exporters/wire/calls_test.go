package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// callee is a service on a real socket that every host's name leads to.
type callee struct {
	*http.Transport
	mu      sync.Mutex
	parents map[string]http.Header // by the host that was called
}

func newCallee(t *testing.T) *callee {
	t.Helper()
	c := &callee{parents: map[string]http.Header{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// ServeHTTP answers by the host.
func (c *callee) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.parents[r.Host] = r.Header.Clone()
	c.mu.Unlock()
	switch r.Host {
	case "moved.example":
		http.Redirect(w, r, "http://there.example/secret-path?token=secret-query", http.StatusSeeOther)
	case "missing.example":
		http.NotFound(w, r)
	case "torn.example":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "secret-answer")
	case "stuck.example":
		<-r.Context().Done()
	default:
		fmt.Fprint(w, strings.Repeat("secret-answer", 1000))
	}
}

// called is what a back end is to know of a call.
type called struct {
	outcome string
	status  any // a float64, or nil
}

// callsOf are the calls of a message, by host.
var callsOf = map[string]called{
	"whole.example":   {"success", 200.0},
	"unread.example":  {"success", 200.0},
	"moved.example":   {"success", 303.0},
	"there.example":   {"success", 200.0},
	"missing.example": {"failure", 404.0},
	"torn.example":    {"failure", 200.0},
	"stuck.example":   {"failure", nil},
}

// callAll makes the calls of callsOf, at the same time.
func callAll(ctx context.Context, client *http.Client) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for host := range callsOf {
		if host == "there.example" { // where moved.example leads to
			continue
		}
		all.Go(func() {
			if err := callOne(ctx, client, host); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", host, err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func callOne(ctx context.Context, client *http.Client, host string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://user:secret-password@"+host+"/secret-path?token=secret-query", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", "secret-header")
	if host == "stuck.example" {
		cancel()
	}
	res, err := client.Do(req)
	if host == "stuck.example" && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if host == "unread.example" {
		return nil
	}
	_, err = io.Copy(io.Discard, res.Body)
	if host == "torn.example" && errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// TestCalls: calls through the library's transport are in both back ends as they were,
// below the message or the handshake that they belong to, with nothing of their URLs;
// the called services can go on from the first exporter's; and they are counted to the
// last one, also of messages that are not sampled.
func TestCalls(t *testing.T) {
	for _, first := range []string{"Elastic", "New Relic"} {
		t.Run(first+" first", func(t *testing.T) { checkCalls(t, first) })
	}
}

func checkCalls(t *testing.T, first string) {
	in, col := intake.New(), collector.New()
	server := httptest.NewServer(in)
	defer server.Close()
	tracer, err := intake.NewTracer(server.URL, "service")
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	app, err := newrelic.NewApplication(col.Configure)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Shutdown(patience)
	if err := app.WaitForConnection(patience); err != nil {
		t.Fatal(err)
	}
	partner := newCallee(t)
	exporters := []apmws.Exporter{elasticws.New(tracer), newrelicws.New(app)}
	if first == "New Relic" {
		exporters[0], exporters[1] = exporters[1], exporters[0]
	}
	agent := apmws.New(apmws.Options{
		Exporters: exporters,
		Messages: apmws.MessageOptions{
			Name:  func(dst []byte, _ apmws.MessageType, payload []byte) []byte { return append(dst, payload...) },
			Names: []string{"traced", "untraced"},
		},
		Sampling: &apmws.Sampling{Names: map[string]float64{"traced": 1}},
	})
	client := &http.Client{Transport: apmws.Transport(partner)}
	service := httptest.NewServer(agent.Endpoint("/ws", apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			return ctx, callOne(ctx, client, "session.example")
		},
		Message: func(ctx context.Context, m apmws.Message) error {
			return errors.Join(callAll(ctx, client), apmws.FromContext(ctx).Write(ctx, m.Type, m.Data))
		},
	}))
	defer service.Close()

	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(service.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const untraced = 5
	names := []string{"traced"}
	for range untraced {
		names = append(names, "untraced")
	}
	var carried map[string]http.Header // of the message that is traced
	for _, name := range names {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(name)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		partner.mu.Lock()
		if name == "traced" {
			carried = maps.Clone(partner.parents)
		}
		partner.mu.Unlock()
	}
	farewell := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := conn.WriteMessage(websocket.CloseMessage, farewell); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Fatal(err)
	}
	shutDown(t, agent)
	app.Shutdown(patience)
	if err := errors.Join(append(in.Rejected(), col.Problems()...)...); err != nil {
		t.Error(err)
	}
	for vendor, sent := range map[string]string{"Elastic": in.Sent(), "New Relic": col.Sent()} {
		if i := strings.Index(sent, "secret-"); i >= 0 {
			t.Errorf("%s gets %.60q", vendor, sent[i:])
		}
	}

	// Each is counted, whatever was recorded.
	want, got := map[string]int64{"CONNECT session.example": 1}, map[string]int64{}
	for host := range callsOf {
		want["traced "+host], want["untraced "+host] = 1, untraced
	}
	for _, c := range agent.Stats().Routes[0].Calls {
		got[c.Name+" "+c.Address] = c.Count
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted are %v, want %v", got, want)
	}

	elastic, newRelic := elasticCalls(t, in.Documents()), newRelicCalls(t, col.Harvest())
	parents := elastic
	if first == "New Relic" {
		parents = newRelic
	}
	for host, id := range parents {
		header := carried[host]
		if host == "stuck.example" && header == nil { // given up before it was sent
			continue
		}
		if got := header.Get("Traceparent"); got != "00-"+id+"-01" {
			t.Errorf("%s gets the traceparent %q, want %q", host, got, id)
		}
		mark := map[string]string{"Elastic": "es=", "New Relic": "@nr="}[first]
		if state := header.Get("Tracestate"); !strings.Contains(state, mark) {
			t.Errorf("%s gets the tracestate %q, want that of %s", host, state, first)
		}
	}
	partner.mu.Lock()
	defer partner.mu.Unlock()
	if header := partner.parents["whole.example"]; header.Get("Traceparent") != "" {
		t.Errorf("a message that is not traced sends %v", header)
	}
}

// elasticCalls checks the calls in Elastic, and returns what a traceparent has of each.
func elasticCalls(t *testing.T, documents []intake.Document) map[string]string {
	t.Helper()
	got, ids, above := map[string]called{}, map[string]string{}, map[string]string{}
	for _, d := range documents {
		switch {
		case d.Text("processor.event") == "transaction":
			above[d.Text("transaction.id")] = d.Text("transaction.name")
		case strings.HasPrefix(d.Text("span.name"), "authenticate"):
			above[d.Text("span.id")] = "authenticate"
		}
	}
	for _, d := range documents {
		host := d.Text("labels.server_address")
		if d.Text("processor.event") != "span" || host == "" {
			continue
		}
		if _, twice := got[host]; twice {
			t.Errorf("Elastic has the call of %s twice", host)
		}
		got[host] = called{d.Text("event.outcome"), d["http.response.status_code"]}
		ids[host] = d.Text("trace.id") + "-" + d.Text("span.id")
		wantAbove(t, "Elastic", host, above[d.Text("parent.id")], d.Text("labels.websocket_message_name"))
		if d.Text("span.name") != "GET "+host || d.Text("span.destination.service.resource") != host+":80" || d.Text("span.subtype") != "http" {
			t.Errorf("Elastic has %v", d)
		}
	}
	checkCalled(t, "Elastic", got)
	return ids
}

// newRelicCalls is elasticCalls for New Relic.
func newRelicCalls(t *testing.T, h collector.Harvest) map[string]string {
	t.Helper()
	got, ids, above := map[string]called{}, map[string]string{}, map[string]string{}
	for _, span := range h.Spans {
		above[text(span.Intrinsics["guid"])] = shortName(span.Name())
	}
	for _, span := range h.Spans {
		host, ok := span.User[semconv.ServerAddress].(string)
		if !ok {
			continue
		}
		if _, twice := got[host]; twice {
			t.Errorf("New Relic has the call of %s twice", host)
		}
		got[host] = called{text(span.User["event.outcome"]), span.User["http.response.status_code"]}
		ids[host] = text(span.Intrinsics["traceId"]) + "-" + text(span.Intrinsics["guid"])
		wantAbove(t, "New Relic", host, strings.TrimPrefix(above[text(span.Intrinsics["parentId"])], "Custom/"), text(span.User["websocket.message.name"]))
		if span.Name() != "External/"+host+":80/http/GET" || span.Agent["http.statusCode"] != span.User["http.response.status_code"] {
			t.Errorf("New Relic has %+v", span)
		}
	}
	checkCalled(t, "New Relic", got)
	return ids
}

func wantAbove(t *testing.T, vendor, host, above, message string) {
	t.Helper()
	wantAbove, wantMessage := "traced", "traced"
	if host == "session.example" {
		wantAbove, wantMessage = "authenticate", semconv.Handshake
	}
	if above != wantAbove || message != wantMessage {
		t.Errorf("%s has the call of %s below %q, as of %q; want %q", vendor, host, above, message, wantAbove)
	}
}

func checkCalled(t *testing.T, vendor string, got map[string]called) {
	t.Helper()
	want := maps.Clone(callsOf)
	want["session.example"] = called{"success", 200.0}
	if !maps.Equal(got, want) {
		t.Errorf("%s has the calls %v, want %v", vendor, got, want)
	}
}
