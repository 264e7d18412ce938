package newrelicws

import (
	"context"
	"testing"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// TestOuter: the transaction of a middleware outside is ignored at the acceptance,
// and left alone at a refusal. CONNECT is not its child.
func TestOuter(t *testing.T) {
	tests := []struct {
		name     string
		accepted bool
		ended    bool // the outer transaction, before the answer
		want     int  // transactions
	}{
		{"accepted", true, false, 1},
		{"refused", false, false, 2},
		{"ended", true, true, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCollector()
			app := newApp(t, c)
			outer := app.StartTransaction("outer")
			_, conn := startConn(newrelic.NewContext(t.Context(), outer), t, New(app))
			if test.ended {
				outer.End()
			}
			end := accepted()
			if !test.accepted {
				end = apmws.OpenEnd{Status: 401, Result: "HTTP 4xx", Outcome: apmws.OutcomeSuccess}
			}
			conn.Opened(end)
			if !test.ended {
				outer.End()
			}
			h := c.harvest(t, app)
			tx := h.transaction(t, "Connection/CONNECT /ws")
			if len(h.transactions) != test.want {
				t.Errorf("transactions %v", names(h.transactions))
			}
			if tx.intrinsics["parentSpanId"] != nil || tx.intrinsics["parentId"] != nil {
				t.Errorf("CONNECT has a parent: %v", tx.intrinsics)
			}
		})
	}
}

// TestOuterOfEndpoint: CONNECT ends on another goroutine than the one that serves
// the request, which may have ended the outer transaction by then or not. It is
// left alone in both cases.
func TestOuterOfEndpoint(t *testing.T) {
	for _, ended := range []bool{false, true} {
		c := newCollector()
		app := newApp(t, c)
		outer := app.StartTransaction("outer")
		_, conn := startConn(newrelic.NewContext(t.Context(), outer), t, New(app))
		if ended {
			outer.End()
		}
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			conn.Opened(accepted())
		}()
		<-opened
		if !ended {
			outer.End()
		}
		h := c.harvest(t, app)
		h.transaction(t, "Connection/CONNECT /ws")
		h.transaction(t, "outer")
	}
}

// TestOuterEndedBefore: FromContext finds ended ones too.
func TestOuterEndedBefore(t *testing.T) {
	c := newCollector()
	app := newApp(t, c)
	outer := app.StartTransaction("outer")
	outer.End()
	_, conn := startConn(newrelic.NewContext(t.Context(), outer), t, New(app))
	conn.Opened(accepted())
	if h := c.harvest(t, app); len(h.transactions) != 2 {
		t.Errorf("transactions %v", names(h.transactions))
	}
}

// TestOuterOfTwoExporters: what another Exporter has put into the context is no
// middleware's, whether or not there is a middleware too, and
// New Relic's look-up is known.
func TestOuterOfTwoExporters(t *testing.T) {
	for i := range 4 {
		middleware, keysKnown := i%2 == 1, i/2 == 1
		c, d := newCollector(), newCollector()
		app, other := newApp(t, c), newApp(t, d)
		ctx := t.Context()
		var outer *newrelic.Transaction
		if middleware {
			outer = app.StartTransaction("outer")
			ctx = newrelic.NewContext(ctx, outer)
		}
		e := New(app)
		if !keysKnown {
			e.keys = contextKeys{}
		}
		ctx, first := startConn(ctx, t, e)
		_, second := startConn(context.WithoutCancel(ctx), t, New(other))
		second.Opened(accepted())
		first.Opened(accepted())
		outer.End()
		for _, h := range []*harvest{c.harvest(t, app), d.harvest(t, other)} {
			h.transaction(t, "Connection/CONNECT /ws")
			if len(h.transactions) != 1 {
				t.Errorf("transactions %v", names(h.transactions))
			}
		}
	}
}
