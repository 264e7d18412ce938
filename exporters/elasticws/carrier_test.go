package elasticws

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
)

func TestMask(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	if ctx := t.Context(); e.Mask(ctx) != ctx {
		t.Error("a context without a transaction is wrapped")
	}
	type key struct{}
	tx := rec.StartTransaction("GET /ws", "request")
	ctx := apm.ContextWithTransaction(context.WithValue(t.Context(), key{}, "kept"), tx)
	_, ctx = apm.StartSpan(ctx, "middleware", "app")
	for what, masked := range map[string]context.Context{
		"with its span": e.Mask(ctx),
		"without":       e.Mask(apm.ContextWithSpan(ctx, nil)),
	} {
		if apm.TransactionFromContext(masked) != nil || apm.SpanFromContext(masked) != nil {
			t.Errorf("%s: the transaction is found", what)
		}
		if masked.Value(key{}) != "kept" {
			t.Errorf("%s: a value is lost", what)
		}
		if span, _ := apm.StartSpan(masked, "late", "app"); !span.Dropped() {
			t.Errorf("%s: a span is recorded", what)
		}
	}
	// A connection inside a masked context has nothing outside.
	_, c := startConn(e.Mask(ctx), t, e)
	c.Opened(accepted(0))
	tx.Discard()
	docs := rec.collect(t)
	if connect := docs.transaction(t, "CONNECT /ws"); connect.ParentID != [8]byte{} {
		t.Errorf("CONNECT is below %x", connect.ParentID)
	}
}

// TestRequestOutsideIsHidden: a middleware that captures bodies leaves the real
// request in the context, and Elastic would copy it into errors.
func TestRequestOutsideIsHidden(t *testing.T) {
	rec := newRecorder(t, "ELASTIC_APM_CAPTURE_BODY", "all")
	e := New(rec.Tracer)
	r := httptest.NewRequest(http.MethodGet, "/ws?token=SECRET-QUERY", strings.NewReader("SECRET-BODY"))
	r.Header.Set("Cookie", "sid=SECRET-COOKIE")
	ctx := apm.ContextWithBodyCapturer(t.Context(), rec.CaptureHTTPRequestBody(r))
	if apm.BodyCapturerFromContext(ctx) == nil {
		t.Fatal("nothing to hide")
	}
	cctx, c := startConn(ctx, t, e)
	apm.CaptureError(cctx, errors.New("in the handshake")).Send()
	c.Opened(accepted(0))
	mctx, m := c.StartMessage(ctx, messageStart("chat.say", 0))
	apm.CaptureError(mctx, errors.New("in a message")).Send()
	sctx, s := m.(*messageSpan).StartSpan(mctx, spanStart("span", "app"))
	apm.CaptureError(sctx, errors.New("in a span")).Send()
	s.End(apmws.SpanEnd{Time: after(time.Second)})
	m.End(messageOK(time.Second))
	if docs := rec.collect(t); len(docs.errors) != 3 {
		t.Errorf("%d errors, want 3", len(docs.errors))
	}
	rec.absent(t, "SECRET")
}

// bridge replaces Elastic's context functions as a bridge to another API does:
// everything is under one key.
func bridge(t *testing.T) {
	type key struct{}
	type current struct {
		tx   *apm.Transaction
		span *apm.Span
		body *apm.BodyCapturer
	}
	get := func(ctx context.Context) current {
		c, _ := ctx.Value(key{}).(current)
		return c
	}
	put := func(ctx context.Context, change func(c *current)) context.Context {
		c := get(ctx)
		change(&c)
		return context.WithValue(ctx, key{}, c)
	}
	restore(t, &apm.OverrideContextWithTransaction, func(ctx context.Context, tx *apm.Transaction) context.Context {
		return put(ctx, func(c *current) { c.tx = tx })
	})
	restore(t, &apm.OverrideContextWithSpan, func(ctx context.Context, s *apm.Span) context.Context {
		return put(ctx, func(c *current) { c.span = s })
	})
	restore(t, &apm.OverrideContextWithBodyCapturer, func(ctx context.Context, b *apm.BodyCapturer) context.Context {
		return put(ctx, func(c *current) { c.body = b })
	})
	restore(t, &apm.OverrideTransactionFromContext, func(ctx context.Context) *apm.Transaction { return get(ctx).tx })
	restore(t, &apm.OverrideSpanFromContext, func(ctx context.Context) *apm.Span { return get(ctx).span })
	restore(t, &apm.OverrideBodyCapturerFromContext, func(ctx context.Context) *apm.BodyCapturer { return get(ctx).body })
}

// restore sets *to until the test ends.
func restore[T any](t *testing.T, to *T, value T) {
	before := *to
	*to = value
	t.Cleanup(func() { *to = before })
}

// TestBridge: the contexts work with Elastic's API when that keeps its things
// elsewhere.
func TestBridge(t *testing.T) {
	if (findContextKeys() == contextKeys{}) {
		t.Error("Elastic's own keys are not found")
	}
	bridge(t)
	if (findContextKeys() != contextKeys{}) {
		t.Error("keys are found where there are none")
	}
	t.Run("spans", TestSpanParents)
	t.Run("two exporters", TestTwoExportersInOneChain)
	t.Run("two tracers", TestTwoTracers)
	t.Run("mask", TestMask)
	t.Run("request outside", TestRequestOutsideIsHidden)
	t.Run("outer transaction", TestOuterTransaction)
}
