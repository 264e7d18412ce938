package apmws

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// Stats are the agent's exact counters and histograms at one moment. They are
// cumulative since New and owned by the caller.
type Stats struct {
	Time    time.Time
	Routes  []RouteStats // by name
	Dropped []Dropped    // telemetry that was given up; traffic was not affected
	Drain   *DrainStats  // nil: Shutdown has not been called
}

// RouteStats are the counters and histograms of one route.
type RouteStats struct {
	Route string

	ConnectionsActive int64 // open now
	ConnectionsOpened int64
	Refused           []RefusedStats // by status and reason
	Closed            []ClosedStats  // by cause

	MessagesReceived, MessagesSent int64 // as they passed on the wire
	BytesReceived, BytesSent       int64 // payload of data frames on the wire, compressed where it is
	PingsUnanswered                int64 // pings sent for which no pong came
	SendQueueMessages              int64 // that wait in send queues now
	SendQueueDropped               int64 // that send queues gave up

	ConnectionDuration Histogram
	PingRTT            Histogram
	WriteDuration      Histogram      // time blocked in writes to the peer
	Messages           []MessageStats // by name and outcome: those handled by Serve or StartMessage

	Calls []CallStats // outbound HTTP requests through Transport, by name and address
}

// RefusedStats counts refused handshakes. Status 0: there was no answer.
type RefusedStats struct {
	Status int
	Reason string
	Count  int64
}

// ClosedStats counts closed connections.
type ClosedStats struct {
	Cause CloseCause
	Count int64
}

// MessageStats is the distribution of message handling times.
type MessageStats struct {
	Name     string
	Outcome  Outcome
	Duration Histogram
}

// route is a route's state: its options, counters and histograms.
type route struct {
	name     string
	messages MessageOptions
	names    messageNames // of messages received
	sends    messageNames // of messages sent

	heartbeat atomic.Pointer[Heartbeat] // the last one of Conn.Heartbeat

	counters           counters
	connectionDuration histogram
	pingRTT            histogram
	writeDuration      histogram

	refusals growMap[refusalKey, atomic.Int64] // statuses are bounded by HTTP, reasons are registered
	calls    growMap[callKey, atomic.Int64]    // bounded by maxCallKeys
}

type refusalKey struct {
	status int
	reason string
}

func newRoute(name string, opts MessageOptions) *route {
	r := &route{
		name: name, messages: opts,
		names: newMessageNames(opts.Names),
		sends: newMessageNames(opts.Names),
	}
	r.sends.add(opts.SendNames)
	return r
}

// counters of one route. What changes with every message is sharded, so that
// connections on different cores do not meet in one cache line.
type counters struct {
	opened          atomic.Int64
	pingsUnanswered atomic.Int64
	closedBy        [len(closeCauses)]atomic.Int64
	shards          [counterShards]counterShard
}

const counterShards = 8

type counterShard struct {
	messagesReceived, messagesSent atomic.Int64
	bytesReceived, bytesSent       atomic.Int64
	queued, queueDropped           atomic.Int64
	_                              [128 - 6*8]byte // two cache lines: adjacent ones are fetched together
}

func (c *counters) received(shard int, passed frameCount) {
	s := &c.shards[shard%counterShards]
	s.bytesReceived.Add(passed.bytes)
	if passed.messages != 0 {
		s.messagesReceived.Add(passed.messages)
	}
}

func (c *counters) sent(shard int, passed frameCount) {
	s := &c.shards[shard%counterShards]
	s.bytesSent.Add(passed.bytes)
	if passed.messages != 0 {
		s.messagesSent.Add(passed.messages)
	}
}

func (c *counters) closed(cause CloseCause) {
	c.closedBy[slices.Index(closeCauses[:], cause)].Add(1)
}

// connections returns what was opened and closed at one moment, so that the
// difference is what was open then: it reads until nothing was opened meanwhile.
// Should that never be, the difference is too large, but not negative.
func (c *counters) connections() (opened int64, closed [len(closeCauses)]int64) {
	opened = c.opened.Load()
	for range 100 {
		for i := range closed {
			closed[i] = c.closedBy[i].Load()
		}
		again := c.opened.Load()
		if again == opened {
			break
		}
		opened = again
	}
	return opened, closed
}

// refused counts a refusal.
func (r *route) refused(status int, reason string) {
	if status < 0 || status > 999 {
		status = 0
	}
	r.refusals.get(refusalKey{status, reason}).Add(1)
}

func (a *Agent) stats() Stats {
	s := Stats{Time: time.Now()}
	for _, r := range a.routeList() {
		s.Routes = append(s.Routes, r.stats())
	}
	slices.SortFunc(s.Routes, func(x, y RouteStats) int { return cmp.Compare(x.Route, y.Route) })
	var capped int64
	if a.sampler != nil {
		capped = a.sampler.capped.Load()
	}
	for _, d := range []Dropped{
		{coreName, "malformed_trace_context", a.drops.traceContexts.Load()},
		{coreName, "too_many_attributes", a.drops.attributes.Load()},
		{coreName, "callback_panic", a.drops.callbacks.Load()},
		{coreName, "too_many_routes", a.drops.routes.Load()},
		{coreName, "too_many_hosts", a.drops.hosts.Load()},
		{coreName, "rate_cap", capped},
	} {
		if d.Count > 0 {
			s.Dropped = append(s.Dropped, d)
		}
	}
	s.Dropped = append(s.Dropped, a.exporter.Dropped()...)
	s.Drain = a.drainStats()
	return s
}

// coreName is the core among the exporters in Dropped.
const coreName = "apmws"

func (r *route) stats() RouteStats {
	s := RouteStats{Route: r.name}
	opened, closed := r.counters.connections()
	s.ConnectionsOpened, s.ConnectionsActive = opened, opened
	for i, n := range closed {
		if n > 0 {
			s.Closed = append(s.Closed, ClosedStats{closeCauses[i], n})
			s.ConnectionsActive -= n
		}
	}
	for i := range r.counters.shards {
		shard := &r.counters.shards[i]
		s.MessagesReceived += shard.messagesReceived.Load()
		s.MessagesSent += shard.messagesSent.Load()
		s.BytesReceived += shard.bytesReceived.Load()
		s.BytesSent += shard.bytesSent.Load()
		s.SendQueueMessages += shard.queued.Load()
		s.SendQueueDropped += shard.queueDropped.Load()
	}
	s.PingsUnanswered = r.counters.pingsUnanswered.Load()
	s.ConnectionDuration = r.connectionDuration.snapshot()
	s.PingRTT = r.pingRTT.snapshot()
	s.WriteDuration = r.writeDuration.snapshot()

	for key, n := range r.refusals.all() {
		s.Refused = append(s.Refused, RefusedStats{key.status, key.reason, n.Load()})
	}
	slices.SortFunc(s.Refused, func(x, y RefusedStats) int {
		return cmp.Or(cmp.Compare(x.Status, y.Status), cmp.Compare(x.Reason, y.Reason))
	})
	s.Calls = r.callStats()
	for _, n := range r.names.registered {
		for outcome, h := range map[Outcome]*histogram{OutcomeSuccess: &n.success, OutcomeFailure: &n.failures} {
			if took := h.snapshot(); took.Count > 0 {
				s.Messages = append(s.Messages, MessageStats{n.name, outcome, took})
			}
		}
	}
	slices.SortFunc(s.Messages, func(x, y MessageStats) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Outcome, y.Outcome))
	})
	return s
}

// shardOf spreads connections over shards by their random id.
func shardOf(id string) int { return int(id[0]) ^ int(id[1])<<2 }
