package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorilla/websocket"
	"github.com/newrelic/go-agent/v3/integrations/nrredis-v9"
	"github.com/newrelic/go-agent/v3/newrelic"
	"github.com/redis/go-redis/v9"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// startNewRelic starts New Relic's agent, connected to the collector. It is shut
// down with the test, if not before.
func startNewRelic(t *testing.T, c *collector) *newrelic.Application {
	t.Helper()
	app, err := newrelic.NewApplication(newrelic.ConfigAppName("test"), newrelic.ConfigLicense(licenceKey), c.configure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Shutdown(patience) })
	connected(t, app)
	return app
}

// startEndpoint serves an endpoint whose messages are named m, and returns its URL
// and what hands over all that the vendors' agents are to send.
func startEndpoint(t *testing.T, handle func(context.Context, apmws.Message) error, exporters ...apmws.Exporter) (url string, handOver func()) {
	t.Helper()
	agent := apmws.New(apmws.Options{
		Exporters: exporters,
		Messages: apmws.MessageOptions{
			Name:  func(dst []byte, _ apmws.MessageType, _ []byte) []byte { return append(dst, 'm') },
			Names: []string{"m"},
		},
	})
	server := httptest.NewServer(agent.Endpoint("/ws", apmws.EndpointOptions{Message: handle}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := agent.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}
}

// What New Relic's own integrations do inside a message's handler is a part of
// that message's transaction.
func TestNewRelicIntegrations(t *testing.T) {
	c := newCollector(t)
	app := startNewRelic(t, c)
	mini := miniredis.RunT(t)
	store := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	defer store.Close()
	store.AddHook(nrredis.NewHook(nil))
	called := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer called.Close()
	client := http.Client{Transport: newrelic.NewRoundTripper(&http.Transport{DisableKeepAlives: true})}

	handle := func(ctx context.Context, m apmws.Message) error {
		err := store.Set(ctx, "the-key", m.Data, 0).Err()
		req, failed := http.NewRequestWithContext(ctx, http.MethodGet, called.URL, http.NoBody)
		if failed != nil {
			return failed
		}
		res, failed := client.Do(req)
		if failed == nil {
			res.Body.Close()
		}
		return errors.Join(err, failed, apmws.FromContext(ctx).Write(ctx, m.Type, m.Data))
	}
	address, handOver := startEndpoint(t, handle, newrelicws.New(app))
	conn, _, err := dial(t, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn, t}
	const messages = 3
	for range messages {
		p.send("{}")
		p.receive()
	}
	if err := p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
		t.Fatal(err)
	}
	p.expectClose(websocket.CloseNormalClosure)
	handOver()
	app.Shutdown(patience)

	traces := map[string]string{} // of the messages' transactions, by id
	for _, e := range c.all(nrTransaction, "Message/m") {
		traces[e.str("guid")] = e.str("traceId")
	}
	if len(traces) != messages {
		t.Errorf("%d transactions, want %d", len(traces), messages)
	}
	host, err := url.Parse(called.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Datastore/operation/Redis/set", "External/" + host.Host + "/http/GET"} {
		below := map[string]bool{}
		for _, s := range c.all(nrSpan, name) {
			if s.str("traceId") == traces[s.str("transactionId")] {
				below[s.str("transactionId")] = true
			}
		}
		if len(below) != messages {
			t.Errorf("%d of %d messages have a span %s", len(below), messages, name)
		}
		if got := c.scoped["OtherTransaction/Go/Message/m "+name].count; got != messages {
			t.Errorf("New Relic has counted %v of %s in the messages, want %d", got, name, messages)
		}
	}
}

// useVendors calls what the vendors' agents let a handler do.
func useVendors(ctx context.Context) {
	span, within := apm.StartSpan(ctx, "apm", "app")
	inner, _ := apm.StartSpan(within, "apm inner", "app")
	inner.End()
	span.End()
	tx := newrelic.FromContext(ctx).NewGoroutine()
	segment := tx.StartSegment("newrelic")
	tx.AddAttribute("newrelic.attribute", true)
	segment.AddAttribute("segment.attribute", true)
	segment.End()
	_, own := apmws.StartSpan(ctx, "both", apmws.SpanOptions{})
	own.End(nil)
}

// TestVendorsAtOnce has both vendors' agents used inside one handler, from several
// goroutines at once: while the message is handled, when it ends, and afterwards,
// with contexts that were kept. Run it with -race.
func TestVendorsAtOnce(t *testing.T) {
	const connections, messages, goroutines = 4, 25, 4
	in, c := startIntake(t), newCollector(t)
	t.Setenv("ELASTIC_APM_SERVER_URL", in.URL)
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "none")
	t.Setenv("ELASTIC_APM_CENTRAL_CONFIG", "false")
	tracer, err := apm.NewTracer("test", "")
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	app := startNewRelic(t, c)

	var lasting sync.WaitGroup // goroutines that outlive their messages
	handle := func(ctx context.Context, m apmws.Message) error {
		ending := make(chan struct{})
		defer close(ending)
		for range goroutines {
			lasting.Go(func() {
				<-ending
				for range 5 {
					useVendors(ctx)
				}
			})
		}
		var within sync.WaitGroup
		defer within.Wait()
		for range goroutines {
			within.Go(func() { useVendors(ctx) })
		}
		// A Context of Elastic's belongs to one goroutine at a time.
		within.Go(func() {
			if tx := apm.TransactionFromContext(ctx); tx != nil {
				tx.Context.SetLabel("elastic_label", true)
			}
		})
		newrelic.FromContext(ctx).AddAttribute("handler.attribute", true)
		return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
	}
	kept := make(chan context.Context, connections*messages)
	address, handOver := startEndpoint(t, func(ctx context.Context, m apmws.Message) error {
		kept <- ctx
		return handle(ctx, m)
	}, elasticws.New(tracer), newrelicws.New(app))

	var clients sync.WaitGroup
	for range connections {
		conn, _, err := dial(t, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			for range messages {
				if err := conn.WriteMessage(websocket.TextMessage, []byte("{}")); err != nil {
					t.Error(err)
					return
				}
				if _, _, err := conn.ReadMessage(); err != nil {
					t.Error(err)
					return
				}
			}
			// The answer to this is read when the last message has ended.
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
			if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("the connection ends with %v", err)
			}
		})
	}
	clients.Wait()
	lasting.Wait()
	close(kept)
	for ctx := range kept {
		useVendors(ctx)
		if tx := apm.TransactionFromContext(ctx); tx != nil {
			t.Errorf("after the end there is Elastic's transaction %v", tx.TraceContext())
		}
		if newrelic.FromContext(ctx) != nil {
			t.Error("after the end there is New Relic's transaction")
		}
		if apmws.FromContext(ctx) == nil {
			t.Error("after the end the connection is gone")
		}
	}
	handOver()
	app.Shutdown(patience)

	// What was done in time is there.
	const all = connections * messages
	found, _ := in.all("transaction", "m")
	spans := map[string]int{}
	for _, name := range []string{"apm", "apm inner", "both"} {
		below, _ := in.all("span", name)
		for _, s := range below {
			spans[name+s.TransactionID]++
		}
	}
	// On a machine that is busy its agent has no room for some, and counts them.
	dropped := tracer.Stats()
	if len(found)+int(dropped.TransactionsDropped) != all {
		t.Errorf("Elastic has %d transactions and dropped %d, want %d", len(found), dropped.TransactionsDropped, all)
	}
	missing := 0
	for _, e := range found {
		if e.Context.Tags["elastic_label"] != true {
			t.Errorf("Elastic's transaction lacks the handler's label: %v", e.Context.Tags)
		}
		for _, name := range []string{"apm", "apm inner", "both"} {
			missing += max(0, goroutines-spans[name+e.ID])
		}
	}
	if missing > int(dropped.SpansDropped) {
		t.Errorf("Elastic lacks %d spans of messages, and dropped %d", missing, dropped.SpansDropped)
	}
	events := c.all(nrTransaction, "Message/m")
	if len(events) != all {
		t.Errorf("New Relic has %d transactions, want %d", len(events), all)
	}
	for _, e := range events {
		if e.user["handler.attribute"] != true || e.user["newrelic.attribute"] != true {
			t.Errorf("New Relic's transaction lacks the handler's attributes: %v", e.user)
		}
	}
	for _, name := range []string{"Custom/newrelic", "Custom/both"} {
		if n := c.scoped["OtherTransaction/Go/Message/m "+name].count; n < all*goroutines {
			t.Errorf("New Relic has %v segments %s, want %d at least", fmt.Sprint(n), name, all*goroutines)
		}
	}
}
