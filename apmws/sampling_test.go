package apmws

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// sampledAgent is an agent with a recorder of what is kept.
func sampledAgent(s *Sampling, messages MessageOptions) (*Agent, *recorder) {
	r := newRecorder()
	if messages.Names == nil {
		messages.Names = []string{"chat.say", "chat.join"}
	}
	return New(Options{Exporters: []Exporter{r}, Sampling: s, Messages: messages}), r
}

// handleOne handles a message through StartMessage.
func handleOne(c *Conn, name string, took time.Duration, err error) {
	_, tx := StartMessage(c.scope, MessageInfo{Name: name, Size: 12})
	time.Sleep(took)
	tx.End(err)
}

// TestSamplingKeeps: what failed or was slow is kept though nothing else is, with
// its true times and everything that a transaction has, and counts for nothing.
func TestSamplingKeeps(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name   string
		took   time.Duration
		err    error
		result string // empty: not kept
	}{
		{"ok", 0, nil, ""},
		{"not quite slow", 99 * time.Millisecond, nil, ""},
		{"slow", 100 * time.Millisecond, nil, "ok"},
		{"error", time.Millisecond, boom, "error"},
		{"timeout", time.Millisecond, fmt.Errorf("query: %w", context.DeadlineExceeded), "timeout"},
		{"panic", time.Millisecond, &PanicError{Value: "boom"}, "panic"},
		{"closed with an ordinary code", 0, Close(websocket.CloseNormalClosure, ""), ""},
		{"closed for a fault", 0, Close(websocket.CloseInternalServerErr, ""), "error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent, r := sampledAgent(&Sampling{Slow: 100 * time.Millisecond}, MessageOptions{})
				c := arriving(agent)
				c.SetUser("u1")
				start := time.Now()
				handleOne(c, "chat.say", test.took, test.err)
				if m := agent.Stats().Routes[0].Messages; len(m) != 1 || m[0].Duration.Count != 1 {
					t.Errorf("counted %+v", m)
				}
				begun, ended := r.all("message"), r.all("message-end")
				if test.result == "" {
					if len(begun)+len(ended) > 0 {
						t.Errorf("recorded %+v %+v", begun, ended)
					}
					return
				}
				if len(begun) != 1 || len(ended) != 1 {
					t.Fatalf("recorded %+v %+v", begun, ended)
				}
				b, e := begun[0], ended[0]
				if m := b.message; !m.Sampled || m.Weight != 0 || !m.Late || !m.Time.Equal(start) || m.Name != "chat.say" || m.User != "u1" {
					t.Errorf("started as %+v", m)
				}
				if e.result != test.result || !e.at.Equal(start.Add(test.took)) || e.attrs[semconv.MessageLength] != int64(12) {
					t.Errorf("ended as %+v", e)
				}
				if failed := test.err != nil; failed != (e.failure != nil) || failed && e.failure.Attrs == nil {
					t.Errorf("failure %+v", e.failure)
				}
			})
		})
	}
}

// TestSamplingBeforeHandling: what is chosen has its transaction and spans while
// it is handled, what is not has neither.
func TestSamplingBeforeHandling(t *testing.T) {
	for _, test := range []struct {
		rate float64
		kept bool
	}{{1, true}, {2, true}, {0, false}, {-1, false}, {math.NaN(), false}} {
		agent, r := sampledAgent(&Sampling{Rate: test.rate}, MessageOptions{})
		c := arriving(agent)
		spans := len(r.all("span"))
		ctx, tx := StartMessage(c.scope, MessageInfo{Name: "chat.say"})
		_, span := StartSpan(ctx, "query", SpanOptions{})
		span.End(nil)
		if found := vendorOf(ctx) != nil; found != test.kept {
			t.Errorf("rate %v: the vendor's transaction is found: %v", test.rate, found)
		}
		tx.End(nil)
		if n := len(r.all("span")) - spans; (n == 1) != test.kept {
			t.Errorf("rate %v: %d spans", test.rate, n)
		}
		begun := r.all("message")
		if (len(begun) == 1) != test.kept {
			t.Fatalf("rate %v: recorded %+v", test.rate, begun)
		}
		if test.kept {
			if m := begun[0].message; !m.Sampled || m.Weight != 1 || m.Late {
				t.Errorf("rate %v: started as %+v", test.rate, m)
			}
		}
	}
}

// TestNoSampling: the exporters decide.
func TestNoSampling(t *testing.T) {
	agent, r := sampledAgent(nil, MessageOptions{})
	handleOne(arriving(agent), "chat.say", 0, errors.New("boom"))
	begun := r.all("message")
	if len(begun) != 1 || begun[0].message.Sampled || begun[0].message.Weight != 1 || begun[0].message.Late {
		t.Errorf("recorded %+v", begun)
	}
}

// TestSamplingEstimates drives many messages through Serve, at rates of their
// own, and compares what is estimated from the weights with what happened.
func TestSamplingEstimates(t *testing.T) {
	const messages = 40_000
	rates := map[string]float64{"chat.say": 0.02, "chat.join": 0.25, "_OTHER": 0.005}
	names := []string{"chat.say", "chat.join", "made up"}
	agent, r := sampledAgent(&Sampling{Rate: 0.02, Names: map[string]float64{"chat.join": 0.25, "_OTHER": 0.005}}, MessageOptions{
		Name: func(dst []byte, _ MessageType, payload []byte) []byte { return append(dst, payload...) },
	})
	var i atomic.Int64
	boom := errors.New("boom")
	url := serveWS(t, agent.Handler("/ws", serving(func(context.Context, Message) error {
		if i.Add(1)%10 == 0 {
			return boom
		}
		return nil
	}, nil)))
	var wg sync.WaitGroup
	for range 4 {
		conn := dial(t, url, nil)
		wg.Go(func() {
			for i := range messages / 4 {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(names[i%3])); err != nil {
					t.Error(err)
					return
				}
			}
			if err := conn.WriteMessage(websocket.CloseMessage, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.wait(t, "disconnect", 4)

	truth := make(map[string]uint64)
	var failures uint64
	for _, m := range agent.Stats().Routes[0].Messages {
		truth[m.Name] += m.Duration.Count
		if m.Outcome == OutcomeFailure {
			failures += m.Duration.Count
		}
	}
	if n := truth["chat.say"] + truth["chat.join"] + truth["_OTHER"]; n != messages || failures != messages/10 {
		t.Fatalf("counted %d messages, %d failures", n, failures)
	}
	estimate := make(map[string]float64)
	late, kept := 0, 0
	for _, e := range r.all("message") {
		m := e.message
		estimate[m.Name] += m.Weight
		if want := 1 / rates[m.Name]; !m.Sampled || m.Late && m.Weight != 0 || !m.Late && m.Weight != want {
			t.Fatalf("started as %+v, the weight of the rate is %v", m, want)
		}
		if m.Late {
			late++
		}
	}
	for _, e := range r.all("message-end") {
		if e.outcome == OutcomeFailure {
			kept++
		}
	}
	if kept != messages/10 || late == 0 || late >= kept {
		t.Errorf("%d failures are kept, %d of them late", kept, late)
	}
	for name, n := range truth {
		// The number chosen is binomial; five standard deviations are never seen.
		p := rates[name]
		limit := 5 * math.Sqrt(float64(n)*(1-p)/p)
		if off := math.Abs(estimate[name] - float64(n)); off > limit {
			t.Errorf("%s: %d messages, estimated %.0f, off by %.0f of at most %.0f", name, n, estimate[name], off, limit)
		}
	}
}

// TestSamplingContinuesTraces: a message that continues a trace is chosen when
// that was.
func TestSamplingContinuesTraces(t *testing.T) {
	const recorded, notRecorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, test := range []struct {
		name        string
		rate        float64
		traceparent string
		continues   bool
		kept        bool
	}{
		{"recorded", 0, recorded, true, true},
		{"not recorded", 1, notRecorded, true, false},
		{"none", 1, "", true, true},
		{"linked alone", 0, recorded, false, false},
		{"linked alone, chosen", 1, notRecorded, false, true},
	} {
		for _, through := range []string{"StartMessage", "Serve"} {
			agent, r := sampledAgent(&Sampling{Rate: test.rate}, MessageOptions{
				ContinueTrace: test.continues,
				TraceContext:  func(_ MessageType, payload []byte) (string, string) { return string(payload), "" },
			})
			if through == "StartMessage" {
				_, tx := StartMessage(arriving(agent).scope, MessageInfo{TraceParent: test.traceparent})
				tx.End(nil)
			} else {
				conn := dial(t, serveWS(t, agent.Handler("/ws", serving(func(context.Context, Message) error { return nil }, nil))), nil)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(test.traceparent)); err != nil {
					t.Fatal(err)
				}
				conn.Close()
				r.wait(t, "disconnect", 1)
			}
			begun := r.all("message")
			if (len(begun) == 1) != test.kept {
				t.Errorf("%s, %s: recorded %+v", test.name, through, begun)
			} else if test.kept && begun[0].remote.IsValid() != (test.traceparent != "") {
				t.Errorf("%s, %s: the remote is %+v", test.name, through, begun[0].remote)
			}
		}
	}
}

// TestRateCap bounds each second.
func TestRateCap(t *testing.T) {
	c := &rateCap{perSecond: 10}
	for second := range 3 {
		allowed := 0
		for i := range 25 {
			if c.allowAt(time.Duration(second)*time.Second + time.Duration(i)*39*time.Millisecond) {
				allowed++
			}
		}
		if n := c.refused.Load(); allowed != 10 || n != int64(15*(second+1)) {
			t.Errorf("second %d: %d allowed, %d refused so far", second, allowed, n)
		}
	}
	for range 1000 {
		if unbounded := (&rateCap{}); !unbounded.allow() {
			t.Fatal("refused without a cap")
		}
	}
}

// TestMaxPerSecond bounds what is chosen and what is kept for its failure; what
// is refused is counted once.
func TestMaxPerSecond(t *testing.T) {
	for _, rate := range []float64{0, 1} {
		agent, r := sampledAgent(&Sampling{Rate: rate, MaxPerSecond: 10}, MessageOptions{})
		c := arriving(agent)
		first := monotonic() / time.Second
		for range 500 {
			handleOne(c, "chat.say", 0, errors.New("boom"))
		}
		seconds := int(monotonic()/time.Second - first + 1)
		n := len(r.all("message"))
		if n < 10 || n > 10*seconds {
			t.Errorf("rate %v: %d messages recorded in %d seconds", rate, n, seconds)
		}
		if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "rate_cap", int64(500 - n)}) {
			t.Errorf("rate %v: dropped %+v", rate, d)
		}
		if m := agent.Stats().Routes[0].Messages; m[0].Duration.Count != 500 {
			t.Errorf("rate %v: counted %+v", rate, m)
		}
	}
}

// TestRateCapConcurrently: no more than the cap in any second.
func TestRateCapConcurrently(t *testing.T) {
	c := &rateCap{perSecond: 1000}
	var wg sync.WaitGroup
	var allowed atomic.Int64
	first := uint64(monotonic() / time.Second)
	for range 8 {
		wg.Go(func() {
			for range 20_000 {
				if c.allow() {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	seconds := int64(uint64(monotonic()/time.Second) - first + 1)
	if n := allowed.Load(); n < 1000 || n > 1000*seconds || n+c.refused.Load() != 160_000 {
		t.Errorf("%d allowed in %d seconds, %d refused", n, seconds, c.refused.Load())
	}
}

// TestSamplingWarnings: a rate that is none is told.
func TestSamplingWarnings(t *testing.T) {
	l := newLogged(Options{Sampling: &Sampling{Rate: 1.5, Names: map[string]float64{"ok": 0.5, "chat.say": -1}}})
	lines := l.lines(t)
	if len(lines) != 2 || lines[0]["level"] != "warn" || lines[1]["labels.websocket_message_name"] != "chat.say" {
		t.Errorf("lines %v", lines)
	}
}
