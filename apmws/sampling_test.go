package apmws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

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

// TestSamplingKeepsThroughServe: likewise for messages that Serve handles, also
// those whose handler never returns.
func TestSamplingKeepsThroughServe(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	boom := errors.New("boom")
	for _, test := range []struct {
		name   string
		handle func() error
		result string // empty: not kept
	}{
		{"ok", func() error { return nil }, ""},
		{"slow", func() error { time.Sleep(20 * time.Millisecond); return nil }, "ok"},
		{"error", func() error { return boom }, "error"},
		{"panic", func() error { panic("boom") }, "panic"},
		{"Goexit", goexit, "error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			agent, r := sampledAgent(&Sampling{Slow: 20 * time.Millisecond}, MessageOptions{
				Name:         func(dst []byte, _ MessageType, _ []byte) []byte { return append(dst, "chat.say"...) },
				TraceContext: func(MessageType, []byte) (string, string) { return traceparent, "" },
			})
			var began, ended time.Time
			url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{Message: func(context.Context, Message) error {
				began = time.Now()
				defer func() { ended = time.Now() }()
				return test.handle()
			}}))
			conn := dial(t, url, nil)
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if err := conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
				t.Fatal(err)
			}
			r.wait(t, "disconnect", 1)
			messages := agent.Stats().Routes[0].Messages
			if len(messages) != 1 || messages[0].Name != "chat.say" || messages[0].Duration.Count != 1 ||
				(messages[0].Outcome == OutcomeFailure) != (test.result != "" && test.result != "ok") {
				t.Errorf("counted %+v", messages)
			}
			begun := r.all("message")
			if (len(begun) == 1) != (test.result != "") {
				t.Fatalf("recorded %+v", begun)
			}
			if test.result == "" {
				return
			}
			m, e := begun[0].message, r.all("message-end")[0]
			if !m.Late || m.Weight != 0 || m.Continue || m.Name != "chat.say" || m.Remote.TraceIDString() != traceparent[3:35] || e.result != test.result {
				t.Errorf("started as %+v, ended %s", m, e.result)
			}
			if m.Time.After(began) || e.at.Before(ended) {
				t.Errorf("it was handled from %v to %v, recorded from %v to %v", began, ended, m.Time, e.at)
			}
		})
	}
}

// TestLateRecordingIsPrivate: a goroutine that the handler has left behind may use
// the message's context while that is recorded late.
func TestLateRecordingIsPrivate(t *testing.T) {
	logger := zerolog.New(io.Discard)
	agent := New(Options{Exporters: []Exporter{newRecorder()}, Sampling: &Sampling{}, Logger: &logger})
	c := arriving(agent)
	var left sync.WaitGroup
	for range 200 {
		ctx, tx := StartMessage(c.scope, MessageInfo{})
		left.Go(func() {
			for range 10 {
				zerolog.Ctx(ctx).Info().Msg("goes on")
				StartSpan(ctx, "query", SpanOptions{})
			}
		})
		tx.End(errors.New("boom"))
	}
	left.Wait()
}

// TestMessagesShareNoLogger: what one handler's goroutine adds to its logger is
// not on the lines of a later message.
func TestMessagesShareNoLogger(t *testing.T) {
	l := newLogged(Options{Exporters: []Exporter{newRecorder()}, Sampling: &Sampling{}})
	first := true
	proceed := make(chan struct{})
	url := serveWS(t, l.Endpoint("/ws", EndpointOptions{Message: func(ctx context.Context, m Message) error {
		if first {
			first = false
			go func() {
				zerolog.Ctx(ctx).UpdateContext(func(z zerolog.Context) zerolog.Context { return z.Str("tenant", "first") })
				close(proceed)
			}()
			return nil
		}
		<-proceed
		zerolog.Ctx(ctx).Info().Msg("second")
		return Close(websocket.CloseNormalClosure, "")
	}}))
	conn := dial(t, url, nil)
	for range 2 {
		if err := conn.WriteMessage(websocket.TextMessage, nil); err != nil {
			t.Fatal(err)
		}
	}
	closeCodeOf(t, conn)
	for _, line := range l.lines(t) {
		if line["message"] == "second" && line["tenant"] != nil {
			t.Errorf("the second message's line is %v", line)
		}
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
	for _, begin := range []time.Duration{0, time.Hour, 1 - time.Hour, (1<<32 - 2) * time.Second} { // of the process, or of a test's clock
		c := &rateCap{perSecond: 10}
		for second := range 3 {
			allowed := 0
			for i := range 25 {
				if c.allowAt(begin + time.Duration(second)*time.Second + time.Duration(i)*39*time.Millisecond) {
					allowed++
				}
			}
			if allowed != 10 {
				t.Errorf("from %v, second %d: %d allowed", begin, second, allowed)
			}
		}
	}
	unbounded := &rateCap{}
	for range 1000 {
		if !unbounded.allow() {
			t.Fatal("refused without a cap")
		}
	}
}

// TestMaxPerSecond bounds what is chosen and what is kept for its failure, and
// keeps room for the latter. What finds none is counted once.
func TestMaxPerSecond(t *testing.T) {
	for _, test := range []struct {
		rate float64
		err  error
		most int // in a second
	}{
		{1, nil, 5},
		{1, errors.New("boom"), 10},
		{0, errors.New("boom"), 10},
	} {
		agent, r := sampledAgent(&Sampling{Rate: test.rate, MaxPerSecond: 10}, MessageOptions{})
		c := arriving(agent)
		first := monotonic() / time.Second
		for range 500 {
			handleOne(c, "chat.say", 0, test.err)
		}
		seconds := int(monotonic()/time.Second - first + 1)
		n := len(r.all("message"))
		if n < test.most || n > test.most*seconds {
			t.Errorf("%+v: %d messages recorded in %d seconds", test, n, seconds)
		}
		chosen := 0
		for _, e := range r.all("message") {
			if !e.message.Late {
				chosen++
			}
		}
		want := int64(500 - n)
		if test.rate == 1 {
			want = int64(500 - chosen) // the weight of these is lost, though some failures are kept
		}
		if d := agent.Stats().Dropped; len(d) != 1 || d[0] != (Dropped{"apmws", "rate_cap", want}) {
			t.Errorf("%+v: dropped %+v, want %d", test, d, want)
		}
		if m := agent.Stats().Routes[0].Messages; m[0].Duration.Count != 500 {
			t.Errorf("%+v: counted %+v", test, m)
		}
	}
}

// TestRateCapConcurrently: no more than the cap in any second.
func TestRateCapConcurrently(t *testing.T) {
	c := &rateCap{perSecond: 1000}
	var wg sync.WaitGroup
	var allowed atomic.Int64
	first := monotonic() / time.Second
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
	seconds := int64(monotonic()/time.Second - first + 1)
	if n := allowed.Load(); n < 1000 || n > 1000*seconds {
		t.Errorf("%d allowed in %d seconds", n, seconds)
	}
}

// TestSamplingWarnings: a rate that is none is told, and one for a name that no
// message can have.
func TestSamplingWarnings(t *testing.T) {
	l := newLogged(Options{
		Messages: MessageOptions{Names: []string{"chat.say"}},
		Routes:   map[string]MessageOptions{"/rooms/{id}": {Names: []string{"room.say"}}},
		Sampling: &Sampling{Rate: 1.5, Names: map[string]float64{"room.say": 0.5, "_OTHER": 0, "chat.say": -1, "chat.sya": 1}},
	})
	var got []string
	for _, line := range l.lines(t) {
		got = append(got, fmt.Sprint(line["level"], " ", line["labels.websocket_message_name"], ": ", line["message"]))
	}
	slices.Sort(got)
	if want := []string{
		"warn : websocket sampling rate is not between 0 and 1",
		"warn chat.say: websocket sampling rate is not between 0 and 1",
		"warn chat.sya: websocket sampling rate of a name that is not registered",
	}; !slices.Equal(got, want) {
		t.Errorf("lines %q", got)
	}
}
