package exportertest

import (
	"context"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// timeRules are those about when something was and how long it took.
func timeRules() []rule {
	return []rule{
		{
			"times",
			"transactions, spans and errors happen when the events say, and last as long, whenever the calls are made; a back end with a clock of its own measures the time between the calls",
			checkTimes,
		},
	}
}

// pause lets real time pass where the back end looks at the clock, and returns
// what has passed since the given time, which was taken after the first call.
func (s *session) pause(since time.Time) time.Duration {
	if s.Limits.OwnClock {
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(since)
}

// fraction of a millisecond, which messages take more often than whole ones.
const fraction = 250 * time.Microsecond

func checkTimes(k *kit) {
	s := k.session()
	c := s.connect(context.Background(), apmws.ConnStart{Time: s.at(0)})
	connectStarted := time.Now()
	connectSpans := canSpan(c.span)
	if connectSpans {
		x := s.child(c.ctx, c.span, apmws.SpanStart{Name: "authenticate", Time: s.at(10 * time.Millisecond)})
		x.end(apmws.SpanEnd{Time: s.at(25 * time.Millisecond)})
	}
	connectLeast := s.pause(connectStarted)
	c.opened(apmws.OpenEnd{Accepted: true, Time: s.at(40*time.Millisecond + fraction)})

	m := c.message(apmws.MessageStart{Time: s.at(time.Second)})
	messageStarted := time.Now()
	var spanLeast time.Duration
	messageSpans := canSpan(m.span)
	if messageSpans {
		x := s.child(m.ctx, m.span, apmws.SpanStart{Name: "load", Time: s.at(1250 * time.Millisecond)})
		spanLeast = s.pause(time.Now())
		x.end(apmws.SpanEnd{Time: s.at(2*time.Second + fraction)})
	}
	messageLeast := s.pause(messageStarted)
	m.end(apmws.MessageEnd{Time: s.at(4*time.Second + fraction)})
	failed := c.message(apmws.MessageStart{Time: s.at(5 * time.Second)})
	failed.end(apmws.MessageEnd{
		Time: s.at(6 * time.Second), Result: "error", Outcome: apmws.OutcomeFailure, Failure: failed.failure("no such room"),
	})
	c.closed(apmws.ConnEnd{Time: s.at(3 * time.Hour)})

	g := s.sent()
	connect, told, end := g.connect(c), g.message(m), g.disconnect(c)
	g.wantTimes("CONNECT", connect.Start, s.at(0), connect.Duration, 40*time.Millisecond+fraction, connectLeast)
	g.wantTimes("the message", told.Start, s.at(time.Second), told.Duration, 3*time.Second+fraction, messageLeast)
	if connectSpans {
		x := g.span(connect, "authenticate")
		g.wantTimes("the span of CONNECT", x.Start, s.at(10*time.Millisecond), x.Duration, 15*time.Millisecond, 0)
	}
	if messageSpans {
		x := g.span(told, "load")
		g.wantTimes("the span of the message", x.Start, s.at(1250*time.Millisecond), x.Duration, 750*time.Millisecond+fraction, spanLeast)
	}
	if !s.Limits.OwnClock {
		g.wantTimes("DISCONNECT", end.Start, s.at(3*time.Hour), end.Duration, 0, 0)
		for _, e := range g.message(failed).Errors {
			if off := e.Time.Sub(s.at(6 * time.Second)); !e.Time.IsZero() && max(off, -off) > startSlack {
				g.errorf("the error has a time that is %v off the event's", off)
			}
		}
	}
}
