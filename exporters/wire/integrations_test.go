package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisv8 "github.com/go-redis/redis/v8"
	"github.com/gorilla/websocket"
	nrredis "github.com/newrelic/go-agent/v3/integrations/nrredis-v9"
	"github.com/newrelic/go-agent/v3/newrelic"
	"github.com/redis/go-redis/v9"
	"go.elastic.co/apm/module/apmgoredisv8/v2"
	"go.elastic.co/apm/module/apmhttp/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/intake"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

const (
	crowd  = 6  // connections
	rounds = 12 // messages of each, one of every connection handled at the same time
)

const patience = time.Minute

// integrations is a service whose handlers call all that vendors' integrations
// observe. Each message has a key of its own, which is in what it calls, and nowhere
// else but in its length.
type integrations struct {
	elastic, newRelic *http.Client
	redis, redisNR    *redis.Client
	redisES           *redisv8.Client
	together          [rounds]sync.WaitGroup

	mu      sync.Mutex
	parents map[string]string // traceparent by what was called
}

// lengthOf is that of the message with a key: the core's own attribute tells it from
// all others.
func lengthOf(key int) int { return 100 + key }

// ServeHTTP is the service that is called.
func (s *integrations) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parents[r.URL.Path] = r.Header.Get("Traceparent")
}

func (s *integrations) handle(ctx context.Context, m apmws.Message) error {
	key := len(m.Data) - lengthOf(0)
	round := &s.together[key%rounds]
	round.Done()
	round.Wait() // until one of every connection is here

	work, span := apmws.StartSpan(ctx, "work", apmws.SpanOptions{})
	errs := s.call(work, "", key)
	span.End(nil)

	// Once more on another goroutine, as New Relic wants it to be told.
	var other sync.WaitGroup
	other.Go(func() {
		ctx := newrelic.NewContext(ctx, newrelic.FromContext(ctx).NewGoroutine())
		errs = errors.Join(errs, s.call(ctx, "go", key))
	})
	other.Wait()
	return errors.Join(errs, apmws.FromContext(ctx).Write(ctx, m.Type, m.Data))
}

// call calls everything, under names that hold the key.
func (s *integrations) call(ctx context.Context, where string, key int) error {
	name := func(integration string) string { return fmt.Sprintf("%s%sx%d", where, integration, key) }
	_ = s.redis.Do(ctx, name("own")).Err() // there are no such commands, which is no matter
	_ = s.redisNR.Do(ctx, name("nr")).Err()
	_ = s.redisES.Do(ctx, name("es")).Err()
	return errors.Join(get(ctx, s.elastic, name("es")), get(ctx, s.newRelic, name("nr")))
}

func get(ctx context.Context, client *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://called.example/"+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// startIntegrations returns the service, connected to what it calls.
func startIntegrations(t *testing.T) *integrations {
	t.Helper()
	s := &integrations{parents: map[string]string{}}
	for i := range s.together {
		s.together[i].Add(crowd)
	}
	called := httptest.NewServer(s)
	t.Cleanup(called.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, called.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	s.elastic = apmhttp.WrapClient(&http.Client{Transport: transport})
	s.newRelic = &http.Client{Transport: newrelic.NewRoundTripper(transport)}
	store := miniredis.RunT(t)
	s.redis = redis.NewClient(&redis.Options{Addr: store.Addr(), Protocol: 2, DisableIdentity: true})
	s.redisNR = redis.NewClient(&redis.Options{Addr: store.Addr(), Protocol: 2, DisableIdentity: true})
	s.redisES = redisv8.NewClient(&redisv8.Options{Addr: store.Addr()})
	s.redis.AddHook(life.RedisSpans{})
	s.redisNR.AddHook(nrredis.NewHook(nil))
	s.redisES.AddHook(apmgoredisv8.NewHook())
	for _, client := range []io.Closer{s.redis, s.redisNR, s.redisES} {
		t.Cleanup(func() { client.Close() })
	}
	return s
}

// TestIntegrations has messages of several connections handled at the same time, with
// all that vendors have for clients of HTTP and Redis: each span lands in the message
// that it belongs to. Run it with -race.
func TestIntegrations(t *testing.T) {
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
	s := startIntegrations(t)
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{elasticws.New(tracer), newrelicws.New(app)},
	})
	service := httptest.NewServer(agent.Endpoint("/ws", apmws.EndpointOptions{Message: s.handle}))
	defer service.Close()

	var clients sync.WaitGroup
	for c := range crowd {
		clients.Go(func() {
			if err := talk(t.Context(), "ws"+strings.TrimPrefix(service.URL, "http"), c*rounds); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	shutDown(t, agent)
	app.Shutdown(patience)
	if err := errors.Join(append(in.Rejected(), col.Problems()...)...); err != nil {
		t.Error(err)
	}
	s.checkElastic(t, in.Documents())
	s.checkNewRelic(t, col.Harvest())
}

// shutDown shuts an agent down. That leaves the exporters five seconds, too few on a
// machine that is busy enough: so what there is, is flushed before.
func shutDown(t *testing.T, agent *apmws.Agent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := errors.Join(agent.Flush(ctx), agent.Shutdown(ctx)); err != nil {
		t.Fatal(err)
	}
}

// talk sends messages with the keys from first on, and then says farewell.
func talk(ctx context.Context, url string, first int) error {
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for i := range rounds {
		if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, lengthOf(first+i))); err != nil {
			return err
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
	// The answer to this is read when the last message has ended.
	farewell := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := conn.WriteMessage(websocket.CloseMessage, farewell); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return fmt.Errorf("the connection ends with %w", err)
	}
	return nil
}

// found is a message, or a span, in either back end.
type found struct{ transaction, trace, parent string }

// keyIn returns the key that a name ends with, and the name without it.
func keyIn(name string) (of string, key int, ok bool) {
	i := strings.LastIndexByte(name, 'x')
	if i < 0 {
		return "", 0, false
	}
	key, err := strconv.Atoi(name[i+1:])
	return name[:i], key, err == nil
}

// check looks for each of the integrations' spans, by the key, in the message that has
// the key: once, and below the span that was around the call.
func (s *integrations) check(t *testing.T, vendor string, kinds []string, messages, works map[int]found, spans map[string]found) {
	t.Helper()
	if len(messages) != crowd*rounds {
		t.Errorf("%s has %d messages, want %d", vendor, len(messages), crowd*rounds)
	}
	for key, m := range messages {
		for _, kind := range kinds {
			for _, where := range []string{"", "go"} {
				name := fmt.Sprintf("%s%s %d", where, kind, key)
				got, ok := spans[name]
				want := found{m.transaction, m.trace, works[key].parent}
				if where == "go" {
					want.parent = m.parent
				}
				if !ok || got != want {
					t.Errorf("%s has the span %s at %+v (%v), want %+v", vendor, name, got, ok, want)
				}
				delete(spans, name)
			}
		}
	}
	for name, span := range spans {
		t.Errorf("%s has the span %s, which is another's: %+v", vendor, name, span)
	}
}

// checkParents compares the traceparent that was received with the message's trace.
func (s *integrations) checkParents(t *testing.T, vendor, integration string, messages map[int]found) {
	t.Helper()
	for key, m := range messages {
		for _, where := range []string{"", "go"} {
			path := fmt.Sprintf("/%s%sx%d", where, integration, key)
			if got := s.parents[path]; !strings.HasPrefix(got, "00-"+m.trace+"-") {
				t.Errorf("%s: %s is called with the traceparent %q, want the trace %s", vendor, path, got, m.trace)
			}
		}
	}
}

func (s *integrations) checkElastic(t *testing.T, documents []intake.Document) {
	t.Helper()
	messages, works, spans := map[int]found{}, map[int]found{}, map[string]found{}
	keys := map[string]int{} // of transactions
	for _, d := range documents {
		if d.Text("processor.event") == "transaction" && d.Text("transaction.type") == "Message" {
			key := int(d.Number("numeric_labels.websocket_message_length")) - lengthOf(0)
			id := d.Text("transaction.id")
			messages[key], keys[id] = found{id, d.Text("trace.id"), id}, key
		}
	}
	for _, d := range documents {
		if d.Text("processor.event") != "span" {
			continue
		}
		at := found{d.Text("transaction.id"), d.Text("trace.id"), d.Text("parent.id")}
		name := strings.ToLower(d.Text("span.name"))
		of := "redis "
		if d.Text("span.type") == "external" {
			name, of = strings.TrimPrefix(d.Text("url.original"), "http://called.example/"), "http "
		}
		if integration, key, ok := keyIn(name); ok {
			add(t, spans, where(integration, of), key, at)
		} else if name == "work" {
			works[keys[at.transaction]] = found{at.transaction, at.trace, d.Text("span.id")}
		}
	}
	s.check(t, "Elastic", []string{"redis own", "redis es", "http es"}, messages, works, spans)
	s.checkParents(t, "Elastic", "es", messages)
}

// where puts the word for another goroutine first.
func where(integration, of string) string {
	if rest, other := strings.CutPrefix(integration, "go"); other {
		return "go" + of + rest
	}
	return of + integration
}

func add(t *testing.T, spans map[string]found, name string, key int, at found) {
	t.Helper()
	name = fmt.Sprint(name, " ", key)
	if other, twice := spans[name]; twice {
		t.Errorf("%s is there twice, at %+v and %+v", name, at, other)
	}
	spans[name] = at
}

func (s *integrations) checkNewRelic(t *testing.T, h collector.Harvest) {
	t.Helper()
	messages, works, spans := map[int]found{}, map[int]found{}, map[string]found{}
	keys := map[string]int{} // of transactions
	for _, tx := range h.Transactions {
		if length, ok := tx.User["websocket.message.length"].(float64); ok {
			key, id := int(length)-lengthOf(0), text(tx.Intrinsics["guid"])
			messages[key], keys[id] = found{transaction: id, trace: text(tx.Intrinsics["traceId"])}, key
		}
	}
	for _, span := range h.Spans {
		at := found{text(span.Intrinsics["transactionId"]), text(span.Intrinsics["traceId"]), text(span.Intrinsics["parentId"])}
		key, ofMessage := keys[at.transaction]
		switch {
		case !ofMessage:
		case span.Intrinsics["nr.entryPoint"] == true:
			m := messages[key]
			m.parent = text(span.Intrinsics["guid"])
			messages[key] = m
		case span.Name() == "Custom/work":
			works[key] = found{at.transaction, at.trace, text(span.Intrinsics["guid"])}
		}
		name, of := span.Name(), "http "
		if redis, ok := strings.CutPrefix(name, "Datastore/operation/Redis/"); ok {
			name, of = strings.ToLower(redis), "redis "
		} else {
			name = strings.TrimPrefix(text(span.Agent["http.url"]), "http://called.example/")
		}
		if integration, key, ok := keyIn(name); ok {
			add(t, spans, where(integration, of), key, at)
		}
	}
	s.check(t, "New Relic", []string{"redis own", "redis nr", "http nr"}, messages, works, spans)
	s.checkParents(t, "New Relic", "nr", messages)
}
