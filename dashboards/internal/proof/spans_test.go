//go:build !race

package proof

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/exporters/wire/hour"
)

// spanTime is the time of all spans, in µs.
func spanTime(list facts) cell {
	return about(list.seconds()*1e6, list.total()*toTenMicros)
}

// timeInSpans is about the spans of recorded transactions. Of those around sends, the
// script notes nothing but what follows from the rest: see sends.
func timeInSpans(w *world) table {
	t := w.table(w.top(many, "Span", w.spans, name, facts.seconds),
		measure{"Time in all", func(in window) cell { return spanTime(in.of(w.spans)) }}, sum("Spans", w.spans, 0),
		quantiles("p50", 0.5, w.spans, toTenMicros, micros), quantiles("p95", 0.95, w.spans, toTenMicros, micros),
		latest("Type", w.spans, func(x *fact) string { return x.typ }))
	for _, s := range w.sends() {
		if s.most == 0 {
			continue
		}
		// Nearly all peers read at once.
		t.rows = append(t.rows, []cell{
			text("send " + s.name), about(s.us, s.margin), between(s.least, s.most), exact(0), exact(0), text("websocket"),
		})
		if s.least == 0 {
			t.perhaps = append(t.perhaps, "send "+s.name)
		}
	}
	slices.SortStableFunc(t.rows, func(a, b []cell) int {
		// To the microsecond: sums of floating point are never 0.
		x, y := math.Round(a[1].from+a[1].to), math.Round(b[1].from+b[1].to)
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(a[0].String(), b[0].String()))
	})
	return t
}

// sends are the spans around the sends of a name: how many, at least and at most, and
// how long they took, in µs.
type sends struct {
	name        string
	least, most float64
	us, margin  float64
}

const (
	parts = 4 // of a history
	// brokenRoom is the failure of the handler that gives up, and answers nothing.
	brokenRoom = "the room's state"
	unread     = "i/o timeout" // of a peer that does not read
)

// sends returns what the recorded messages have sent, by what the script's handlers
// do: rooms answer joins with an ack, and failures with a sorry, inside the message;
// histories have four parts; what is said goes to another one in the room, if there
// is one; all other answers are sent outside of the message, and have no span. Quotes
// are answered inside the message, where it was sampled from its beginning; those
// that are kept since they failed or were slow may not have been.
func (w *world) sends() []sends {
	ack, sorry, history, message := sends{name: "ack"}, sends{name: "sorry"}, sends{name: "history"}, sends{name: "message"}
	begun := w.whole().of(w.messages)
	// What had begun before may have been sent within the hour.
	across := w.messages.where(func(x *fact) bool { return x.told.Before(w.start) && x.told.Add(x.took).After(w.start) })
	for _, x := range begun {
		switch {
		case x.Service == "feeds" && x.failed:
			sorry.most++
		case x.Service == "feeds" && x.took >= hour.SlowFrom:
			ack.most++
		case x.Service == "feeds":
			ack.add(1)
		case !isEndpoint(x.Place), x.result == "panic", strings.HasPrefix(x.text, brokenRoom):
		case x.failed:
			sorry.add(1)
			if strings.HasSuffix(x.text, unread) {
				history.most += parts
			}
		case x.name == "chat.join", x.name == "news.read":
			ack.add(1)
		case x.name == "chat.history":
			history.add(parts)
		case x.name == "chat.say":
			message.most++
		}
	}
	for _, x := range across {
		ack.most, sorry.most, history.most = ack.most+1, sorry.most+1, history.most+parts
		history.margin += micros(x)
	}
	// What a history takes beyond reading it is that its peer does not read.
	for _, x := range begun.where(func(x *fact) bool { return x.name == "chat.history" && x.result != "timeout" }) {
		history.us += micros(x)
	}
	for _, x := range w.whole().of(w.spans).where(func(x *fact) bool { return x.name == "SELECT FROM messages" && !x.failed }) {
		history.us -= micros(x)
	}
	history.margin += history.most * toTenMicros
	if told := w.forwarded(); message.most > 0 {
		message.least, message.most = max(0, told.from), min(told.to, message.most)
	}
	return []sends{ack, sorry, history, message}
}

func (s *sends) add(n float64) { s.least, s.most = s.least+n, s.most+n }

// forwarded is how many messages went to others in the room: those that were sent but
// for all answers. A few may be more or less: sends that failed, and those of the
// histories that nobody read.
func (w *world) forwarded() cell {
	inRooms := func(x *fact) bool { return x.Route == "/ws/rooms/{room}" }
	n, margin := w.whole().of(w.sent).where(inRooms).total(), 5.0
	n += ofCause(w.whole().of(w.closed).where(inRooms), "application").total() // who is sent away gets no answer
	for _, x := range w.whole().of(w.handled).where(inRooms) {
		switch {
		case x.result == "panic", strings.HasPrefix(x.text, brokenRoom):
		case strings.HasSuffix(x.text, unread):
			margin += parts + 1
		case x.name == "chat.history" && !x.failed:
			n -= parts + 1
		default:
			n--
		}
	}
	return about(n, margin)
}
