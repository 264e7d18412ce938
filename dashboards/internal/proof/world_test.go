//go:build !race

package proof

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/wire/hour"
	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// fact is something that was driven in, and that documents tell.
type fact struct {
	hour.Place

	// told is the time of the document that tells it, to the millisecond. That of a
	// counter is the time of the next report of its node.
	told time.Time
	n    float64       // how many, or how much
	took time.Duration // of what took time
	size float64       // of a message, in bytes

	user, address, id             string
	status, reason                string // of handshakes
	cause, code, initiator        string // of ends
	name, result, text, culprit   string // of messages, errors, spans and calls; the name is that of the transaction or span
	failed                        bool
	transaction, destination, typ string
	host                          string        // that was called
	recipients, missed            float64       // of a broadcast
	slowest                       time.Duration // of its writes
	connection                    *hour.Connection
}

// facts are in the order of the times at which they are told.
type facts []*fact

func (f facts) where(is func(*fact) bool) facts {
	var some facts
	for _, x := range f {
		if is(x) {
			some = append(some, x)
		}
	}
	return some
}

// between returns those that are told from one time on, and before another.
func (f facts) between(from, to time.Time) facts {
	first := func(at time.Time) int {
		return sort.Search(len(f), func(i int) bool { return !f[i].told.Before(at) })
	}
	return f[first(from):first(to)]
}

// together returns all of two lists.
func together(a, b facts) facts {
	all := slices.Concat(a, b)
	all.sort()
	return all
}

func (f facts) sort() {
	slices.SortStableFunc(f, func(a, b *fact) int { return a.told.Compare(b.told) })
}

func (f facts) total() float64 {
	sum := 0.0
	for _, x := range f {
		sum += x.n
	}
	return sum
}

func (f facts) seconds() float64 {
	sum := 0.0
	for _, x := range f {
		sum += x.took.Seconds() * x.n
	}
	return sum
}

// distinct returns how many values there are, without the empty one.
func (f facts) distinct(of func(*fact) string) float64 {
	values := make(map[string]bool)
	for _, x := range f {
		values[of(x)] = true
	}
	delete(values, "")
	return float64(len(values))
}

// world is what dashboards can tell: the driven lists by what tells them, and when.
// Of the documents it takes the times and ids alone, never a value.
type world struct {
	start, end time.Time
	interval   time.Duration // of charts over time

	// Of metrics.
	gauge                                             facts // open connections, at each report of a node and route
	opened, refused, closed                           facts
	received, sent, bytesIn, bytesOut                 facts
	handled, rtt, unanswered, blocked, dropped, calls facts
	outbound                                          facts // calls through apmws.Transport
	waiting                                           facts // in send queues, at each report of a node and route
	givenUp                                           facts // by send queues

	// Of transactions, spans and errors.
	connects, messages, ends, spans, errors, broadcasts facts
}

// lists returns all lists.
func (w *world) lists() []*facts {
	return []*facts{
		&w.gauge, &w.opened, &w.refused, &w.closed, &w.received, &w.sent, &w.bytesIn, &w.bytesOut, &w.handled, &w.rtt,
		&w.unanswered, &w.blocked, &w.dropped, &w.calls, &w.outbound, &w.waiting, &w.givenUp, &w.broadcasts, &w.connects, &w.messages, &w.ends, &w.spans, &w.errors,
	}
}

// only is what a control leaves of the world.
func (w *world) only(is func(hour.Place) bool) *world {
	some := *w
	for _, list := range some.lists() {
		*list = list.where(func(x *fact) bool { return is(x.Place) })
	}
	return &some
}

// last is what the end of the hour leaves of the world, in intervals.
func (w *world) last(length, interval time.Duration) *world {
	some := *w
	some.start, some.interval = w.end.Add(-length), interval
	return &some
}

// instant is when something began on a node, in µs since 1970: nothing else began
// there at that time.
type instant struct {
	node string
	us   int64
}

// index is what documents tell beside values.
type index struct {
	reports      map[hour.Place][]time.Time // of the gauge of each node and route
	byNode       map[string][]time.Time
	connections  map[instant]string // ids, by the handshakes
	transactions map[instant]string // ids of messages
	flushed      time.Time          // what ended later may not have been sent
}

func newIndex(r *hour.Recording) (*index, error) {
	x := &index{
		reports: make(map[hour.Place][]time.Time), byNode: make(map[string][]time.Time),
		connections: make(map[instant]string), transactions: make(map[instant]string), flushed: r.End.Add(-time.Millisecond),
	}
	for _, d := range r.Documents {
		key := instant{d.Text("service.node.name"), int64(d.Number("timestamp.us"))}
		var ids map[instant]string
		switch {
		case d["websocket.connections.active"] != nil:
			if err := x.addReport(d); err != nil {
				return nil, err
			}
			continue
		case d.Text("processor.event") != "transaction":
			continue
		case d.Text("labels.websocket_event") == "connect":
			ids = x.connections
			ids[key] += d.Text("labels.websocket_connection_id")
		case d.Text("labels.websocket_event") == "message":
			ids = x.transactions
			ids[key] += d.Text("transaction.id")
		}
		const digits = 16
		if ids != nil && len(ids[key]) != digits {
			return nil, fmt.Errorf("at %v there are %q", key, ids[key])
		}
	}
	for node, times := range x.byNode {
		slices.SortFunc(times, time.Time.Compare)
		x.byNode[node] = slices.Compact(times)
	}
	return x, nil
}

func (x *index) addReport(d intake.Document) error {
	at, err := time.Parse(time.RFC3339, d.Text("@timestamp"))
	if err != nil {
		return err
	}
	place := hour.Place{
		Service: d.Text("service.name"), Environment: d.Text("service.environment"), Node: d.Text("service.node.name"),
		Route: d.Text("labels.http_route"),
	}
	x.reports[place] = append(x.reports[place], at)
	x.byNode[place.Node] = append(x.byNode[place.Node], at)
	return nil
}

// report returns when a node next reported, after something happened. Zero: never.
func (x *index) report(node string, at time.Time) time.Time {
	times := x.byNode[node]
	i, _ := slices.BinarySearchFunc(times, at, func(report, at time.Time) int {
		return cmp.Or(report.Compare(at), -1) // what happens at the same time comes too late
	})
	if i == len(times) {
		return time.Time{}
	}
	return times[i]
}

func instantOf(node string, at time.Time) instant { return instant{node, at.UnixMicro()} }

func newWorld(r *hour.Recording) (*world, error) {
	x, err := newIndex(r)
	if err != nil {
		return nil, err
	}
	w := &world{start: r.Start, end: r.End, interval: time.Minute}
	ids := make(map[*hour.Connection]string)
	for _, c := range r.Driven.Connections {
		if ids[c] = x.connections[instantOf(c.Node, c.Opened)]; ids[c] == "" && c.Opened.Add(c.HandshakeTook).Before(x.flushed) {
			return nil, fmt.Errorf("no transaction tells of the handshake of %+v", c)
		}
	}
	w.addMetrics(r.Driven, x)
	err = errors.Join(w.addHandshakes(r.Driven, x, ids), w.addMessages(r.Driven, x, ids), w.addEnds(r.Driven, x, ids))
	for _, list := range w.lists() {
		list.sort()
	}
	return w, err
}

// count adds to a counter.
func (x *index) count(list *facts, at time.Time, f fact) {
	if f.told = x.report(f.Node, at); !f.told.IsZero() {
		*list = append(*list, &f)
	}
}

// tell adds what a document of its own tells.
func (x *index) tell(list *facts, at, complete time.Time, f fact) {
	if f.told = at.Truncate(time.Millisecond); complete.Before(x.flushed) {
		*list = append(*list, &f)
	}
}

func (w *world) addMetrics(d *hour.Driven, x *index) {
	for place, times := range x.reports {
		for _, at := range times {
			open := 0.0
			for _, c := range d.Connections {
				if c.Place == place && c.OpenAt(at) {
					open++
				}
			}
			w.gauge = append(w.gauge, &fact{Place: place, told: at, n: open})
			waiting := 0.0
			for i := range d.Queued {
				if q := &d.Queued[i]; q.Place == place && q.WaitsAt(at) {
					waiting++
				}
			}
			w.waiting = append(w.waiting, &fact{Place: place, told: at, n: waiting})
		}
	}
	for _, c := range d.Connections {
		x.count(&w.opened, c.Opened.Add(c.HandshakeTook), fact{Place: c.Place, n: 1})
		if !c.Closed.IsZero() {
			at := c.Closed
			if c.Cause == apmws.CauseDrain { // a drained node reports as soon as the last one has ended
				at = at.Truncate(time.Millisecond).Add(-1)
			}
			x.count(&w.closed, at, fact{Place: c.Place, n: 1, took: c.Closed.Sub(c.Opened), cause: string(c.Cause)})
		}
	}
	for _, r := range d.Refusals {
		x.count(&w.refused, r.At.Add(r.Took), fact{Place: r.Place, n: 1, status: fmt.Sprint(r.Status), reason: r.Reason})
	}
	for _, t := range d.Transfers {
		messages, bytes := &w.sent, &w.bytesOut
		if t.Received {
			messages, bytes = &w.received, &w.bytesIn
		}
		x.count(messages, t.At, fact{Place: t.Place, n: float64(t.Messages)})
		x.count(bytes, t.At, fact{Place: t.Place, n: float64(t.Bytes)})
	}
	for _, m := range d.Messages {
		x.count(&w.handled, m.Done(), fact{
			Place: m.Place, n: 1, took: m.Took, name: m.Name, failed: m.Failed(), result: m.Result, text: withoutAddresses(m.Error),
		})
	}
	for _, p := range d.Pings {
		if p.Answered {
			x.count(&w.rtt, p.At.Add(p.RTT), fact{Place: p.Place, n: 1, took: p.RTT})
		}
		if p.Lost {
			x.count(&w.unanswered, p.Ended, fact{Place: p.Place, n: 1})
		}
	}
	for _, b := range d.Writes {
		x.count(&w.blocked, b.At, fact{Place: b.Place, n: 1, took: b.Blocked})
	}
	for _, q := range d.Queued {
		if q.Dropped {
			x.count(&w.givenUp, q.Done, fact{Place: q.Place, n: 1})
		}
	}
	for _, b := range d.Broadcasts {
		if b.Complete() {
			x.tell(&w.broadcasts, b.At, b.At.Add(b.Took), fact{
				Place: b.Place, n: 1, took: b.Took, name: "broadcast " + b.Name, recipients: float64(b.Recipients), missed: float64(b.Failed),
				slowest: b.Slowest,
			})
		}
	}
	for _, c := range d.Calls {
		if c.Host != "" {
			x.count(&w.outbound, c.At, fact{Place: c.Place, n: 1, host: c.Host, name: c.From})
		}
	}
	for _, e := range d.MalformedTraceContexts {
		e.Route = "" // it is not told by route
		x.count(&w.dropped, e.At, fact{Place: e.Place, n: 1, reason: "apmws › malformed_trace_context"})
	}
}

// isEndpoint says whether a route is one of apmws' endpoints, whose parts have spans.
func isEndpoint(p hour.Place) bool { return p.Route != "/ws/notify" }

func (w *world) addHandshakes(d *hour.Driven, x *index, ids map[*hour.Connection]string) error {
	handshake := func(at time.Time, f fact) {
		done := at.Add(f.took)
		f.n, f.name = 1, "CONNECT "+f.Route
		x.tell(&w.connects, at, done, f)
		// The answer to these is the agent's own, or gorilla's, and comes before all else.
		if !isEndpoint(f.Place) || slices.Contains([]string{"draining", "origin", "bad_handshake"}, f.reason) {
			return
		}
		x.tell(&w.spans, at, done, fact{Place: f.Place, n: 1, took: f.took, name: "authenticate", typ: "app"})
		if f.reason == "" {
			x.tell(&w.spans, done, done, fact{Place: f.Place, n: 1, name: "upgrade", typ: "websocket"})
		}
	}
	for _, c := range d.Connections {
		handshake(c.Opened, fact{Place: c.Place, took: c.HandshakeTook, user: c.User, address: c.Address, status: "101", id: ids[c], connection: c})
	}
	for _, r := range d.Refusals {
		id := x.connections[instantOf(r.Node, r.At)]
		handshake(r.At, fact{
			Place: r.Place, took: r.Took, user: r.User, address: r.Address, status: fmt.Sprint(r.Status), reason: r.Reason, id: id, failed: true,
		})
		if id == "" && r.At.Add(r.Took).Before(x.flushed) {
			return fmt.Errorf("no transaction tells of %+v", r)
		}
	}
	return nil
}

// typeOfSpan is the type of the spans of calls, as the script has it.
var typeOfSpan = map[string]string{
	"GET session": "db", "PUBLISH": "messaging", "INSERT INTO messages": "db", "SELECT FROM rooms": "db",
	"SELECT FROM messages": "db", "GET api.billing.example": "external", "PUT files.example": "external",
	"GET market.example": "external",
}

func (w *world) addMessages(d *hour.Driven, x *index, ids map[*hour.Connection]string) error {
	sampled := make(map[instant]bool)
	for _, m := range d.Messages {
		at := instantOf(m.Node, m.At)
		id, kept := x.transactions[at]
		f := fact{
			Place: m.Place, n: 1, took: m.Took, name: m.Name, result: m.Result, failed: m.Failed(), text: withoutAddresses(m.Error),
			user: m.Connection.User, id: ids[m.Connection], transaction: id, connection: m.Connection, culprit: m.Name,
		}
		if m.Result == "panic" {
			f.culprit = "(*node).room"
		}
		if f.failed { // each failure makes an error, when it is known
			x.tell(&w.errors, m.Done(), m.Done(), f)
		}
		if sampled[at] = kept; kept {
			f.size = float64(m.Length)
			x.tell(&w.messages, m.At, m.Done(), f)
		} else if (m.Service != "feeds" || m.Failed() || m.Took >= hour.SlowFrom) && m.Done().Before(x.flushed) {
			return fmt.Errorf("no transaction tells of %+v", m)
		}
	}
	return w.addCalls(d, x, sampled)
}

// addCalls adds exit spans. The feeds' messages are sampled: what is called in one of
// them at its beginning, as all of that is, is told if the message is.
func (w *world) addCalls(d *hour.Driven, x *index, sampled map[instant]bool) error {
	for _, c := range d.Calls {
		if c.From == semconv.None {
			continue // of no transaction
		}
		done, weight := c.At.Add(c.Took), 1.0
		typ, ok := typeOfSpan[c.Name]
		if !ok {
			return fmt.Errorf("a span of the name %q", c.Name)
		}
		if c.Service == "feeds" && c.From != semconv.Handshake {
			weight = 1 / hour.SampleRate
			told, ok := sampled[instantOf(c.Node, c.At)]
			if !ok {
				return fmt.Errorf("no message began with %+v", c)
			}
			if !told {
				continue
			}
		}
		x.tell(&w.spans, c.At, done, fact{
			Place: c.Place, n: 1, took: c.Took, name: c.Name, typ: typ, failed: c.Outcome == apmws.OutcomeFailure,
		})
		f := fact{Place: c.Place, n: weight, took: c.Took, destination: c.Destination, failed: c.Outcome == apmws.OutcomeFailure}
		f.Route, f.Node = "", "" // it is told by service alone
		x.tell(&w.calls, c.At.Truncate(time.Minute), done, f)
	}
	return nil
}

// isFault says whether an end of that cause is an error of the server.
func isFault(cause string) bool {
	return cause == string(apmws.CauseSlowConsumer) || cause == string(apmws.CauseWriteError) || cause == string(apmws.CauseHandlerError) || cause == string(apmws.CausePanic)
}

func (w *world) addEnds(d *hour.Driven, x *index, ids map[*hour.Connection]string) error {
	failure := make(map[*hour.Connection]*hour.Message)
	for _, m := range d.Messages {
		if m.Failed() {
			failure[m.Connection] = m
		}
	}
	for _, c := range d.Connections {
		if c.Closed.IsZero() {
			continue
		}
		f := fact{
			Place: c.Place, n: 1, took: c.Closed.Sub(c.Opened), name: "DISCONNECT " + c.Route, cause: string(c.Cause), code: c.Code,
			initiator: c.Initiator, user: c.User, id: ids[c], connection: c,
		}
		x.tell(&w.ends, c.Closed, c.Closed, f)
		if !isFault(f.cause) {
			continue
		}
		if c.Cause == apmws.CauseSlowConsumer {
			f.text, f.culprit = "slow consumer: the send queue is full", f.name
			x.tell(&w.errors, c.Closed, c.Closed, f)
			continue
		}
		// It is the failure of the last message that ended the connection.
		m := failure[c]
		if m == nil {
			return fmt.Errorf("no message has ended %+v", c)
		}
		f.text, f.culprit = withoutAddresses(m.Error), f.name
		if c.Cause == apmws.CausePanic {
			f.culprit = "(*node).room"
		}
		x.tell(&w.errors, c.Closed, c.Closed, f)
	}
	return nil
}

// withoutAddresses returns the text of an error as the library tells it: errors are
// grouped by their text, so peers' addresses are taken out.
func withoutAddresses(text string) string {
	before, after, found := strings.Cut(text, "->")
	if !found {
		return text
	}
	_, after, _ = strings.Cut(after, ": ")
	return before[:strings.LastIndex(before, " ")] + ": " + after
}
