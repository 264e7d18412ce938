package apmws

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

const (
	parentA = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	parentB = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"
)

var (
	contextA = SpanContext{
		TraceID: [16]byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c},
		SpanID:  [8]byte{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}, Flags: 1,
	}
	contextB = SpanContext{TraceID: contextA.TraceID, SpanID: [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}}
)

func withState(sc SpanContext, state string) SpanContext {
	sc.State = state
	return sc
}

// malformed returns how many trace contexts an agent has ignored.
func malformed(agent *Agent) (n int64) {
	for _, d := range agent.Stats().Dropped {
		if d.Exporter == "apmws" && d.Reason == "malformed_trace_context" {
			n += d.Count
		}
	}
	return n
}

// TestTraceContextOfHandshake: what the client sends reaches the exporters.
func TestTraceContextOfHandshake(t *testing.T) {
	tests := []struct {
		name      string
		header    http.Header
		remote    SpanContext
		malformed int64
	}{
		{"none", http.Header{}, SpanContext{}, 0},
		{"sampled", http.Header{"Traceparent": {parentA}}, contextA, 0},
		{"not sampled", http.Header{"Traceparent": {parentB}}, contextB, 0},
		{"with a state", http.Header{"Traceparent": {parentA}, "Tracestate": {"es=s:1"}}, withState(contextA, "es=s:1"), 0},
		{"with states", http.Header{"Traceparent": {parentA}, "Tracestate": {"es=s:1,a=b", "", "c=d"}}, withState(contextA, "es=s:1,a=b,c=d"), 0},
		{"a malformed state", http.Header{"Traceparent": {parentA}, "Tracestate": {"no state"}}, contextA, 0},
		{"a state alone", http.Header{"Tracestate": {"es=s:1"}}, SpanContext{}, 0},
		{"malformed", http.Header{"Traceparent": {"00-xyz"}, "Tracestate": {"es=s:1"}}, SpanContext{}, 1},
		{"upper case", http.Header{"Traceparent": {strings.ToUpper(parentA)}}, SpanContext{}, 1},
		{"no trace id", http.Header{"Traceparent": {"00-00000000000000000000000000000000-b7ad6b7169203331-01"}}, SpanContext{}, 1},
		{"no span id", http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}}, SpanContext{}, 1},
		{"another version", http.Header{"Traceparent": {"cc" + parentA[2:] + "-more"}}, contextA, 0},
		{"the forbidden version", http.Header{"Traceparent": {"ff" + parentA[2:]}}, SpanContext{}, 1},
		{"huge", http.Header{"Traceparent": {parentA + strings.Repeat("0", 1<<16)}}, SpanContext{}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			agent := New(Options{Exporters: []Exporter{rec}})
			dial(t, serveWS(t, agent.Handler("/ws", echoLoop(&websocket.Upgrader{}))), test.header)
			starts := rec.wait(t, "connect", 1)
			if starts[0].remote != test.remote {
				t.Errorf("remote is %+v, want %+v", starts[0].remote, test.remote)
			}
			if n := malformed(agent); n != test.malformed {
				t.Errorf("%d counted as malformed, want %d", n, test.malformed)
			}
		})
	}
}

// TestTraceContextOfMessage: linked by default, continued by option; extracted
// by the application's function, whose panic is contained, or given.
func TestTraceContextOfMessage(t *testing.T) {
	extract := func(_ MessageType, payload []byte) (traceparent, tracestate string) {
		if string(payload) == "panic" {
			panic("boom")
		}
		traceparent, tracestate, _ = strings.Cut(string(payload), " ")
		return traceparent, tracestate
	}
	tests := []struct {
		payload string
		remote  SpanContext
		wrong   Dropped // of the core, if any
	}{
		{"", SpanContext{}, Dropped{}},
		{parentA, contextA, Dropped{}},
		{parentB + " a=b", withState(contextB, "a=b"), Dropped{}},
		{"00-malformed", SpanContext{}, Dropped{"apmws", "malformed_trace_context", 1}},
		{"panic", SpanContext{}, Dropped{"apmws", "callback_panic", 1}},
	}
	for _, test := range tests {
		for _, continued := range []bool{false, true} {
			j := &journal{}
			agent := New(Options{Exporters: []Exporter{&witness{name: "w", journal: j}}, Messages: MessageOptions{TraceContext: extract, ContinueTrace: continued}})
			c := agent.connect(agent.route("/ws"), upgradeRequest())
			c.accepted()
			handled := false
			loop := &loop{ctx: c.scope, observed: c, handle: func(context.Context, Message) error { handled = true; return nil }}
			if err := loop.observe(new(buffer), Message{Type: TextMessage, Data: []byte(test.payload)}); err != nil || !handled {
				t.Errorf("%q: handled %v, %v", test.payload, handled, err)
			}
			want := []SpanContext{test.remote}
			if test.payload != "panic" {
				parent, state := extract(TextMessage, []byte(test.payload))
				_, tx := StartMessage(c.scope, MessageInfo{TraceParent: parent, TraceState: state})
				tx.End(errors.New("boom"))
				want = append(want, test.remote)
				test.wrong.Count *= int64(len(want))
			}
			var got []SpanContext
			for _, event := range j.given() {
				if start, ok := event.(MessageStart); ok {
					got = append(got, start.Remote)
					if start.Continue != continued {
						t.Errorf("%q: Continue is %v", test.payload, start.Continue)
					}
				}
			}
			if len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
				t.Errorf("%q: remote %+v, want %+v", test.payload, got, want)
			}
			dropped := agent.Stats().Dropped
			if test.wrong.Count == 0 && len(dropped) != 0 || test.wrong.Count != 0 && (len(dropped) != 1 || dropped[0] != test.wrong) {
				t.Errorf("%q: dropped %+v, want %+v", test.payload, dropped, test.wrong)
			}
			test.wrong.Count = min(test.wrong.Count, 1)
		}
	}
}

// TestTraceContextsApart: the connection's trace is not its messages'.
func TestTraceContextsApart(t *testing.T) {
	j := &journal{}
	agent := New(Options{Exporters: []Exporter{&witness{name: "w", journal: j}}})
	r := upgradeRequest()
	r.Header.Set("Traceparent", parentA)
	c := agent.connect(agent.route("/ws"), r)
	c.accepted()
	_, tx := StartMessage(c.scope, MessageInfo{})
	tx.End(nil)
	remotes := map[string]SpanContext{}
	for _, event := range j.given() {
		switch start := event.(type) {
		case ConnStart:
			remotes["connect"] = start.Remote
		case MessageStart:
			remotes["message"] = start.Remote
		}
	}
	if len(remotes) != 2 || remotes["connect"] != contextA || remotes["message"] != (SpanContext{}) {
		t.Errorf("remotes: %+v", remotes)
	}
}
