package newrelicws

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func TestMessage(t *testing.T) {
	c := newCollector()
	app := newApp(t, c) // with code-level metrics, as by default
	conn := openConn(t, New(app))
	ctx, m := startMessage(t, conn, messageStart("chat.say"))
	ids := m.SpanContext()
	newrelic.FromContext(ctx).AddAttribute("own", "by New Relic's API")
	end := messageOK()
	end.User = "u1"
	end.Attrs = []slog.Attr{slog.Int("late", 1)}
	m.End(end)
	m.End(end)
	if m.SpanContext() != ids || !ids.IsValid() || !ids.Sampled() {
		t.Errorf("ids %+v, then %+v", ids, m.SpanContext())
	}
	h := c.harvest(t, app)
	connect, tx := h.transaction(t, "Connection/CONNECT /ws"), h.transaction(t, "Message/chat.say")
	wantAttributes(t, "message", tx.user, map[string]any{
		semconv.Event: "message", semconv.ConnectionID: connID, semconv.Route: "/ws", semconv.UserID: "u1",
		semconv.MessageType: "text", semconv.MessageLength: 321.0, semconv.MessageDirection: "inbound",
		semconv.ConnectTraceID: connect.intrinsics["traceId"], semconv.ConnectSpanID: conn.SpanContext().SpanIDString(),
		"result": "ok", semconv.EventOutcome: "success", "late": 1.0, "own": "by New Relic's API",
	})
	// Neither a status nor a location in this library's code.
	wantAttributes(t, "message", tx.agent, map[string]any{"enduser.id": "u1"})
	if tx.intrinsics["traceId"] != ids.TraceIDString() || tx.intrinsics["traceId"] == connect.intrinsics["traceId"] {
		t.Errorf("trace %v, identified as %s, CONNECT in %v", tx.intrinsics["traceId"], ids.TraceIDString(), connect.intrinsics["traceId"])
	}
	root := h.span(t, "OtherTransaction/Go/Message/chat.say")
	if root.intrinsics["guid"] != ids.SpanIDString() || root.user[semconv.ConnectionID] != connID {
		t.Errorf("span %v %v", root.intrinsics, root.user)
	}
	if h.count("OtherTransaction/Go/Message/chat.say") != 1 || h.methods["log_event_data"] != 0 {
		t.Errorf("metric %v, posts %v", h.metrics["OtherTransaction/Go/Message/chat.say"], h.methods)
	}
}

// TestMessageDuration: that of the handling, idle waiting not included.
func TestMessageDuration(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	conn := openConn(t, New(app))
	began := time.Now()
	_, m := startMessage(t, conn, messageStart("slow"))
	for time.Since(began) < 20*time.Millisecond {
		time.Sleep(time.Millisecond)
	}
	m.End(messageOK())
	took := time.Since(began).Seconds()
	if d := c.harvest(t, app).transaction(t, "Message/slow").intrinsics["duration"].(float64); d < 0.02 || d > took {
		t.Errorf("%v s, want between 0.02 and %v", d, took)
	}
}

func TestMessageTraceContext(t *testing.T) {
	remote := apmws.SpanContext{TraceID: [16]byte{9, 8, 7}, SpanID: [8]byte{6, 5}, Flags: 1, State: "vendor=x"}
	c := newCollector()
	app := newApp(t, c)
	conn := openConn(t, New(app))
	for _, continued := range []bool{false, true} {
		start := messageStart("linked")
		if continued {
			start.Name = "continued"
		}
		start.Remote, start.Continue = remote, continued
		ctx, m := startMessage(t, conn, start)
		header := http.Header{}
		newrelic.FromContext(ctx).InsertDistributedTraceHeaders(header)
		if sc, err := apmws.ParseTraceParent(header.Get("Traceparent"), ""); err != nil || (sc.TraceID == remote.TraceID) != continued {
			t.Errorf("continue %v: passed on %v, %v", continued, header, err)
		}
		if got := m.SpanContext().TraceID == remote.TraceID; got != continued {
			t.Errorf("continue %v: ids %+v", continued, m.SpanContext())
		}
		m.End(messageOK())
	}
	h := c.harvest(t, app)
	linked, continued := h.transaction(t, "Message/linked"), h.transaction(t, "Message/continued")
	if linked.user["websocket.message.trace_id"] != remote.TraceIDString() || linked.user["websocket.message.span_id"] != remote.SpanIDString() ||
		linked.intrinsics["traceId"] == remote.TraceIDString() || linked.intrinsics["parentSpanId"] != nil {
		t.Errorf("linked: %v %v", linked.intrinsics, linked.user)
	}
	if continued.user["websocket.message.trace_id"] != nil || continued.intrinsics["traceId"] != remote.TraceIDString() ||
		continued.intrinsics["parentSpanId"] != remote.SpanIDString() {
		t.Errorf("continued: %v %v", continued.intrinsics, continued.user)
	}
}

// TestSampling: what a message stands for, and those that are recorded after the
// fact under a name of their own.
func TestSampling(t *testing.T) {
	tests := []struct {
		name    string
		sampled bool
		weight  float64
		late    bool
		want    string
		weighs  any
		elapsed any
	}{
		{"undecided", false, 0, false, "Message/undecided", nil, nil},
		{"one", true, 1, false, "Message/one", nil, nil},
		{"hundred", true, 100, false, "Message/hundred", 100.0, nil},
		{"continued", true, 0, false, "Message/continued", 0.0, nil},
		{"nonsense", true, math.Inf(1), false, "Message/nonsense", nil, nil},
		{"kept", true, 0, true, "MessageKept/kept", 0.0, 1.5},
	}
	c := newCollector()
	app := newApp(t, c)
	conn := openConn(t, New(app))
	for _, test := range tests {
		start := messageStart(test.name)
		start.Sampled, start.Weight, start.Late = test.sampled, test.weight, test.late
		start.Time = time.Now().Add(-1500 * time.Millisecond)
		_, m := startMessage(t, conn, start)
		m.End(apmws.MessageEnd{Time: start.Time.Add(1500 * time.Millisecond), Result: "ok", Outcome: apmws.OutcomeSuccess})
	}
	h := c.harvest(t, app)
	for _, test := range tests {
		tx := h.transaction(t, test.want)
		if tx.user[semconv.SamplingWeight] != test.weighs || tx.user[semconv.MessageElapsed] != test.elapsed {
			t.Errorf("%s: weight %v, elapsed %v", test.name, tx.user[semconv.SamplingWeight], tx.user[semconv.MessageElapsed])
		}
		if d := tx.intrinsics["duration"].(float64); d > 1 {
			t.Errorf("%s: New Relic has been told %v s", test.name, d)
		}
	}
	if h.count("OtherTransaction/Go/Message/kept") != 0 {
		t.Error("a kept message is in the metric of messages")
	}
}

// TestReservoir: the metric counts what the reservoir of events gives up.
func TestReservoir(t *testing.T) {
	c := newCollector()
	c.reply["event_harvest_config"] = map[string]any{
		"report_period_ms": 60_000, "harvest_limits": map[string]any{"analytic_event_data": 50},
	}
	app := newApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	const messages = 500
	for range messages {
		_, m := startMessage(t, conn, messageStart("chat.say"))
		m.End(messageOK())
	}
	if err := e.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	h := c.harvest(t, app)
	if got := h.count("OtherTransaction/Go/Message/chat.say"); got != messages {
		t.Errorf("the metric counts %v, want %d", got, messages)
	}
	if len(h.transactions) != 50 {
		t.Errorf("%d events, want 50", len(h.transactions))
	}
}

// TestApplicationEnds: whatever the application does to New Relic's transaction,
// the agent has nothing to complain of.
func TestApplicationEnds(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	ctx, conn := startConn(t.Context(), t, e)
	newrelic.FromContext(ctx).End()
	if got, span := conn.StartSpan(ctx, apmws.SpanStart{Name: "x"}); got != ctx || span != nil {
		t.Error("a span of an ended transaction")
	}
	conn.Opened(accepted())
	ctx, m := startMessage(t, conn, messageStart("chat.say"))
	_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "load"})
	newrelic.FromContext(ctx).End()
	span.End(apmws.SpanEnd{})
	m.End(apmws.MessageEnd{Result: "error", Outcome: apmws.OutcomeFailure, Failure: &apmws.Failure{Message: "x", Type: "y"}})
	h := c.harvest(t, app)
	h.transaction(t, "Connection/CONNECT /ws")
	if tx := h.transaction(t, "Message/chat.say"); tx.user["result"] != nil || len(h.errors) != 0 {
		t.Errorf("%v, errors %v", tx.user, h.errors)
	}
}

// TestConcurrentUse: New Relic's API on several goroutines of a handler, before
// and after the end, beside our own. It is the race detector's.
func TestConcurrentUse(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	e := New(app)
	conn := openConn(t, e)
	const messages, workers = 20, 4
	for range messages {
		ctx, m := startMessage(t, conn, messageStart("chat.say"))
		var wg sync.WaitGroup
		for range workers {
			tx := newrelic.FromContext(ctx).NewGoroutine()
			wg.Go(func() {
				ctx := newrelic.NewContext(ctx, tx)
				segment := tx.StartSegment("app's")
				inner, span := m.StartSpan(ctx, apmws.SpanStart{Name: "ours", Type: "db.redis.get", Destination: "redis", Attrs: common(semconv.EventMessage)})
				newrelic.FromContext(inner).InsertDistributedTraceHeaders(http.Header{})
				span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
				segment.End()
				tx.AddAttribute("k", 1)
				m.SpanContext()
			})
		}
		wg.Wait()
		wg.Go(func() { m.End(messageOK()) })
		wg.Go(func() {
			_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "perhaps too late"})
			if span != nil {
				span.End(apmws.SpanEnd{})
			}
		})
		wg.Wait()
	}
	h := c.harvest(t, app)
	if h.count("Datastore/operation/Redis/ours") != messages*workers || h.count("Custom/app's") != messages*workers {
		t.Errorf("%v ours, %v of the application's", h.count("Datastore/operation/Redis/ours"), h.count("Custom/app's"))
	}
	if got := h.count("OtherTransaction/Go/Message/chat.say"); got != messages {
		t.Errorf("%v messages", got)
	}
}

var errNoRoom = errors.New("no such room")
