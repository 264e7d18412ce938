package newrelicws

import (
	"strings"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

func TestSegmentsAround(t *testing.T) {
	s := newSpanTest(t)
	tx := newrelic.FromContext(s.ctx)
	first := tx.StartSegment("first")
	ctx, a := start(s.ctx, t, s.m, "a")
	_, b := below(ctx, t, a, "b")
	second := tx.StartSegment("second")
	end(b, "b")
	second.End()
	first.End()
	third := tx.StartSegment("third")
	end(a, "a")
	third.End()
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	wantBelow(t, spans, "b", "a")
	wantParent(t, spans, "first", "")
	wantParent(t, spans, "second", "first")
	wantParent(t, spans, "third", "")
}

func TestSegmentsInside(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	handle := newrelic.FromContext(ctx)
	first := handle.StartSegment("first")
	ctxB, b := below(ctx, t, a, "b")
	if newrelic.FromContext(ctxB) == handle {
		t.Error("a span above a segment of the application's")
	}
	second := newrelic.FromContext(ctxB).StartSegment("second")
	first.End()
	second.End()
	end(b, "b")
	_, c := below(ctx, t, a, "c")
	third := handle.StartSegment("third")
	third.End()
	end(c, "c")
	end(a, "a")
	spans := s.spans()
	for child, parent := range map[string]string{"a": "", "b": "", "c": "a"} {
		wantBelow(t, spans, child, parent)
	}
	for child, parent := range map[string]string{"first": "a", "second": "b", "third": "c"} {
		wantParent(t, spans, child, parent)
	}
}

// TestSegmentContext: what a span calls can go on from it, with what New Relic's agent
// says of it, unless the application has a segment above it.
func TestSegmentContext(t *testing.T) {
	s := newSpanTest(t)
	_, a := start(s.ctx, t, s.m, "a")
	told := a.(apmws.Identifier).SpanContext()
	end(a, "a")
	if again := a.(apmws.Identifier).SpanContext(); again != told {
		t.Errorf("the span tells %+v when it has ended, and told %+v", again, told)
	}
	ctx, b := start(s.ctx, t, s.m, "b")
	above := newrelic.FromContext(ctx).StartSegment("above")
	bare := b.(apmws.Identifier).SpanContext()
	above.End()
	end(b, "b")
	_, c := start(s.ctx, t, s.m, "c")
	end(c, "c")
	if late := c.(apmws.Identifier).SpanContext(); late != (apmws.SpanContext{}) {
		t.Errorf("a span that was not asked before its end tells %+v", late)
	}
	spans := s.spans()
	trace := s.m.SpanContext().TraceIDString()
	for name, told := range map[string]apmws.SpanContext{"a": told, "b": bare} {
		if told.TraceIDString() != trace || told.SpanIDString() != spans["Custom/"+name].intrinsics["guid"] || !told.Sampled() {
			t.Errorf("%s tells %+v, but is %v of %s", name, told, spans["Custom/"+name].intrinsics, trace)
		}
	}
	if !strings.Contains(told.State, "@nr=") || !strings.Contains(told.State, told.SpanIDString()) || bare.State != "" {
		t.Errorf("the states are %q and %q", told.State, bare.State)
	}
}

func TestSegmentLeftOpen(t *testing.T) {
	c := newCollector()
	log := &logs{expected: []string{"name:left"}}
	app := startApp(t, c, log)
	connect(t, app)
	ctx, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	s := &spanTest{t, c, app, ctx, m}
	ctx, a := start(s.ctx, t, s.m, "a")
	left := newrelic.FromContext(ctx).StartSegment("left")
	end(a, "a")
	_, b := start(s.ctx, t, s.m, "b")
	if n := log.count(); n != 0 {
		t.Errorf("%d lines, though the application has done nothing yet", n)
	}
	left.End()
	end(b, "b")
	if n := log.count(); n != 1 || s.m.lanes != 1 {
		t.Errorf("%d lines, %d lanes, want one of each", n, s.m.lanes)
	}
	spans := s.spans()
	wantParent(t, spans, "a", "")
	wantBelow(t, spans, "b", "")
	if _, ok := spans["Custom/left"]; ok {
		t.Error("the segment is recorded")
	}
}

func TestHandleKept(t *testing.T) {
	s := newSpanTest(t)
	ctx, a := start(s.ctx, t, s.m, "a")
	kept := newrelic.FromContext(ctx)
	end(a, "a")
	if newrelic.FromContext(ctx) != s.m.tx {
		t.Error("the context is still on the lane")
	}
	segment := kept.StartSegment("segment")
	_, b := start(s.ctx, t, s.m, "b")
	segment.End()
	segment.AddAttribute("late", true)
	end(b, "b")
	spans := s.spans()
	wantBelow(t, spans, "a", "")
	wantBelow(t, spans, "b", "")
	wantParent(t, spans, "segment", "")
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
		{"", "bare", "External/bare/http", "http"},
		{"external.http", "billing", "External/billing/http", "http"},
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

func TestHTTPSegment(t *testing.T) {
	for name, method := range map[string]any{
		"GET": "GET", "POST billing": "POST", "get billing": nil, "GETTING": nil, "charge": nil, "": nil,
	} {
		s := newSpanTest(t)
		_, span := s.m.StartSpan(s.ctx, apmws.SpanStart{Name: name, Type: "external.http", Destination: "billing"})
		span.End(apmws.SpanEnd{Outcome: apmws.OutcomeSuccess})
		want := "External/billing/http"
		if method != nil {
			want += "/" + method.(string)
		}
		if got, ok := s.spans()[want]; !ok || got.agent["http.method"] != method {
			t.Errorf("%q: %v, want %s", name, got, want)
		}
	}
}
