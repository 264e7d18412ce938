package newrelicws

import (
	"context"
	"net/http"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// ginContext answers for the key that New Relic's middleware for gin uses.
type ginContext struct {
	context.Context
	tx *newrelic.Transaction
}

func (g ginContext) Value(key any) any {
	if key == "newRelicTransaction" {
		return g.tx
	}
	return g.Context.Value(key)
}

func TestMask(t *testing.T) {
	app := newApp(t, newCollector())
	e := New(app)
	outer := app.StartTransaction("outer")
	defer outer.End()
	type key struct{}
	for name, ctx := range map[string]context.Context{
		"own": newrelic.NewContext(context.WithValue(t.Context(), key{}, 1), outer),
		"gin": ginContext{context.WithValue(t.Context(), key{}, 1), outer},
	} {
		masked := e.Mask(ctx)
		if newrelic.FromContext(ctx) != outer || newrelic.FromContext(masked) != nil {
			t.Errorf("%s: %v is found", name, newrelic.FromContext(masked))
		}
		if masked.Value(key{}) != 1 {
			t.Errorf("%s: other values are hidden", name)
		}
		// A message below has its own.
		_, c := e.StartConn(ctx, connStart())
		c.Opened(apmws.OpenEnd{})
		inner, m := c.StartMessage(masked, messageStart("chat.say"))
		if newrelic.FromContext(inner) != m.(*messageSpan).tx {
			t.Errorf("%s: the message's is not found", name)
		}
		m.End(messageOK())
	}
	if ctx := t.Context(); e.Mask(ctx) != ctx {
		t.Error("a context without a transaction is wrapped")
	}
}

// TestFallbackKeys: when New Relic's look-up is not what it was, its own way of
// making a context is used.
func TestFallbackKeys(t *testing.T) {
	app := newApp(t, newCollector())
	e := New(app)
	if e.keys == (contextKeys{}) {
		t.Fatal("the keys are not found")
	}
	e.keys = contextKeys{}
	ctx, c := e.StartConn(t.Context(), connStart())
	if newrelic.FromContext(ctx) == nil {
		t.Error("no transaction")
	}
	c.Opened(accepted())
	ctx, m := c.StartMessage(t.Context(), messageStart("chat.say"))
	if newrelic.FromContext(ctx) != m.(*messageSpan).tx || newrelic.FromContext(e.Mask(ctx)) != nil {
		t.Error("no transaction, or one that is not masked")
	}
	m.End(messageOK())
}

// TestIntegration: New Relic's round tripper adds to the message, and passes its
// trace on.
func TestIntegration(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	ctx, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	var passed http.Header
	client := newrelic.NewRoundTripper(roundTripper(func(r *http.Request) (*http.Response, error) {
		passed = r.Header
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://billing.test/charge", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	m.End(messageOK())
	h := c.harvest(t, app)
	span := h.span(t, "External/billing.test/http/GET")
	if span.intrinsics["parentId"] != m.SpanContext().SpanIDString() {
		t.Errorf("%v", span.intrinsics)
	}
	if sc, err := apmws.ParseTraceParent(passed.Get("Traceparent"), ""); err != nil || sc.TraceID != m.SpanContext().TraceID ||
		sc.SpanIDString() != span.intrinsics["guid"] {
		t.Errorf("passed on %v, %v", passed, err)
	}
}

// TestPropagations: the agent passes the sampled flag on with the first 34
// propagations of a transaction. All of them are the application's.
func TestPropagations(t *testing.T) {
	app := newApp(t, newCollector())
	ctx, m := startMessage(t, openConn(t, New(app)), messageStart("chat.say"))
	_, span := m.StartSpan(ctx, apmws.SpanStart{Name: "before"})
	span.End(apmws.SpanEnd{})
	for i := range 36 {
		m.SpanContext()
		header := http.Header{}
		newrelic.FromContext(ctx).InsertDistributedTraceHeaders(header)
		sc, err := apmws.ParseTraceParent(header.Get("Traceparent"), "")
		if want := i < 34; err != nil || sc.Sampled() != want {
			t.Errorf("propagation %d: sampled %v, %v", i+1, sc.Sampled(), err)
		}
	}
	m.End(messageOK())
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
