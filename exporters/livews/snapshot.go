package livews

import (
	"cmp"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// document describes the present. Traffic is held up for no longer than it
// takes to copy one transaction.
func (v *View) document(since uint64) *Document {
	e := v.history.since(since)
	d := &Document{
		Instance: v.instance, Seq: e.seq, Time: time.Now().UnixMilli(),
		Limits: Limits{
			Connections: v.opts.Connections, Transactions: v.opts.Transactions,
			Failures: failuresKept(v.opts.Transactions), Spans: v.opts.MaxSpans,
		},
		Connections:   []Connection{},
		Running:       make([]Transaction, 0, len(e.running)),
		RunningTotal:  e.runningTotal,
		Transactions:  make([]Transaction, 0, len(e.finished)),
		FinishedTotal: e.finishedTotal,
	}
	for _, t := range e.running {
		d.Running = append(d.Running, t.describe(0))
	}
	for _, t := range e.finished {
		d.Transactions = append(d.Transactions, t.describe(t.seq))
	}
	agent := v.agent.Load()
	var stats apmws.Stats
	if agent != nil {
		d.Attached = true
		stats = agent.Stats()
		d.Connections = newest(agent.Connections(), v.opts.Connections)
	}
	d.Totals = totals(&stats)
	if x := stats.Drain; x != nil {
		d.Drain = &Drain{Open: x.Open, Closed: x.Closed, CutOff: x.CutOff, Drained: x.Drained}
	}
	d.Calls, d.CallsTotal = calls(&stats)
	return d
}

// newest describes the last n of a list that is ordered by age.
func newest(infos []apmws.ConnInfo, n int) []Connection {
	infos = infos[max(0, len(infos)-n):]
	list := make([]Connection, 0, len(infos))
	for _, c := range slices.Backward(infos) {
		list = append(list, Connection{
			ID: c.ID, User: cut(c.User, maxText), Route: c.Route, Peer: cut(whereFrom(c), maxText), Opened: c.Opened.UnixMilli(),
			MessagesReceived: c.MessagesReceived, MessagesSent: c.MessagesSent,
			BytesReceived: c.BytesReceived, BytesSent: c.BytesSent, RTT: int64(c.PingRTT),
			MessagesQueued: c.MessagesQueued,
		})
	}
	return list
}

// whereFrom returns the client's address where a proxy is in between, else the
// socket's.
func whereFrom(c apmws.ConnInfo) string {
	if c.Client == "" || c.Client == host(c.Peer) {
		return c.Peer
	}
	return c.Client
}

// totals adds the routes up.
func totals(stats *apmws.Stats) Totals {
	t := Totals{RefusedBy: []Refused{}, ClosedBy: []Closed{}, DroppedBy: []Dropped{}}
	for _, r := range stats.Routes {
		t.Active += r.ConnectionsActive
		t.Opened += r.ConnectionsOpened
		t.MessagesReceived += r.MessagesReceived
		t.MessagesSent += r.MessagesSent
		t.BytesReceived += r.BytesReceived
		t.BytesSent += r.BytesSent
		for _, x := range r.Refused {
			t.Refused += x.Count
			t.addRefused(x)
		}
		for _, x := range r.Closed {
			t.Closed += x.Count
			t.addClosed(x)
		}
	}
	for _, x := range stats.Dropped {
		t.Dropped += x.Count
		t.DroppedBy = append(t.DroppedBy, Dropped{Exporter: x.Exporter, Reason: x.Reason, Count: x.Count})
	}
	slices.SortStableFunc(t.RefusedBy, func(a, b Refused) int { return cmp.Compare(b.Count, a.Count) })
	slices.SortStableFunc(t.ClosedBy, func(a, b Closed) int { return cmp.Compare(b.Count, a.Count) })
	return t
}

func (t *Totals) addRefused(x apmws.RefusedStats) {
	i := slices.IndexFunc(t.RefusedBy, func(known Refused) bool {
		return known.Status == x.Status && known.Reason == x.Reason
	})
	if i < 0 {
		t.RefusedBy = append(t.RefusedBy, Refused{Status: x.Status, Reason: x.Reason, Count: x.Count})
		return
	}
	t.RefusedBy[i].Count += x.Count
}

func (t *Totals) addClosed(x apmws.ClosedStats) {
	i := slices.IndexFunc(t.ClosedBy, func(known Closed) bool { return known.Cause == string(x.Cause) })
	if i < 0 {
		t.ClosedBy = append(t.ClosedBy, Closed{Cause: string(x.Cause), Outcome: string(x.Cause.Outcome()), Count: x.Count})
		return
	}
	t.ClosedBy[i].Count += x.Count
}

// describe copies a transaction.
func (t *transaction) describe(seq uint64) Transaction {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := Transaction{
		ID: t.id, Seq: seq, Type: t.typ, Name: t.name,
		Connection: t.connection, Route: t.route, User: t.user,
		Start: t.start.UnixMilli(), Result: t.result, Outcome: string(t.outcome),
		Attrs: t.attrs.describe(), AttrsDropped: t.attrs.dropped,
		Spans: make([]Span, 0, len(t.spans)), SpansDropped: t.spansDropped,
	}
	if t.ended {
		d.Duration = new(int64)
		*d.Duration = int64(t.duration)
	}
	if t.failure != nil {
		d.Error = &Error{Message: t.failure.message, Type: t.failure.typ}
	}
	for _, s := range t.spans {
		x := Span{
			Number: s.number, Parent: s.parent, Name: s.name, Type: s.typ, Destination: s.destination,
			Offset: int64(s.start.Sub(t.start)), Outcome: string(s.outcome), Attrs: s.attrs.describe(),
		}
		if s.ended {
			x.Duration = new(int64)
			*x.Duration = int64(s.duration)
		}
		d.Spans = append(d.Spans, x)
	}
	return d
}

func (a *attributes) describe() Attributes {
	list := make(Attributes, 0, len(a.list))
	for _, attr := range a.list {
		list = append(list, Attribute{Name: attr.Key, Value: jsonValue(attr.Value)})
	}
	return list
}

// maxExact is the greatest integer up to which JavaScript holds each one.
const maxExact = 1<<53 - 1

// jsonValue returns a value that JSON and JavaScript can hold.
func jsonValue(v slog.Value) any {
	switch v.Kind() {
	case slog.KindInt64:
		if n := v.Int64(); n > maxExact || n < -maxExact {
			return v.String()
		}
	case slog.KindUint64:
		if v.Uint64() > maxExact {
			return v.String()
		}
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
	default:
	}
	return v.Any()
}
