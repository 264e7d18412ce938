package interop

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.elastic.co/apm/module/apmhttp/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestIntegrationsInMessages: what Elastic's integrations record with a
// message's context are spans of that message, however fast they are.
func TestIntegrationsInMessages(t *testing.T) {
	t.Parallel()
	e := newElastic(t, apmws.Options{Messages: apmws.MessageOptions{
		Name: apmws.JSONField("type"), Names: []string{"chat.say", "billing.status"},
	}})
	handle := func(ctx context.Context, m apmws.Message) error {
		for range 3 {
			if err := e.redis.Publish(ctx, "room", m.Data).Err(); err != nil {
				return err
			}
		}
		return e.get(ctx)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var up websocket.Upgrader
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if err := apmws.Serve(r.Context(), c, handle); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Error(err)
		}
	})
	p := start(t, e.agent.Handler(route, h), false).upgrade(t)
	const each = 20
	for range each {
		p.send(opText, []byte(`{"type":"chat.say"}`))
		p.send(opText, []byte(`{"type":"billing.status"}`))
	}
	closed(1000)(p)
	e.end(t)
	sent := e.sent()
	messages := sent.ofType(semconv.TypeMessage)
	if len(messages) != 2*each {
		t.Fatalf("%d messages, want %d", len(messages), 2*each)
	}
	connect := e.connect(t)
	for _, m := range messages {
		spans := sent.of(m)
		if spans["PUBLISH"] != 3 || spans["GET "+e.host()] != 1 || len(spans) != 2 {
			t.Errorf("spans of %s: %v, want 3 PUBLISH and a GET", m.Name, spans)
		}
		if m.TraceID == connect.TraceID {
			t.Errorf("%s is in the trace of CONNECT", m.Name)
		}
		if len(m.Links) != 1 || m.Links[0].TraceID != connect.TraceID || m.Links[0].SpanID != connect.ID {
			t.Errorf("links of %s: %+v, want CONNECT", m.Name, m.Links)
		}
		if dropped := m.SpanCount.Dropped; dropped != 0 {
			t.Errorf("%s: %d spans dropped", m.Name, dropped)
		}
	}
	var targets []string
	for _, s := range sent.spans {
		if target := s.Context.Service; target != nil && target.Target != nil && !slices.Contains(targets, target.Target.Type) {
			targets = append(targets, target.Target.Type)
		}
	}
	if len(targets) != 2 || !slices.Contains(targets, "redis") || !slices.Contains(targets, "http") {
		t.Errorf("exit spans to %q, want redis and http", targets)
	}
	if spans := sent.of(connect); len(spans) != 0 {
		t.Errorf("spans of CONNECT: %v", spans)
	}
}

// TestIntegrationsInConnect: what is called before the upgrade belongs to the
// handshake, for every library.
func TestIntegrationsInConnect(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		e := newElastic(t, apmws.Options{})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := e.redis.Publish(r.Context(), "room", "x").Err(); err != nil {
				t.Error(err)
			}
			if err := e.get(r.Context()); err != nil {
				t.Error(err)
			}
			l.serve(upgrading{}, echo).ServeHTTP(w, r)
		})
		closed(1000)(start(t, e.agent.Handler(route, h), false).upgrade(t))
		e.end(t)
		connect := e.connect(t)
		if spans := e.sent().of(connect); spans["PUBLISH"] != 1 || spans["GET "+e.host()] != 1 {
			t.Errorf("spans of CONNECT: %v", spans)
		}
	})
}

// TestOuterTransactionIsShort: apmhttp around the agent exports its transaction
// when the handler returns, but its duration is that of the handshake.
func TestOuterTransactionIsShort(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		e := newElastic(t, apmws.Options{})
		h := l.serve(upgrading{}, echo)
		srv := start(t, apmhttp.Wrap(e.agent.Handler(route, h), apmhttp.WithTracer(e.tracer.Tracer)), false)
		begin := time.Now()
		p := srv.upgrade(t)
		connect := e.connect(t)
		answered := time.Since(begin) // the outer transaction has its duration by now, which is no longer
		// The connection lives until there is no mistaking one for the other.
		enough := 4*answered + 200*time.Millisecond
		eventually(t, "a long life", func() bool { return time.Since(begin) > enough })
		if n := len(e.sent().ofType("request")); n != 0 {
			t.Errorf("%d outer transactions before the handler returned", n)
		}
		closed(1000)(p)
		var found float64
		eventually(t, "the outer transaction", func() bool {
			txs := e.sent().ofType("request")
			if len(txs) == 1 {
				found = txs[0].Duration
				if connect.ParentID != txs[0].ID || connect.TraceID != txs[0].TraceID {
					t.Errorf("CONNECT %s is not a child of the outer transaction %s", connect.ParentID, txs[0].ID)
				}
			}
			return len(txs) == 1
		})
		lived := float64(time.Since(begin)) / float64(time.Millisecond)
		if found < connect.Duration || found > lived/2 {
			t.Errorf("the outer transaction took %.3f ms, CONNECT %.3f ms, the connection lived %.0f ms", found, connect.Duration, lived)
		}
	})
}
