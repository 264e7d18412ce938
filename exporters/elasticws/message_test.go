package elasticws

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

func TestMessage(t *testing.T) {
	rec := newRecorder(t)
	c := openConn(t, New(rec.Tracer))
	start := messageStart("chat.say", time.Second)
	start.User = "u1"
	_, m := startMessage(t, c, start)
	end := messageOK(1250 * time.Millisecond)
	end.User = "u2"
	end.Attrs = []slog.Attr{slog.Int("room.members", 3)}
	m.End(end)
	docs := rec.collect(t)
	connect, tx := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "chat.say")
	if tx.Type != "Message" || tx.Result != "ok" || tx.Outcome != "success" {
		t.Errorf("type %q, result %q, outcome %q", tx.Type, tx.Result, tx.Outcome)
	}
	if !time.Time(tx.Timestamp).Equal(after(time.Second)) || tx.Duration != 250 {
		t.Errorf("%v for %v ms", time.Time(tx.Timestamp), tx.Duration)
	}
	if tx.TraceID == connect.TraceID || tx.ParentID != (model.SpanID{}) {
		t.Errorf("trace %x below %x, want a trace of its own", tx.TraceID, tx.ParentID)
	}
	if want := []model.SpanLink{{TraceID: connect.TraceID, SpanID: connect.ID}}; !slices.Equal(tx.Links, want) {
		t.Errorf("links %x, want %x", tx.Links, want)
	}
	want := map[string]any{
		"websocket_event": "message", "websocket_connection_id": connID, "http_route": "/ws",
		"websocket_message_type": "text", "websocket_message_length": 321.0, "websocket_message_direction": "inbound",
		"room_members": 3.0,
	}
	if got := labelMap(tx.Context.Tags); !equal(got, want) {
		t.Errorf("labels\n%v, want\n%v", got, want)
	}
	if tx.Context.User == nil || tx.Context.User.ID != "u2" {
		t.Errorf("user %+v, want the one known at the end", tx.Context.User)
	}
	if tx.Context.Request != nil || tx.Context.Response != nil {
		t.Errorf("request %+v, response %+v", tx.Context.Request, tx.Context.Response)
	}
	if sc := m.SpanContext(); sc.TraceID != tx.TraceID || sc.SpanID != tx.ID || !sc.Sampled() {
		t.Errorf("identified as %+v", sc)
	}
}

func TestMessageTraceContext(t *testing.T) {
	remote := apmws.SpanContext{TraceID: [16]byte{9}, SpanID: [8]byte{8}, Flags: 1}
	remoteLink := model.SpanLink{TraceID: model.TraceID(remote.TraceID), SpanID: model.SpanID(remote.SpanID)}
	t.Run("linked", func(t *testing.T) {
		rec := newRecorder(t)
		start := messageStart("chat.say", 0)
		start.Remote = remote
		_, m := startMessage(t, openConn(t, New(rec.Tracer)), start)
		m.End(messageOK(0))
		docs := rec.collect(t)
		connect, tx := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "chat.say")
		want := []model.SpanLink{{TraceID: connect.TraceID, SpanID: connect.ID}, remoteLink}
		if tx.TraceID == remoteLink.TraceID || !slices.Equal(tx.Links, want) {
			t.Errorf("trace %x, links %x, want %x", tx.TraceID, tx.Links, want)
		}
	})
	t.Run("continued", func(t *testing.T) {
		rec := newRecorder(t)
		start := messageStart("chat.say", 0)
		start.Remote, start.Continue = remote, true
		_, m := startMessage(t, openConn(t, New(rec.Tracer)), start)
		m.End(messageOK(0))
		docs := rec.collect(t)
		connect, tx := docs.transaction(t, "CONNECT /ws"), docs.transaction(t, "chat.say")
		want := []model.SpanLink{{TraceID: connect.TraceID, SpanID: connect.ID}}
		if tx.TraceID != remoteLink.TraceID || tx.ParentID != remoteLink.SpanID || !slices.Equal(tx.Links, want) {
			t.Errorf("trace %x below %x, links %x, want %x", tx.TraceID, tx.ParentID, tx.Links, want)
		}
	})
}

// onceSampler samples all but the first transaction.
type onceSampler struct{ seen bool }

func (s *onceSampler) Sample(apm.SampleParams) apm.SampleResult {
	sampled := s.seen
	s.seen = true
	return apm.SampleResult{Sampled: sampled, SampleRate: 0.5}
}

// TestUnsampledConnectIsNotLinked: a link to what was never sent leads nowhere;
// the message is sampled all the same.
func TestUnsampledConnectIsNotLinked(t *testing.T) {
	rec := newRecorder(t)
	rec.SetSampler(&onceSampler{})
	c := openConn(t, New(rec.Tracer))
	_, m := startMessage(t, c, messageStart("chat.say", 0))
	m.End(messageOK(0))
	docs := rec.collect(t)
	tx := docs.transaction(t, "chat.say")
	if len(tx.Links) != 0 {
		t.Errorf("links %x", tx.Links)
	}
	if tx.Sampled != nil || *tx.SampleRate != 0.5 {
		t.Errorf("sampled %v at %v", tx.Sampled, *tx.SampleRate)
	}
}

// TestConcurrentUse: messages, spans and native spans on many goroutines, with
// ends that are late. The race detector judges.
func TestConcurrentUse(t *testing.T) {
	rec := newRecorder(t)
	e := New(rec.Tracer)
	const workers, each = 8, 25
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			ctx, c := startConn(t.Context(), t, e)
			all.Go(func() { c.StartSpan(ctx, apmws.SpanStart{Time: begin, Name: "authenticate", Type: "app"}) })
			c.Opened(accepted(0))
			for range each {
				ctx, m := startMessage(t, c, messageStart("chat.say", 0))
				for range 3 {
					all.Go(func() {
						ctx, s := m.StartSpan(ctx, apmws.SpanStart{Time: begin, Name: "send", Type: "websocket.send"})
						native, _ := apm.StartSpan(ctx, "native", "app")
						native.End()
						if s != nil {
							s.End(apmws.SpanEnd{Time: after(time.Millisecond), Outcome: apmws.OutcomeSuccess})
						}
					})
				}
				all.Go(func() { m.End(messageOK(time.Second)) })
				all.Go(func() { m.End(messageOK(time.Second)) })
				m.SpanContext()
			}
			c.End(apmws.ConnEnd{Time: after(time.Second), Name: "DISCONNECT /ws", Outcome: apmws.OutcomeSuccess})
		})
	}
	all.Wait()
	docs := rec.collect(t)
	stats := rec.Stats()
	if n := len(docs.transactions) + int(stats.TransactionsDropped); n != workers*(each+2) {
		t.Errorf("%d transactions, want %d", n, workers*(each+2))
	}
}

// TestContexts: what the application has put into a context stays there.
func TestContexts(t *testing.T) {
	type key struct{}
	rec := newRecorder(t)
	base := context.WithValue(t.Context(), key{}, "kept")
	ctx, c := startConn(base, t, New(rec.Tracer))
	c.Opened(accepted(0))
	mctx, m := c.StartMessage(ctx, messageStart("chat.say", 0))
	sctx, s := m.(apmws.SpanStarter).StartSpan(mctx, apmws.SpanStart{Time: begin, Name: "span", Type: "app"})
	for what, ctx := range map[string]context.Context{"CONNECT": ctx, "message": mctx, "span": sctx} {
		if ctx.Value(key{}) != "kept" {
			t.Errorf("%s: a value is lost", what)
		}
		child, cancel := context.WithCancel(ctx)
		cancel()
		if child.Err() == nil || ctx.Err() != nil {
			t.Errorf("%s: cancellation", what)
		}
	}
	s.End(apmws.SpanEnd{Time: begin})
	m.End(messageOK(0))
}
