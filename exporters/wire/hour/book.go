package hour

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// book is where the script notes what happens.
type book struct {
	mu        sync.Mutex
	visits    []*visit
	refusals  []*Refusal
	messages  []*Message
	calls     []Call
	malformed []Event

	broadcasts []*Broadcast
}

// note notes something.
func note[T any](b *book, in *[]T, what T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*in = append(*in, what)
}

// driven returns what has happened before the end.
func (b *book) driven(end time.Time) *Driven {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := &Driven{
		Broadcasts:             sorted(b.broadcasts, end, func(b *Broadcast) (time.Time, *Place) { return b.At, &b.Place }),
		Refusals:               sorted(b.refusals, end, func(r *Refusal) (time.Time, *Place) { return r.At, &r.Place }),
		Messages:               sorted(b.messages, end, func(m *Message) (time.Time, *Place) { return m.At, &m.Place }),
		Calls:                  sorted(b.calls, end, func(c Call) (time.Time, *Place) { return c.At, &c.Place }),
		MalformedTraceContexts: sorted(b.malformed, end, func(e Event) (time.Time, *Place) { return e.At, &e.Place }),
	}
	for _, v := range b.visits {
		d.addVisit(v, end)
	}
	d.Connections = sorted(d.Connections, end, func(c *Connection) (time.Time, *Place) { return c.Opened, &c.Place })
	d.Transfers = sorted(d.Transfers, end, func(t Transfer) (time.Time, *Place) { return t.At, &t.Place })
	d.Writes = sorted(d.Writes, end, func(w Write) (time.Time, *Place) { return w.At, &w.Place })
	d.Queued = sorted(d.Queued, end, func(q Queued) (time.Time, *Place) { return q.At, &q.Place })
	d.Pings = sorted(d.Pings, end, func(p Ping) (time.Time, *Place) { return p.At, &p.Place })
	return d
}

// addVisit adds a connection, and cuts off what came after the end.
func (d *Driven) addVisit(v *visit, end time.Time) {
	c := v.connection
	closed, pings := v.wire.end()
	d.addQueued(v, closed, end)
	if !closed.IsZero() && closed.Before(end) {
		c.Closed, c.Cause, c.Code, c.Initiator = closed, v.told.cause, v.told.code, v.told.initiator
	}
	for _, t := range v.wire.transfers {
		switch {
		case !t.At.Before(end):
		case t.Received:
			c.MessagesReceived += t.Messages
			c.BytesReceived += t.Bytes
		default:
			c.MessagesSent += t.Messages
			c.BytesSent += t.Bytes
		}
	}
	d.Connections = append(d.Connections, c)
	// Of the two directions at one time, either may have been first.
	slices.SortStableFunc(v.wire.transfers, func(x, y Transfer) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Bytes, y.Bytes))
	})
	d.Transfers = append(d.Transfers, v.wire.transfers...)
	d.Writes = append(d.Writes, v.wire.writes...)
	for _, p := range pings {
		if p.Answered && !p.At.Add(p.RTT).Before(end) {
			p.Answered, p.RTT = false, 0
		}
		if p.Lost && !p.Ended.Before(end) {
			p.Lost, p.Ended = false, time.Time{}
		}
		d.Pings = append(d.Pings, p)
	}
}

// addQueued adds what was put into the connection's queue.
func (d *Driven) addQueued(v *visit, closed, end time.Time) {
	all, slow := v.queued(closed)
	if slow {
		v.ends(apmws.CauseSlowConsumer, semconv.None, "server")
	}
	before := time.Time{} // when the last one left
	for _, q := range all {
		begun := q.At
		if before.After(begun) {
			begun = before
		}
		if !q.Done.Before(end) {
			q.Done, q.Dropped = time.Time{}, false
		}
		if q.Broadcast != nil && q.At.Before(end) {
			q.Broadcast.follow(q, begun)
		}
		before = q.Done
		d.Queued = append(d.Queued, q)
	}
}

// sorted returns what was before the end, by time and place.
func sorted[T any](all []T, end time.Time, of func(T) (time.Time, *Place)) []T {
	before := slices.DeleteFunc(slices.Clone(all), func(x T) bool {
		at, _ := of(x)
		return !at.Before(end)
	})
	slices.SortStableFunc(before, func(x, y T) int {
		a, p := of(x)
		b, q := of(y)
		return cmp.Or(a.Compare(b), cmp.Compare(p.Node, q.Node), cmp.Compare(p.Route, q.Route))
	})
	return before
}

// told is why a connection has ended, as the telemetry is to say.
type told struct {
	cause           apmws.CloseCause
	code, initiator string
}
