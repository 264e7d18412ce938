package newrelicws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// spanTest is a message whose spans are looked at.
type spanTest struct {
	*testing.T
	c   *collector
	app *newrelic.Application
	ctx context.Context
	m   *messageSpan
}

func newSpanTest(t *testing.T) *spanTest {
	c := newCollector()
	app := newApp(t, c)
	ctx, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	return &spanTest{t, c, app, ctx, m}
}

// spans ends the message and returns the spans by name, each once.
func (s *spanTest) spans() map[string]event {
	s.Helper()
	s.m.End(messageOK())
	h := s.c.harvest(s.T, s.app)
	s.check(h)
	all := make(map[string]event)
	for _, name := range names(h.spans) {
		all[name] = h.span(s.T, name)
	}
	return all
}

// check: what the agent counts agrees.
func (s *spanTest) check(h *harvest) {
	s.Helper()
	for _, span := range h.spans {
		name := fmt.Sprint(span.intrinsics["name"])
		if len(name) > 7 && name[:7] == "Custom/" && h.count(name) != 1 {
			s.Errorf("%s: metric %v", name, h.metrics[name])
		}
	}
}

func start(ctx context.Context, t testing.TB, parent apmws.SpanStarter, name string) (context.Context, apmws.ChildSpan) {
	t.Helper()
	ctx, span := parent.StartSpan(ctx, apmws.SpanStart{
		Time: time.Now(), Name: name, Type: "app", Attrs: append(common(semconv.EventMessage), slog.String("of", name)),
	})
	if span == nil {
		t.Fatalf("span %s is not recorded", name)
	}
	return ctx, span
}

func below(ctx context.Context, t testing.TB, span apmws.ChildSpan, name string) (context.Context, apmws.ChildSpan) {
	t.Helper()
	return start(ctx, t, span.(apmws.SpanStarter), name)
}

func end(span apmws.ChildSpan, name string) {
	span.End(apmws.SpanEnd{Time: time.Now(), Outcome: apmws.OutcomeSuccess, Attrs: []slog.Attr{slog.String("ended", name)}})
}

const root = "OtherTransaction/Go/Message/chat.say"

// wantBelow checks a span's parent and that it has its own attributes and no
// other's.
func wantBelow(t testing.TB, spans map[string]event, name, parent string) {
	t.Helper()
	span, ok := spans["Custom/"+name]
	if !ok {
		t.Errorf("span %s is lost", name)
		return
	}
	above, ok := spans["Custom/"+parent]
	if parent == "" {
		above, ok = spans[root]
	}
	if !ok || span.intrinsics["parentId"] != above.intrinsics["guid"] {
		t.Errorf("%s is below %v, want %q, %v", name, span.intrinsics["parentId"], parent, above.intrinsics["guid"])
	}
	wantAttributes(t, name, span.user, map[string]any{
		semconv.Event: "message", semconv.ConnectionID: connID, semconv.Route: "/ws",
		"of": name, "ended": name, semconv.EventOutcome: "success",
	})
}

// pause makes a duration that is told from others: it is at least the pause, and
// what is compared with it is bounded by clocks read around it.
func pause() { time.Sleep(30 * time.Millisecond) }

func seconds(span event) float64 { return span.intrinsics["duration"].(float64) }

func TestNestedSpans(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	if ctx != s.ctx {
		t.Error("a span that needs no context of its own has one")
	}
	ctx, b := below(ctx, t, a, "b")
	_, c := below(ctx, t, b, "c")
	end(c, "c")
	end(b, "b")
	_, d := below(ctx, t, a, "d")
	end(d, "d")
	end(a, "a")
	_, e := start(s.ctx, t, s.m, "e")
	end(e, "e")
	end(e, "again")
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "a", "c": "b", "d": "a", "e": ""} {
		wantBelow(t, spans, child, parent)
	}
	if tx := s.c.decode(t).transaction(t, "Message/chat.say").intrinsics; tx["totalTime"] != tx["duration"] {
		t.Errorf("total time %v, duration %v", tx["totalTime"], tx["duration"])
	}
}

// TestSpansEndInReverse: New Relic would lose those that were started last. They
// are all there, and last as long as they did.
func TestSpansEndInReverse(t *testing.T) {
	s := newSpanTest(t)
	began := time.Now()
	ctx, a := start(s.ctx, t, s.m, "a")
	ctx, b := below(ctx, t, a, "b")
	ctxC, c := below(ctx, t, b, "c")
	header := http.Header{}
	newrelic.FromContext(ctxC).InsertDistributedTraceHeaders(header) // c is somebody's parent
	sent, err := apmws.ParseTraceParent(header.Get("Traceparent"), "")
	if err != nil {
		t.Fatal(err)
	}
	pause()
	end(a, "a")
	atMostA := time.Since(began).Seconds()
	pause()
	_, d := below(ctxC, t, c, "d")
	end(d, "d")
	end(b, "b")
	pause()
	end(c, "c")
	_, e := start(s.ctx, t, s.m, "e")
	end(e, "e")
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "a", "c": "b", "d": "c", "e": ""} {
		wantBelow(t, spans, child, parent)
	}
	if got := spans["Custom/c"].intrinsics["guid"]; got != sent.SpanIDString() {
		t.Errorf("c was passed on as %s and is %v", sent.SpanIDString(), got)
	}
	if d := seconds(spans["Custom/a"]); d < 0.03 || d > atMostA {
		t.Errorf("a took %v s, want between 0.03 and %v", d, atMostA)
	}
	if b, c := seconds(spans["Custom/b"]), seconds(spans["Custom/c"]); b < 0.06 || c < 0.09 {
		t.Errorf("b took %v s and c %v, want at least 0.06 and 0.09", b, c)
	}
}

// TestSiblingsOverlap: each is directly below the message, whichever ends first.
func TestSiblingsOverlap(t *testing.T) {
	s := newSpanTest(t)
	_, a := start(s.ctx, t, s.m, "a")
	ctxB, b := start(s.ctx, t, s.m, "b")
	if newrelic.FromContext(ctxB) == newrelic.FromContext(s.ctx) || !findLayout().same(newrelic.FromContext(ctxB), newrelic.FromContext(s.ctx)) {
		t.Error("the context is not that of another goroutine of the transaction")
	}
	segment := newrelic.FromContext(ctxB).StartSegment("integration")
	segment.End()
	_, c := below(ctxB, t, b, "c")
	end(a, "a")
	end(c, "c")
	end(b, "b")
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "", "c": "b"} {
		wantBelow(t, spans, child, parent)
	}
	if got := spans["Custom/integration"].intrinsics["parentId"]; got != spans["Custom/b"].intrinsics["guid"] {
		t.Errorf("what an integration does under b is below %v", got)
	}
}

// TestSpansOnGoroutines: spans of several goroutines, with New Relic's way of
// telling goroutines apart and without.
func TestSpansOnGoroutines(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	var wg sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprint("plain", i)
		wg.Go(func() {
			ctx, outer := below(ctx, t, a, name)
			_, inner := below(ctx, t, outer, "in "+name)
			end(inner, "in "+name)
			end(outer, name)
		})
		tx := newrelic.FromContext(s.ctx).NewGoroutine()
		wg.Go(func() {
			name := fmt.Sprint("vendor", i)
			ctx := newrelic.NewContext(s.ctx, tx)
			segment := tx.StartSegment("app's " + name)
			got, span := start(ctx, t, s.m, name)
			if !findLayout().same(newrelic.FromContext(got), tx) {
				t.Errorf("%s has another transaction in its context", name)
			}
			end(span, name)
			segment.End()
		})
	}
	wg.Wait()
	wg.Go(func() { end(a, "a") })
	wg.Wait()
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	for i := range 8 {
		wantBelow(t, spans, fmt.Sprint("in plain", i), fmt.Sprint("plain", i))
		vendor := fmt.Sprint("vendor", i)
		wantBelow(t, spans, vendor, "app's "+vendor)
		if _, ok := spans[fmt.Sprint("Custom/plain", i)]; !ok {
			t.Errorf("plain%d is lost", i)
		}
	}
}

// TestMixedSegments: segments of New Relic's API and spans that overlap, with one
// handle of the transaction. By New Relic's rule one of each two would be lost.
func TestMixedSegments(t *testing.T) {
	s := newSpanTest(t)
	tx := newrelic.FromContext(s.ctx)

	first := tx.StartSegment("first") // ends before what is below it
	ctx, a := start(s.ctx, t, s.m, "a")
	ctx, b := below(ctx, t, a, "b")
	first.End()
	inner := newrelic.FromContext(ctx).StartSegment("inner")
	inner.End()
	end(b, "b")
	end(a, "a")

	_, c := start(s.ctx, t, s.m, "c")
	second := tx.StartSegment("second") // outlives what it began under
	end(c, "c")
	_, d := start(s.ctx, t, s.m, "d") // below second, for all that is known
	third := tx.StartSegment("third")
	third.End()
	second.End()
	end(d, "d")

	_, e := start(s.ctx, t, s.m, "e")
	end(e, "e")
	segment := tx.StartSegment("last")
	segment.End()
	spans := s.spans()
	for child, parent := range map[string]string{"a": "first", "b": "a", "c": "", "d": "second", "e": ""} {
		wantBelow(t, spans, child, parent)
	}
	for child, parent := range map[string]string{"first": root, "inner": "Custom/b", "second": "Custom/c", "third": "Custom/second", "last": root} {
		if got, want := spans["Custom/"+child].intrinsics["parentId"], spans[parent].intrinsics["guid"]; got != want || got == nil {
			t.Errorf("%s is below %v, want %v", child, got, want)
		}
	}
}

// TestUnknownLayout: with an agent whose structures are not known, New Relic's rule
// holds, and it has nothing to complain of.
func TestUnknownLayout(t *testing.T) {
	s := newSpanTest(t)
	s.m.exporter.layout = nil
	ctx, a := start(s.ctx, t, s.m, "a")
	_, b := below(ctx, t, a, "b")
	_, sibling := start(s.ctx, t, s.m, "sibling")
	end(b, "b")
	ctx, lost := below(ctx, t, a, "lost")
	_, lostToo := below(ctx, t, lost, "lost too")
	end(a, "a")
	end(lostToo, "lost too")
	end(lost, "lost")
	end(sibling, "sibling")
	spans := s.spans()
	wantBelow(t, spans, "b", "a")
	wantBelow(t, spans, "sibling", "")
	if spans["Custom/a"].user["of"] != "a" || len(spans) != 3+2 {
		t.Errorf("a is %v of %d spans", spans["Custom/a"], len(spans))
	}
}

// TestSpansLeftOpen: those that end after the transaction, or never, leave nothing
// behind, and no error line.
func TestSpansLeftOpen(t *testing.T) {
	s := newSpanTest(t)
	ctx, late := start(s.ctx, t, s.m, "late")
	ctx, never := below(ctx, t, late, "never")
	_, ended := below(ctx, t, never, "ended")
	end(ended, "ended")
	s.m.End(messageOK())
	end(late, "late")
	if got, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "after"}); got != s.ctx || span != nil {
		t.Error("a span after the end")
	}
	if got, span := never.(apmws.SpanStarter).StartSpan(ctx, apmws.SpanStart{Name: "after"}); got != ctx || span != nil {
		t.Error("a span below a span after the end")
	}
	h := s.c.harvest(t, s.app)
	if got := fmt.Sprint(names(h.spans)); got != "[Custom/ended OtherTransaction/Go/Connection/CONNECT /ws "+root+"]" {
		t.Errorf("spans %v", got)
	}
}

// TestForeignContext: a context with another transaction of the application's, or
// with none, is no reason to lose a span.
func TestForeignContext(t *testing.T) {
	s := newSpanTest(t)
	other := s.app.StartTransaction("other")
	got, a := start(newrelic.NewContext(s.ctx, other), t, s.m, "a")
	if newrelic.FromContext(got) != s.m.tx {
		t.Error("the span's context has another transaction")
	}
	end(a, "a")
	_, b := start(t.Context(), t, s.m, "b")
	end(b, "b")
	other.End()
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	wantBelow(t, spans, "b", "")
}

func TestConnectSpans(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	ctx, conn := startConn(t.Context(), t, New(app))
	_, span := conn.StartSpan(ctx, apmws.SpanStart{Name: "authenticate", Type: "app", Attrs: common(semconv.EventConnect)})
	span.End(apmws.SpanEnd{Outcome: apmws.OutcomeFailure})
	conn.Opened(accepted())
	if got, span := conn.StartSpan(ctx, apmws.SpanStart{Name: "late"}); got != ctx || span != nil {
		t.Error("a span after CONNECT")
	}
	h := c.harvest(t, app)
	got := h.span(t, "Custom/authenticate")
	if got.intrinsics["parentId"] != conn.SpanContext().SpanIDString() || got.user[semconv.EventOutcome] != "failure" {
		t.Errorf("%v", got)
	}
}

func TestSegmentKinds(t *testing.T) {
	tests := []struct {
		typ, destination, want, category string
	}{
		{"app", "", "Custom/n", "generic"},
		{"db.redis.get", "", "Custom/n", "generic"},
		{"websocket.send", "", "Custom/n", "generic"},
		{"db.redis.get", "redis", "Datastore/operation/Redis/n", "datastore"},
		{"db.postgresql", "db.example:5432", "Datastore/operation/Postgres/n", "datastore"},
		{"db", "x", "Datastore/operation/Unknown/n", "datastore"},
		{"messaging.redis.publish", "redis", "MessageBroker/Redis/Topic/Produce/Named/n", "generic"},
		{"messaging.kafka", "kafka/chat", "MessageBroker/Kafka/Topic/Produce/Named/n", "generic"},
		{"external.grpc.call", "billing.example:443", "External/billing.example:443/grpc/n", "http"},
		{"external", "billing", "External/billing/external/n", "http"},
		{"cache.custom", "edge", "External/edge/custom/n", "http"},
		{"", "bare", "External/bare/http/n", "http"},
	}
	for _, test := range tests {
		s := newSpanTest(t)
		_, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "n", Type: test.typ, Destination: test.destination, Attrs: common(semconv.EventMessage)})
		span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
		spans := s.spans()
		got, ok := spans[test.want]
		if !ok || len(spans) != 3 {
			t.Errorf("%s to %q: no %s", test.typ, test.destination, test.want)
			continue
		}
		if got.intrinsics["category"] != test.category || got.user[semconv.ConnectionID] != connID {
			t.Errorf("%s to %q: %v", test.typ, test.destination, got)
		}
		if test.destination == "db.example:5432" && got.agent["peer.address"] != "db.example:5432" {
			t.Errorf("instance %v", got.agent)
		}
		if got.agent["http.url"] != nil {
			t.Errorf("a URL: %v", got.agent)
		}
	}
	for _, product := range []string{"cassandra", "dynamodb", "elasticsearch", "memcached", "mongodb", "mssql", "sqlserver", "mysql", "nats", "oracle", "postgres", "rabbitmq", "sqlite"} {
		if got := productName(product); got == product || got == "" {
			t.Errorf("%s is spelled %q", product, got)
		}
	}
}

// TestInternals: should the agent change, this says so before spans that end out
// of order suffer for it, or messages wait.
func TestInternals(t *testing.T) {
	app := newApp(t, newCollector())
	queue := dataQueue(app)
	if !queue.IsValid() || queue.Cap() != 200 || queue.Len() > queue.Cap() {
		t.Errorf("queue %v", queue)
	}
	l := findLayout()
	if l == nil {
		t.Fatal("no layout")
	}
	tx := app.StartTransaction("x")
	other := tx.NewGoroutine()
	first := tx.StartSegment("first")
	second := tx.StartSegment("second")
	if l.open(tx) != 2 || l.open(other) != 0 || l.depthOf(&first.StartTime) != 0 || l.depthOf(&second.StartTime) != 1 {
		t.Errorf("%d and %d open, depths %d and %d", l.open(tx), l.open(other), l.depthOf(&first.StartTime), l.depthOf(&second.StartTime))
	}
	l.copyStack(tx, other, 99)
	l.rebase(&second.StartTime, other)
	second.End() // logs an error, which fails the test, when it is not there
	l.trim(tx, 1)
	if l.open(tx) != 1 || l.open(other) != 1 {
		t.Errorf("%d and %d open", l.open(tx), l.open(other))
	}
	first.End()
	tx.End()
	strange := &newrelic.Transaction{Private: &struct{ txn, thread int }{}}
	for _, foreign := range []*newrelic.Transaction{nil, strange, {}, app.StartTransaction("y")} {
		if l.same(tx, foreign) || l.same(foreign, tx) || (*layout)(nil).same(tx, foreign) {
			t.Errorf("%v is taken for another's", foreign)
		}
	}
	if !l.same(tx, other) {
		t.Error("handles of one transaction are not told from others")
	}
	for _, private := range []any{nil, 1, "x", (*int)(nil), &struct{ dataChan int }{}} {
		if dataQueue(&newrelic.Application{Private: private}).IsValid() {
			t.Errorf("a queue in %T", private)
		}
	}
}
