package exportertest

import (
	"log/slog"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// samplingRules are those about messages on which the agent has decided.
func samplingRules() []rule {
	return []rule{
		{
			"weight",
			"a message that the agent has sampled is recorded and stands for as many as its Weight, or carries the weight where the back end does not scale, unless it is 1; CONNECT, DISCONNECT and other messages stand for one",
			checkWeight,
		},
		{
			"late",
			"a Late message has its true start and duration, or carries how long it took, and is recorded in full: result, error, link, user",
			checkLate,
		},
	}
}

// wantWeight checks what a transaction stands for.
func (g *sent) wantWeight(t *Transaction, weight float64) {
	carried, ok := g.attr(t.Attrs, semconv.SamplingWeight)
	switch {
	case g.Limits.NoIDs:
	case !g.Limits.NoWeights:
		if !isNumber(t.Weight, weight) {
			g.errorf("%s of the weight %v stands for %v", t.Type, weight, t.Weight)
		}
	case weight == 1:
		if ok && !isNumber(carried, 1) {
			g.errorf("%s of the weight 1 carries the weight %v", t.Type, carried)
		}
	case !ok || !isNumber(carried, weight):
		g.errorf("%s of the weight %v carries the weight %v", t.Type, weight, carried)
	}
}

func checkWeight(k *kit) {
	s := k.session()
	c := s.openConn()
	ordinary := c.message(apmws.MessageStart{})
	ordinary.end(apmws.MessageEnd{})
	weights := []float64{1, 4, 100, 0}
	sampled := make([]*message, len(weights))
	for i, weight := range weights {
		sampled[i] = c.message(apmws.MessageStart{Sampled: true, Weight: weight})
		sampled[i].end(apmws.MessageEnd{})
	}
	c.closed(apmws.ConnEnd{})
	g := s.sent()
	for _, t := range []*Transaction{g.connect(c), g.message(ordinary), g.disconnect(c)} {
		g.wantWeight(t, 1)
	}
	for i, weight := range weights {
		g.wantWeight(g.message(sampled[i]), weight)
	}
}

func checkLate(k *kit) {
	s := k.session()
	c := s.openConn()
	from := remote()
	start, took := s.at(5*time.Second), 1500*time.Millisecond
	m := c.message(apmws.MessageStart{Time: start, Late: true, Sampled: true, Remote: from})
	m.end(apmws.MessageEnd{
		Time: start.Add(took), Result: "timeout", Outcome: apmws.OutcomeFailure, User: "ada", Failure: m.failure("it took too long"),
	})
	slow := c.message(apmws.MessageStart{Time: start, Late: true, Sampled: true})
	slow.end(apmws.MessageEnd{Time: start.Add(2 * took)})

	g := s.sent()
	t := g.message(m)
	g.want(t, "chat.say", "timeout", apmws.OutcomeFailure)
	g.wantError("a Late message", t, m.failure("it took too long"))
	g.wantAttrs("a Late message", t.Attrs, m.start.Attrs)
	g.wantWeight(t, 0)
	if t.User != "ada" {
		g.errorf("a Late message has the user %q, want ada", t.User)
	}
	if !g.Limits.NoIDs {
		g.wantOwnConnect(t, g.connect(c))
		g.wantLink(t, linkOf(from), semconv.MessageTraceID, semconv.MessageSpanID)
	}
	g.wantLateTimes(t, start, took)
	g.wantLateTimes(g.message(slow), start, 2*took)
}

// wantLateTimes checks when a Late message was and how long it took.
func (g *sent) wantLateTimes(t *Transaction, start time.Time, took time.Duration) {
	if g.Limits.NoLateStart {
		g.wantAttrs("a Late message", t.Attrs, []slog.Attr{slog.Float64(semconv.MessageElapsed, took.Seconds())})
		return
	}
	if off := t.Start.Sub(start); max(off, -off) > startSlack {
		g.errorf("a Late message starts %v off the event's time", off)
	}
	if off := t.Duration - took; max(off, -off) > durationSlack {
		g.errorf("a Late message has the duration %v, want %v", t.Duration, took)
	}
}
