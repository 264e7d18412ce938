package newrelicws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
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
	wantParent(t, spans, name, parent)
	wantAttributes(t, name, spans["Custom/"+name].user, map[string]any{
		semconv.Event: "message", semconv.ConnectionID: connID, semconv.Route: "/ws",
		"of": name, "ended": name, semconv.EventOutcome: "success",
	})
}

// wantEndedWith does the same for a span that has ended with another.
func wantEndedWith(t testing.TB, spans map[string]event, name, parent string) {
	t.Helper()
	wantParent(t, spans, name, parent)
	wantAttributes(t, name, spans["Custom/"+name].user, map[string]any{
		semconv.Event: "message", semconv.ConnectionID: connID, semconv.Route: "/ws",
		"of": name, semconv.EventOutcome: "unknown",
	})
}

// wantParent checks a span's parent: the message when it is empty.
func wantParent(t testing.TB, spans map[string]event, name, parent string) {
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
}

// pause makes a duration that is told from others: it is at least the pause, and
// what is compared with it is bounded by clocks read around it.
func pause() { time.Sleep(30 * time.Millisecond) }

func seconds(span event) float64 { return span.intrinsics["duration"].(float64) }

func TestNestedSpans(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	ctxB, b := below(ctx, t, a, "b")
	if ctxB != ctx {
		t.Error("a span on its parent's lane has a context of its own")
	}
	_, c := below(ctxB, t, b, "c")
	end(c, "c")
	end(b, "b")
	_, d := below(ctx, t, a, "d")
	end(d, "d")
	end(a, "a")
	_, e := start(s.ctx, t, s.m, "e")
	end(e, "e")
	end(e, "again")
	if s.m.lanes != 1 {
		t.Errorf("%d lanes", s.m.lanes)
	}
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "a", "c": "b", "d": "a", "e": ""} {
		wantBelow(t, spans, child, parent)
	}
}

// TestSpansEndInReverse: those below the span that ends are recorded as they are
// then.
func TestSpansEndInReverse(t *testing.T) {
	s := newSpanTest(t)
	began := time.Now()
	ctx, a := start(s.ctx, t, s.m, "a")
	ctx, b := below(ctx, t, a, "b")
	ctx, c := below(ctx, t, b, "c")
	header := http.Header{}
	newrelic.FromContext(ctx).InsertDistributedTraceHeaders(header) // c is somebody's parent
	sent, err := apmws.ParseTraceParent(header.Get("Traceparent"), "")
	if err != nil {
		t.Fatal(err)
	}
	pause()
	end(a, "a")
	atMost := time.Since(began).Seconds()
	pause()
	if newrelic.FromContext(ctx) != s.m.tx {
		t.Error("the context of a span that has ended is still on its lane")
	}
	_, d := below(ctx, t, c, "d")
	end(b, "b")
	end(c, "c")
	end(d, "d")
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	wantEndedWith(t, spans, "b", "a")
	wantEndedWith(t, spans, "c", "b")
	wantBelow(t, spans, "d", "")
	if got := spans["Custom/c"].intrinsics["guid"]; got != sent.SpanIDString() {
		t.Errorf("c was passed on as %s and is %v", sent.SpanIDString(), got)
	}
	for _, name := range []string{"a", "b", "c"} {
		if d := seconds(spans["Custom/"+name]); d < 0.03 || d > atMost {
			t.Errorf("%s took %v s, want between 0.03 and %v", name, d, atMost)
		}
	}
}

// TestSiblingsOverlap: none takes another with it, whichever ends first. The one
// that is alone on its parent's lane is below it, the others are below the message.
func TestSiblingsOverlap(t *testing.T) {
	s := newSpanTest(t)
	ctxA, a := start(s.ctx, t, s.m, "a")
	ctxB, b := start(s.ctx, t, s.m, "b")
	handles := map[*newrelic.Transaction]bool{s.m.tx: true, newrelic.FromContext(ctxA): true, newrelic.FromContext(ctxB): true}
	if len(handles) != 3 || handles[nil] {
		t.Errorf("handles %v", handles)
	}
	_, c := below(ctxB, t, b, "c")
	_, d := below(ctxB, t, b, "d")
	_, e := below(ctxA, t, b, "e")
	end(a, "a")
	end(c, "c")
	end(b, "b")
	end(d, "d")
	end(e, "e")
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "", "c": "b", "d": "", "e": ""} {
		wantBelow(t, spans, child, parent)
	}
}

// TestSpansOnGoroutines: spans of several goroutines, next to segments on handles
// that the application has made for its own.
func TestSpansOnGoroutines(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	var wg sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprint("plain", i)
		wg.Go(func() {
			ctx, outer := start(s.ctx, t, s.m, name)
			ctx, inner := below(ctx, t, outer, "in "+name)
			segment := newrelic.FromContext(ctx).StartSegment("app's " + name)
			segment.End()
			end(inner, "in "+name)
			end(outer, name)
		})
		wg.Go(func() {
			_, span := below(ctx, t, a, "child"+name)
			end(span, "child"+name)
		})
		tx := newrelic.FromContext(s.ctx).NewGoroutine()
		wg.Go(func() {
			name := fmt.Sprint("vendor", i)
			segment := tx.StartSegment("app's " + name)
			_, span := start(newrelic.NewContext(s.ctx, tx), t, s.m, name)
			segment.End()
			end(span, name)
		})
	}
	wg.Wait()
	wg.Go(func() { end(a, "a") })
	wg.Wait()
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	for i := range 8 {
		plain, vendor := fmt.Sprint("plain", i), fmt.Sprint("vendor", i)
		wantBelow(t, spans, plain, "")
		wantBelow(t, spans, "in "+plain, plain)
		wantParent(t, spans, "app's "+plain, "in "+plain)
		wantBelow(t, spans, vendor, "")
		wantParent(t, spans, "app's "+vendor, "")
		parent := "a"
		if spans["Custom/child"+plain].intrinsics["parentId"] == spans[root].intrinsics["guid"] {
			parent = "" // another was on the lane
		}
		wantBelow(t, spans, "child"+plain, parent)
	}
}

// TestSegmentsAround: segments on the application's handle of the message and spans
// never meet, in whatever order they end.
// TestSegmentsInside: segments with the handle in a span's context are below it,
// and no span is above one: it would end with it.
// TestSegmentLeftOpen: a segment that the application has not ended when the span
// does is dropped, and takes the attributes of the span's end with it. That it
// ends too late is for its own End to complain of, once.
// TestHandleKept: the application goes on with a handle that it has got from the
// context of a span which has ended. The lane is not used again while it does.
// TestSpansOfUnsampled: they are counted, in whatever order they end and whatever
// segments are begun in between. They are no events.
func TestSpansOfUnsampled(t *testing.T) {
	c := newCollector()
	c.reply["sampling_target"] = 0
	app := newApp(t, c)
	ctx, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	if m.collectsSpans() {
		t.Fatal("the message is sampled: the test proves nothing")
	}
	ctxA, a := start(ctx, t, m, "a")
	segment := newrelic.FromContext(ctxA).StartSegment("segment")
	ctxB, b := below(ctxA, t, a, "b")
	segment.End()
	_, d := below(ctxB, t, b, "d")
	end(a, "a")
	end(b, "b")
	end(d, "d")
	m.End(messageOK())
	h := c.harvest(t, app)
	for _, name := range []string{"a", "b", "d", "segment"} {
		if got := h.count("Custom/" + name); got != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if len(h.spans) != 0 {
		t.Errorf("spans %v", names(h.spans))
	}
}

// TestManySpans: one after the other they share a lane, whatever their number, and
// each that is open at the same time has its own.
func TestManySpans(t *testing.T) {
	const many, parallel = 10_000, 50
	s := newSpanTest(t)
	for range many {
		_, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "s"})
		span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
	}
	if s.m.lanes != 1 || len(s.m.idle) != 1 {
		t.Errorf("%d lanes, %d idle", s.m.lanes, len(s.m.idle))
	}
	for range many / parallel {
		open := make([]apmws.ChildSpan, parallel)
		for i := range open {
			_, open[i] = s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "p"})
		}
		for _, span := range open {
			span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
		}
	}
	if s.m.lanes != parallel || len(s.m.idle) != parallel {
		t.Errorf("%d lanes, %d idle", s.m.lanes, len(s.m.idle))
	}
	for _, l := range s.m.idle {
		if n := cap(l.open); n > 8 || l.open[:n][0] != nil {
			t.Errorf("a lane holds on to its spans, of %d", n)
		}
	}
	s.m.End(messageOK())
	h := s.c.harvest(t, s.app)
	if h.count("Custom/s") != many || h.count("Custom/p") != many {
		t.Errorf("%v and %v, want %d", h.count("Custom/s"), h.count("Custom/p"), many)
	}
}

// TestTooManySpans: of those that are open at once.
func TestTooManySpans(t *testing.T) {
	s := newSpanTest(t)
	var open []apmws.ChildSpan
	for range maxLanes {
		_, span := start(s.ctx, t, s.m, "open")
		open = append(open, span)
	}
	for range 2 {
		if got, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "lost"}); got != s.ctx || span != nil {
			t.Errorf("span %v", span)
		}
	}
	_, child := below(s.ctx, t, open[0], "child") // needs no lane
	end(child, "child")
	end(open[1], "open")
	_, again := start(s.ctx, t, s.m, "again")
	end(again, "again")
	for _, span := range open {
		end(span, "open")
	}
	if got := dropped(s.m.exporter, "spans"); got != 2 {
		t.Errorf("%d dropped, want 2", got)
	}
	s.m.End(messageOK())
	h := s.c.harvest(t, s.app)
	if h.count("Custom/open") != maxLanes || h.count("Custom/child") != 1 || h.count("Custom/again") != 1 || h.count("Custom/lost") != 0 {
		t.Errorf("%v, %v, %v and %v", h.count("Custom/open"), h.count("Custom/child"), h.count("Custom/again"), h.count("Custom/lost"))
	}
}

// TestSpansLeftOpen: those that end after the transaction, or never, leave nothing
// behind, and no error line; whoever has ended it.
func TestSpansLeftOpen(t *testing.T) {
	for name, endMessage := range map[string]func(s *spanTest){
		"ended":                    func(s *spanTest) { s.m.End(messageOK()) },
		"ended by the application": func(s *spanTest) { newrelic.FromContext(s.ctx).End() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpanTest(t)
			ctx, late := start(s.ctx, t, s.m, "late")
			ctx, never := below(ctx, t, late, "never")
			_, ended := below(ctx, t, never, "ended")
			end(ended, "ended")
			endMessage(s)
			end(late, "late")
			if got, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: "after"}); got != s.ctx || span != nil {
				t.Error("a span after the end")
			}
			if got, span := never.(apmws.SpanStarter).StartSpan(ctx, apmws.SpanStart{Name: "after"}); got != ctx || span != nil {
				t.Error("a span below a span after the end")
			}
			s.m.End(messageOK())
			h := s.c.harvest(t, s.app)
			if got := fmt.Sprint(names(h.spans)); got != "[Custom/ended OtherTransaction/Go/Connection/CONNECT /ws "+root+"]" {
				t.Errorf("spans %v", got)
			}
		})
	}
}

// TestSpansRaceWithTheEnd: spans start, are found by New Relic's API and end, some
// twice, while those around them and the message end.
func TestSpansRaceWithTheEnd(t *testing.T) {
	s := newSpanTest(t)
	ctxA, a := start(s.ctx, t, s.m, "a")
	var wg sync.WaitGroup
	var started atomic.Int64
	for range 50 {
		wg.Go(func() {
			for range 20 {
				ctx, b := a.(apmws.SpanStarter).StartSpan(ctxA, apmws.SpanStart{Name: "b"})
				if newrelic.FromContext(ctx) == nil {
					t.Error("no transaction in the context")
				}
				if b == nil {
					continue
				}
				started.Add(1)
				_, c := b.(apmws.SpanStarter).StartSpan(ctx, apmws.SpanStart{Name: "c"})
				wg.Go(func() { end(b, "b") })
				if c != nil {
					end(c, "c")
				}
				end(b, "b")
			}
		})
	}
	wg.Go(func() { end(a, "a") })
	wg.Go(func() { s.m.End(messageOK()) })
	wg.Wait()
	h := s.c.harvest(t, s.app)
	h.transaction(t, "Message/chat.say")
	if got := int64(h.count("Custom/b")); got > started.Load() || h.count("Custom/a") > 1 {
		t.Errorf("%d of %d, in %v", got, started.Load(), h.count("Custom/a"))
	}
}

// TestForeignContext: a context with another transaction of the application's, or
// with none, is no reason to lose a span.
func TestForeignContext(t *testing.T) {
	s := newSpanTest(t)
	other := s.app.StartTransaction("other")
	got, a := start(newrelic.NewContext(s.ctx, other), t, s.m, "a")
	if newrelic.FromContext(got).GetTraceMetadata().TraceID != s.m.ids.TraceIDString() {
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

// TestHTTPSegment: only a method is sent as one.
// TestDataQueue: should the agent change, this says so before messages wait.
