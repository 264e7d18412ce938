package elasticws

import (
	"net/http"
	"strings"
	"testing"

	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

func TestTraceState(t *testing.T) {
	tests := []struct{ header, want string }{
		{"", ""},
		{"es=s:0.25", "es=s:0.25"},
		{"es=s:0", "es=s:0"},
		{"es=s:1", "es=s:1"},
		{"es=s:0.0001", "es=s:0.0001"},
		{"a=1, es=x:y;s:0.5 ,b=2", "es=x:y;s:0.5,a=1,b=2"},
		{"a=1,es=s:NaN,b=2", "a=1,b=2"},
		{"es=s:nan", ""},
		{"es=s:+nan", ""},
		{"es=s:Inf", ""},
		{"es=s:-Inf", ""},
		{"es=s:-1", ""},
		{"es=s:1.01", ""},
		{"es=s:1e-8", ""},
		{"es=s:1e-300", ""},
		{"es=s:0.00009", ""},
		{"es=s:0.5;s:NaN", ""},
		{"es=s:NaN;s:0.5", ""},
		{"es=s:", ""},
		{"es=s", ""},
		{"es=", ""},
		{"es", ""},
		{"es=x:y", ""},
		{"es=s:0.5;broken", ""},
		{"es=s:0.5,es=s:NaN", "es=s:0.5"},
		{"a=1,es=s:\xff", "a=1"},
		{"a=1,es=s:0.5;x:" + strings.Repeat("y", 300), "a=1"},
	}
	for _, test := range tests {
		state := traceState(test.header)
		if got := state.String(); got != test.want {
			t.Errorf("%q: %q, want %q", test.header, got, test.want)
		}
		if err := state.Validate(); err != nil {
			t.Errorf("%q: %v", test.header, err)
		}
	}
}

// TestHostileTraceState: what a stranger's tracestate says never makes what is
// sent malformed, or a transaction count for more than ten thousand.
func TestHostileTraceState(t *testing.T) {
	for _, state := range []string{"es=s:NaN", "es=s:1e-8", "es=s:Inf", "es=s:1e-300", "vendor=1,es=s:nan"} {
		i := newIntake(t)
		var c chat
		c.authenticate = func(r *http.Request) bool {
			_, span := apmws.StartSpan(r.Context(), "authenticate", apmws.SpanOptions{})
			span.End(nil)
			return false
		}
		c.start(t, New(i.tracer(t)))
		trace := model.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
		header := http.Header{
			"Traceparent": {"00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"},
			"Tracestate":  {state},
		}
		c.refusedWith(t, header)
		if err := c.agent.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		docs := i.documents(t) // fails when a line is no JSON
		tx, span := docs.transaction(t, "CONNECT /ws"), docs.span(t, "authenticate")
		if tx.TraceID != trace || span.TraceID != trace {
			t.Errorf("%s: the trace is not continued", state)
		}
		if tx.SampleRate != nil || span.SampleRate != nil {
			t.Errorf("%s: sample rates %v, %v were sent", state, *tx.SampleRate, *span.SampleRate)
		}
	}
}

// TestStrangersTraces: who decides whether a handshake is sampled that came with
// a trace.
func TestStrangersTraces(t *testing.T) {
	tests := []struct {
		name, strategy, state string
		restarted             bool
	}{
		{"a caller is believed", "", "", false},
		{"but one without Elastic's agent", "restart_external", "vendor=1", true},
		{"or with a broken rate of it", "restart_external", "es=s:NaN", true},
		{"and one with it is", "restart_external", "es=s:1", false},
		{"unless none is", "restart", "es=s:1", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder(t, "ELASTIC_APM_TRACE_CONTINUATION_STRATEGY", test.strategy)
			start := connStart()
			start.Remote = apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, State: test.state}
			_, span := New(rec.Tracer).StartConn(t.Context(), start)
			c := span.(*connSpan)
			c.Opened(accepted(0))
			if got := c.SpanContext().Sampled(); got != test.restarted {
				t.Errorf("sampled: %v, want %v", got, test.restarted)
			}
			docs := rec.collect(t)
			if !test.restarted { // and is not sent at all, or without context
				for _, tx := range docs.transactions {
					if tx.Sampled == nil || *tx.Sampled || tx.Context != nil {
						t.Errorf("%s was sent: context %+v", tx.Name, tx.Context)
					}
				}
				return
			}
			tx := docs.transaction(t, "CONNECT /ws")
			if tx.TraceID == start.Remote.TraceID || len(tx.Links) != 1 || tx.Links[0].TraceID != start.Remote.TraceID {
				t.Errorf("trace %x, links %v, want an own one with a link to the caller's", tx.TraceID, tx.Links)
			}
		})
	}
}
