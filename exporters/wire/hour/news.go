package hour

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// The route of the news leaves to the library what others do by hand: its readers
// are pinged, told to come anew when they are old, and sent away when they do not
// keep up. When it pings and how old is old are left to chance by the library, which
// is why these alone are not the same in two simulations.
const (
	routeNews = "/ws/news"

	newsHeadline = "news.headline"
	newsAlert    = "news.alert"
	newsRead     = "news.read"

	// headlines is the time from one headline to the next. Each tenth is an alert.
	headlines = 8 * time.Second
	// newsAge is the greatest age of a reader.
	newsAge = 20 * time.Minute
	// newsQueue is how many messages may wait for a reader.
	newsQueue = 8
	// newsPatience is how long a reader may be silent. One that does not read is
	// sent away before: the socket and the queue are full after some 100 seconds.
	newsPatience = 150 * time.Second
	// readPause is for how long a reader may read nothing and keep up.
	readPause = 65 * time.Second
)

func newsNames() []string { return []string{newsRead} }

// newsOptions are those of the endpoint.
func newsOptions(opts apmws.EndpointOptions) apmws.EndpointOptions {
	opts.Heartbeat = apmws.Heartbeat{Timeout: newsPatience}
	opts.MaxAge = newsAge
	opts.SendQueue = apmws.SendQueue{Messages: newsQueue, Policy: apmws.Disconnect}
	opts.WriteTimeout = 2 * newsPatience // the queue is full before
	return opts
}

// read handles what readers say.
func (n *node) read(ctx context.Context, v *visit, _ envelope) error {
	time.Sleep(v.server.lasts(time.Millisecond, 0.5))
	v.enqueue(nil)
	return v.member.Send(ctx, apmws.TextMessage, []byte(`{"type":"ack"}`))
}

// publish tells the readers the news until stop is closed.
func (n *node) publish(stop <-chan struct{}) {
	c := newChance(uint64(len(n.name)), uint64(n.name[len(n.name)-1]))
	ticker := time.NewTicker(headlines)
	defer ticker.Stop()
	for i := 1; ; i++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		name := newsHeadline
		if i%10 == 0 {
			name = newsAlert
		}
		text := strings.Repeat("z", 500+c.IntN(400))
		n.broadcast(name, fmt.Sprintf(`{"type":%q,"text":%q}`, name, text))
	}
}

func (n *node) broadcast(name, data string) {
	var members []*apmws.Conn
	b := &Broadcast{
		Place: Place{Service: n.service, Environment: n.environment, Node: n.name, Route: routeNews}, At: time.Now(), Name: name, Length: len(data),
	}
	for _, v := range n.visits() {
		if v.route == routeNews {
			members = append(members, v.member)
			v.enqueue(b)
		}
	}
	if len(members) == 0 {
		return
	}
	b.Recipients = len(members)
	note(n.script.book, &n.script.book.broadcasts, b)
	n.agent.Broadcast(context.Background(), apmws.Message{Type: apmws.TextMessage, Data: []byte(data)}, slices.Values(members), apmws.BroadcastOptions{})
}

// addressed is a message that was put into a visit's send queue.
type addressed struct {
	at time.Time
	of *Broadcast // nil: it is of none
}

func (v *visit) enqueue(of *Broadcast) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.addressed = append(v.addressed, addressed{time.Now(), of})
}

// queued follows the messages through the visit's queue: which of them passed the
// socket, and when, is what the network has seen; the rest follows from the size of
// the queue. It reports whether the reader was sent away for being slow.
func (v *visit) queued(closed time.Time) (all []Queued, slow bool) {
	var passed []time.Time // when each message was written
	for _, t := range v.wire.transfers {
		for range t.Messages {
			if !t.Received {
				passed = append(passed, t.At)
			}
		}
	}
	slices.SortFunc(passed, time.Time.Compare)
	written := 0 // how many of them have left the queue
	var waiting []int
	settle := func(until time.Time) {
		for len(waiting) > 0 && written < len(passed) && !passed[written].After(until) {
			all[waiting[0]].Done = passed[written]
			waiting, written = waiting[1:], written+1
		}
	}
	for i, a := range v.addressed {
		all = append(all, Queued{Place: v.place, At: a.at, Broadcast: a.of})
		settle(a.at)
		switch {
		case slow:
			all[i].Done, all[i].Dropped = a.at, true
		case len(waiting) == newsQueue:
			slow = true
			for _, j := range append(waiting[1:], i) { // the first is being written
				all[j].Done, all[j].Dropped = a.at, true
			}
			waiting = waiting[:1]
		default:
			waiting = append(waiting, i)
			settle(a.at)
		}
	}
	if closed.IsZero() {
		return all, slow
	}
	settle(closed)
	for _, i := range waiting {
		all[i].Done, all[i].Dropped = closed, true
	}
	return all, slow
}

// follow notes what became of a broadcast's message for one recipient. The write of
// a queue's first begins when that before it has left.
func (b *Broadcast) follow(q Queued, begun time.Time) {
	if q.Dropped {
		b.Failed++
	}
	if q.Done.IsZero() {
		b.open = true
		return
	}
	b.Took = max(b.Took, q.Done.Sub(b.At))
	if begun.Before(q.Done) {
		b.Slowest = max(b.Slowest, q.Done.Sub(begun))
	}
}

// peerLost reports whether the library has given a peer up.
func peerLost(err error) bool { return errors.Is(err, apmws.ErrPeerLost) }
