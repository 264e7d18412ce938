package elasticws

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

// chosen is the start of a message that the agent has decided to record.
func chosen(name string, weight float64) apmws.MessageStart {
	start := messageStart(name, 0)
	start.Sampled, start.Weight = true, weight
	return start
}

// unsampledRecorder returns a recorder whose own sampler takes nothing, and a
// connection.
func unsampledRecorder(t *testing.T, env ...string) (*recorder, *connSpan) {
	t.Helper()
	rec := newRecorder(t, env...)
	rec.SetSampler(apm.NewRatioSampler(0))
	return rec, openConn(t, New(rec.Tracer))
}

// TestSampledMessage: the decision and its weight are the agent's, whatever the
// tracer's sampler would say, and go with the spans and to the services that are
// called.
func TestSampledMessage(t *testing.T) {
	tests := []struct {
		weight float64
		rate   float64
		state  string
	}{
		{1, 1, "es=s:1"},
		{100, 0.01, "es=s:0.01"},
		{1 / 0.049, 0.049, "es=s:0.049"},
		{3, 0.333333333333, "es=s:0.333333333333"},
		{20000, 0.00005, "es=s:0.00005"},
		{0, 0, "es=s:0"},
		{-1, 0, "es=s:0"},
		{math.NaN(), 0, "es=s:0"},
		{math.Inf(1), 0, "es=s:0"},
		{0.5, 1, "es=s:1"},
	}
	rec, c := unsampledRecorder(t)
	for i, test := range tests {
		name := strconv.Itoa(i)
		ctx, m := startMessage(t, c, chosen(name, test.weight))
		if state := m.tx.TraceContext().State; state.Validate() != nil || state.String() != test.state {
			t.Errorf("weight %v: trace state %q, %v, want %q", test.weight, state.String(), state.Validate(), test.state)
		}
		span, _ := apm.StartSpan(ctx, "span "+name, "app")
		if got := span.TraceContext().State.String(); got != test.state {
			t.Errorf("weight %v: a span's trace state is %q, want %q", test.weight, got, test.state)
		}
		span.End()
		m.End(messageOK(time.Millisecond))
		if sc := m.SpanContext(); !sc.Sampled() || !sc.IsValid() {
			t.Errorf("weight %v: identified as %+v", test.weight, sc)
		}
	}
	docs := rec.collect(t)
	traces := make(map[model.TraceID]bool)
	for i, test := range tests {
		tx, span := docs.transaction(t, strconv.Itoa(i)), docs.span(t, "span "+strconv.Itoa(i))
		if tx.Sampled != nil || tx.SampleRate == nil || *tx.SampleRate != test.rate {
			t.Errorf("weight %v: sampled %v, rate %v, want %v", test.weight, tx.Sampled, tx.SampleRate, test.rate)
		}
		if span.SampleRate == nil || *span.SampleRate != test.rate || span.ParentID != tx.ID || span.TraceID != tx.TraceID {
			t.Errorf("weight %v: the span has rate %v, want %v", test.weight, span.SampleRate, test.rate)
		}
		if tx.ParentID != (model.SpanID{}) || tx.ID == (model.SpanID{}) || traces[tx.TraceID] || tx.TraceID == (model.TraceID{}) {
			t.Errorf("weight %v: %x in trace %x below %x, want one of its own", test.weight, tx.ID, tx.TraceID, tx.ParentID)
		}
		traces[tx.TraceID] = true
		if len(tx.Context.Tags) == 0 {
			t.Errorf("weight %v: no labels", test.weight)
		}
	}
}

// TestUndecidedMessage: without a decision of the agent the tracer's sampler has
// the word, and the weight means nothing.
func TestUndecidedMessage(t *testing.T) {
	rec, c := unsampledRecorder(t)
	start := chosen("chat.say", 7)
	start.Sampled = false
	_, m := startMessage(t, c, start)
	if m.SpanContext().Sampled() {
		t.Error("sampled")
	}
	rec.SetSampler(apm.NewRatioSampler(1))
	start.Name = "chat.join"
	_, m = startMessage(t, c, start)
	m.End(messageOK(0))
	if rate := rec.collect(t).transaction(t, "chat.join").SampleRate; rate == nil || *rate != 1 {
		t.Errorf("rate %v, want the sampler's 1", rate)
	}
}

// TestSampledMessageStrategies: the strategy of continuation decides which traces
// are continued, and never whether what the agent has chosen is recorded.
func TestSampledMessageStrategies(t *testing.T) {
	remote := apmws.SpanContext{TraceID: [16]byte{9}, SpanID: [8]byte{8}, Flags: 1}
	const none = ""
	tests := []struct {
		strategy, state string
		continued       bool
		rate            float64 // of what comes with the remote trace; -1: unknown
	}{
		{none, "es=s:0.25", true, 0.25},
		{none, none, true, -1},
		{"continue", "es=s:0.25", true, 0.25},
		{"restart_external", "es=s:0.25", true, 0.25},
		{"restart_external", none, false, 1},
		{"restart_external", "vendor=1,es=s:NaN", false, 1},
		{"restart", "es=s:0.25", false, 1},
		{"restart", none, false, 1},
	}
	for _, test := range tests {
		t.Run(test.strategy+" "+test.state, func(t *testing.T) {
			rec, c := unsampledRecorder(t, "ELASTIC_APM_TRACE_CONTINUATION_STRATEGY", test.strategy)
			remote.State = test.state
			for _, name := range []string{"alone", "linked", "continued"} {
				start := chosen(name, 1)
				if name != "alone" {
					start.Remote = remote
				}
				start.Continue = name != "linked"
				if name != "continued" {
					start.Weight = 50
				}
				_, m := startMessage(t, c, start)
				m.End(messageOK(0))
			}
			docs := rec.collect(t)
			links := map[bool][]model.SpanLink{true: {{TraceID: model.TraceID(remote.TraceID), SpanID: model.SpanID(remote.SpanID)}}}
			for _, name := range []string{"alone", "linked"} {
				tx := docs.transaction(t, name)
				if tx.TraceID == remote.TraceID || tx.ParentID != (model.SpanID{}) || *tx.SampleRate != 0.02 ||
					!slices.Equal(tx.Links, links[name == "linked"]) {
					t.Errorf("%s: trace %x below %x, links %x, rate %v", name, tx.TraceID, tx.ParentID, tx.Links, *tx.SampleRate)
				}
			}
			tx := docs.transaction(t, "continued")
			rate := -1.0
			if tx.SampleRate != nil {
				rate = *tx.SampleRate
			}
			isChild := tx.TraceID == remote.TraceID && tx.ParentID == remote.SpanID
			if isChild != test.continued || rate != test.rate || !slices.Equal(tx.Links, links[!test.continued]) {
				t.Errorf("trace %x below %x, links %x, rate %v", tx.TraceID, tx.ParentID, tx.Links, rate)
			}
			if len(docs.transactions) != 4 { // CONNECT too: this transport does not tell that it would rather not
				t.Errorf("transactions %v", docs.names())
			}
		})
	}
}

// TestLateMessage: what is recorded after it has been handled has its true start
// and duration, counts for nothing, and is there although its caller's trace is
// not.
func TestLateMessage(t *testing.T) {
	for _, strategy := range []string{"continue", "restart_external", "restart"} {
		t.Run(strategy, func(t *testing.T) {
			rec, c := unsampledRecorder(t, "ELASTIC_APM_TRACE_CONTINUATION_STRATEGY", strategy)
			start := chosen("chat.say", 0)
			start.Time, start.Late = after(time.Hour), true
			start.Continue = true
			start.Remote = apmws.SpanContext{TraceID: [16]byte{9}, SpanID: [8]byte{8}, State: "es=s:0"}
			_, m := startMessage(t, c, start)
			end := messageOK(time.Hour + 7*time.Millisecond)
			end.Result, end.Outcome = "error", apmws.OutcomeFailure
			end.Failure = &apmws.Failure{Message: errNoRoom.Error(), Type: "error", Err: errNoRoom, Attrs: start.Attrs}
			m.End(end)
			docs := rec.collect(t)
			tx := docs.transaction(t, "chat.say")
			if !time.Time(tx.Timestamp).Equal(after(time.Hour)) || tx.Duration != 7 {
				t.Errorf("%v for %v ms", time.Time(tx.Timestamp), tx.Duration)
			}
			if tx.Sampled != nil || *tx.SampleRate != 0 || tx.Outcome != "failure" || tx.SpanCount.Started != 0 || len(docs.spans) != 0 {
				t.Errorf("sampled %v at %v, outcome %q, spans %+v", tx.Sampled, *tx.SampleRate, tx.Outcome, tx.SpanCount)
			}
			want := []model.SpanLink{{TraceID: model.TraceID(start.Remote.TraceID), SpanID: model.SpanID(start.Remote.SpanID)}}
			if tx.TraceID == start.Remote.TraceID || tx.ParentID != (model.SpanID{}) || !slices.Equal(tx.Links, want) {
				t.Errorf("trace %x below %x, links %x, want %x", tx.TraceID, tx.ParentID, tx.Links, want)
			}
			if doc := docs.error(t); doc.TransactionID != tx.ID || doc.TraceID != tx.TraceID {
				t.Errorf("the error is of %x in %x", doc.TransactionID, doc.TraceID)
			}
		})
	}
}

// TestLateMessageEndToEnd: a message that nobody had chosen fails after its
// handler has called something. The agent keeps it, without spans.
func TestLateMessageEndToEnd(t *testing.T) {
	rec := newRecorder(t)
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{New(rec.Tracer)},
		Sampling:  &apmws.Sampling{},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "fail"}},
	})
	p := newPeer(`{"type":"chat.say"}`, `{"type":"fail"}`)
	var began, ended time.Time
	p.connect(agent.Handler("/ws", serve(t, func(ctx context.Context, m apmws.Message) error {
		if apm.TransactionFromContext(ctx) != nil {
			t.Error("a message that was not chosen has a transaction while it is handled")
		}
		native, _ := apm.StartSpan(ctx, "native", "app")
		native.End()
		_, span := apmws.StartSpan(ctx, "span", apmws.SpanOptions{})
		span.End(nil)
		if string(m.Data) == `{"type":"fail"}` {
			began = time.Now()
			for time.Since(began) < time.Millisecond {
			}
			ended = time.Now()
			return errNoRoom
		}
		return nil
	})))
	docs := rec.collect(t)
	tx := docs.transaction(t, "fail")
	if len(docs.transactions) != 3 || len(docs.spans) != 0 || tx.SpanCount.Started+tx.SpanCount.Dropped != 0 {
		t.Errorf("sent %v, spans %+v", docs.names(), tx.SpanCount)
	}
	start := time.Time(tx.Timestamp)
	end := start.Add(time.Duration(tx.Duration * float64(time.Millisecond)))
	const grain = time.Millisecond / 2 // of timestamps, which are sent in microseconds, and of the monotonic clock
	if start.After(began.Add(grain)) || end.Before(ended.Add(-grain)) || tx.Duration < 1 || *tx.SampleRate != 0 {
		t.Errorf("from %v to %v at %v, the handler took from %v to %v", start, end, *tx.SampleRate, began, ended)
	}
	if doc := docs.error(t); doc.TransactionID != tx.ID {
		t.Errorf("the error is of %x, want %x", doc.TransactionID, tx.ID)
	}
}

// TestRateStates: the states of rates are made once, concurrently too, and there
// are never too many.
func TestRateStates(t *testing.T) {
	var r rateStates
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 2 * maxRates {
				want := "es=s:" + formatRate(float64(n))
				if got := r.state(float64(n)); got.String() != want || got.Validate() != nil {
					t.Errorf("weight %d: %q, want %q", n, got.String(), want)
				}
				r.state(math.NaN())
			}
		})
	}
	all.Wait()
	if n := len(r.all()); n != maxRates {
		t.Errorf("%d states are remembered, want %d", n, maxRates)
	}
	if n := testing.AllocsPerRun(100, func() { stateSink = r.state(1) }); n != 0 {
		t.Errorf("%v allocations for a rate that is known", n)
	}
}

var stateSink apm.TraceState

// TestNewTraceID: the ids differ in both halves, and have the bit by which none
// is zero.
func TestNewTraceID(t *testing.T) {
	left, right := make(map[[8]byte]bool), make(map[[8]byte]bool)
	for range 10_000 {
		id := newTraceID()
		if id[7]&1 == 0 || left[[8]byte(id[:8])] || right[[8]byte(id[8:])] {
			t.Fatalf("id %x", id)
		}
		left[[8]byte(id[:8])], right[[8]byte(id[8:])] = true, true
	}
}
