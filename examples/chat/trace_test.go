package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/apmws/go-apmws/apmws"
)

// carried is a message from Redis, as a node takes it.
type carried struct {
	parent        apmws.SpanContext
	room, message string
}

// listen takes what the nodes at a Redis publish, as another node would.
func listen(t *testing.T, redisURL string) <-chan carried {
	t.Helper()
	heard := make(chan carried, 16)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := newBus(ctx, redisURL, testLogger, func(parent apmws.SpanContext, room string, message []byte) {
		heard <- carried{parent, room, string(message)}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return heard
}

func next(t *testing.T, heard <-chan carried) carried {
	t.Helper()
	select {
	case c := <-heard:
		return c
	case <-time.After(patience):
		t.Fatal("nothing came through Redis")
		return carried{}
	}
}

const (
	browserTrace = "0af7651916cd43dd8448eb211c80319c"
	browserSpan  = "b7ad6b7169203331"
)

// sayTraced says something as the page does: with a trace of its own.
func (p *peer) sayTraced(room, text string) {
	p.send(fmt.Sprintf(`{"traceparent":"00-%s-%s-01","type":"chat.say","room":%q,"text":%q}`, browserTrace, browserSpan, room, text))
}

// toldSay is what a back end was told of a message: its trace, its span, that of
// publishing, and what it is linked to.
type toldSay struct {
	trace, span, publish  string
	linkTrace, linkedSpan string
}

// toldBroadcast is what a back end was told of a broadcast.
type toldBroadcast struct{ trace, parent string }

// traceStage is a back end that all nodes report to.
type traceStage struct {
	configure  func(*config)
	say        func() []toldSay
	broadcasts func() []toldBroadcast
}

func elasticStage(t *testing.T) traceStage {
	t.Helper()
	in := startIntake(t)
	for name, value := range map[string]string{
		"SERVER_URL": in.URL, "API_REQUEST_TIME": "100ms", "CLOUD_PROVIDER": "none", "CENTRAL_CONFIG": "false",
	} {
		t.Setenv("ELASTIC_APM_"+name, value)
	}
	return traceStage{
		configure: func(cfg *config) { cfg.elastic = in.URL },
		say: func() (all []toldSay) {
			messages, _ := in.all("transaction", "chat.say")
			spans, _ := in.all("span", "PUBLISH")
			for _, e := range messages {
				s := toldSay{trace: e.TraceID, span: e.ID}
				for _, l := range e.Links {
					if l.TraceID == browserTrace {
						s.linkTrace, s.linkedSpan = l.TraceID, l.SpanID
					}
				}
				for _, p := range spans {
					if p.TransactionID == e.ID && p.ParentID == e.ID && p.TraceID == e.TraceID {
						s.publish = p.ID
					}
				}
				all = append(all, s)
			}
			return all
		},
		broadcasts: func() (all []toldBroadcast) {
			found, _ := in.all("transaction", "broadcast chat.said")
			for _, e := range found {
				all = append(all, toldBroadcast{e.TraceID, e.ParentID})
			}
			return all
		},
	}
}

func newRelicStage(t *testing.T) traceStage {
	t.Helper()
	c := newCollector(t)
	return traceStage{
		configure: func(cfg *config) { cfg.newRelic, cfg.newRelicOption = licenceKey, c.configure },
		say: func() (all []toldSay) {
			for _, e := range c.all(nrTransaction, "Message/chat.say") {
				s := toldSay{trace: e.str("traceId")}
				s.linkTrace, _ = e.user["websocket.message.trace_id"].(string)
				s.linkedSpan, _ = e.user["websocket.message.span_id"].(string)
				for _, p := range c.all(nrSpan, "") {
					switch {
					case p.str("transactionId") != e.str("guid") || p.str("traceId") != s.trace:
					case p.intrinsics["nr.entryPoint"] == true:
						s.span = p.str("guid")
					case strings.HasSuffix(p.str("name"), "/PUBLISH"):
						s.publish = p.str("guid")
					}
				}
				all = append(all, s)
			}
			return all
		},
		broadcasts: func() (all []toldBroadcast) {
			for _, e := range c.all(nrTransaction, "Message/broadcast chat.said") {
				for _, p := range c.all(nrSpan, "") {
					if p.str("transactionId") == e.str("guid") && p.intrinsics["nr.entryPoint"] == true {
						all = append(all, toldBroadcast{e.str("traceId"), p.str("parentId")})
					}
				}
			}
			return all
		},
	}
}

// TestTraceThroughRedis: the trace of a message goes on at the other nodes. It is
// linked to that of the browser, which is not trusted, and does not go on from it.
func TestTraceThroughRedis(t *testing.T) {
	for name, stage := range map[string]func(*testing.T) traceStage{"Elastic": elasticStage, "New Relic": newRelicStage} {
		for server, start := range map[string]func(*testing.T) string{
			"miniredis":    func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() },
			"redis-server": func(t *testing.T) string { return startRedis(t).url },
		} {
			t.Run(name+", "+server, func(t *testing.T) {
				url, s := start(t), stage(t)
				heard := listen(t, url)
				node := func() *node {
					n := startNode(t, func(cfg *config) {
						cfg.redisURL = url
						s.configure(cfg)
					})
					if n.newRelic != nil {
						connected(t, n.newRelic)
					}
					return n
				}
				a, b := node(), node()
				ada, bob := join(t, a.url, "Ada", "tea"), join(t, b.url, "Bob", "tea")
				ada.sayTraced("tea", "hello")
				// Browsers get nothing of the nodes' traces.
				ada.expect(sayings("tea", "Ada", "hello"))
				bob.expect(sayings("tea", "Ada", "hello"))
				got := next(t, heard)
				ada.Close() // who would be waited for
				bob.Close()
				a.stop() // sends all
				b.stop()

				said := s.say()
				if len(said) != 1 {
					t.Fatalf("%d transactions chat.say, want 1: %+v", len(said), said)
				}
				m := said[0]
				if m.trace == browserTrace || m.linkTrace != browserTrace || m.linkedSpan != browserSpan {
					t.Errorf("the message is %+v, want a trace of its own with a link to the browser's", m)
				}
				if !got.parent.IsValid() || !got.parent.Sampled() || got.parent.TraceIDString() != m.trace || got.parent.SpanIDString() != m.publish {
					t.Errorf("through Redis came %s, want the PUBLISH of %+v", got.parent.TraceParent(), m)
				}
				// One of each node, to those who listen there.
				want := toldBroadcast{m.trace, m.publish}
				if told := s.broadcasts(); len(told) != 2 || told[0] != want || told[1] != want {
					t.Errorf("the broadcasts are %+v, want two below the PUBLISH of %+v", told, m)
				}
				if strings.Contains(got.message, "trace") || got.room != "tea" {
					t.Errorf("what goes to the browsers of %s is %s", got.room, got.message)
				}
			})
		}
	}
}

// What comes from Redis without a good trace context is delivered all the same.
func TestTraceOfForeignMessages(t *testing.T) {
	mini := miniredis.RunT(t)
	heard := listen(t, "redis://"+mini.Addr())
	const good = "00-" + browserTrace + "-" + browserSpan + "-01"
	for _, c := range []struct{ fields, want string }{
		{`"traceparent":"` + good + `",`, good},
		{`"traceparent":"nonsense",`, ""},
		{`"traceparent":7,`, ""},
		{`"nested":{"traceparent":"` + good + `"},`, ""},
		{"", ""},
	} {
		message := `{` + c.fields + `"type":"chat.said","room":"tea","user":"Bob","text":"hello"}`
		mini.Publish(channel, message)
		got := next(t, heard)
		var fields map[string]string
		if err := json.Unmarshal([]byte(got.message), &fields); err != nil || fmt.Sprint(fields) != fmt.Sprint(sayings("tea", "Bob", "hello")) {
			t.Errorf("%s is delivered as %s (%v)", message, got.message, err)
		}
		if got.parent.TraceParent() != c.want {
			t.Errorf("%s has the parent %q, want %q", message, got.parent.TraceParent(), c.want)
		}
	}
}

// Without a back end that has traces there is none to send on.
func TestNoTraceThroughRedis(t *testing.T) {
	mini := miniredis.RunT(t)
	heard := listen(t, "redis://"+mini.Addr())
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada := join(t, n.url, "Ada", "tea")
	ada.sayTraced("tea", "hello")
	ada.expect(sayings("tea", "Ada", "hello"))
	if got := next(t, heard); got.parent != (apmws.SpanContext{}) {
		t.Errorf("through Redis came %+v", got.parent)
	}
}
