//go:build !race

package proof

import (
	"slices"
	"strings"
	"time"
)

// Keys by which charts and tables are split.
func node(x *fact) string            { return x.Node }
func route(x *fact) string           { return x.Route }
func name(x *fact) string            { return x.name }
func cause(x *fact) string           { return x.cause }
func code(x *fact) string            { return x.code }
func reason(x *fact) string          { return x.reason }
func result(x *fact) string          { return x.result }
func group(x *fact) string           { return x.text }
func user(x *fact) string            { return x.user }
func address(x *fact) string         { return x.address }
func id(x *fact) string              { return x.id }
func serviceAndNode(x *fact) string  { return x.Service + " › " + x.Node }
func serviceAndRoute(x *fact) string { return x.Service + " › " + x.Route }
func initiator(x *fact) string       { return x.initiator }
func destination(x *fact) string     { return x.destination }
func hostAndCaller(x *fact) string   { return x.host + " › " + x.name }

const (
	largest = 10 // series in a chart
	causes  = 13 // all close causes
	results = 5
)

func open(list facts) float64 {
	greatest := 0.0
	for _, x := range list {
		greatest = max(greatest, x.n)
	}
	return greatest
}

// ofKey sums up the facts of a list that have the same key as others, in the range.
func (w *world) ofKey(list facts, key func(*fact) string) func(facts) float64 {
	sums := make(map[string]float64)
	for _, x := range w.whole().of(list) {
		sums[key(x)] += x.n
	}
	return func(of facts) float64 { return sums[key(of[0])] }
}

// perReport is the mean of what the reports told, summed over a node's routes.
func perReport(label string, gauge facts) measure {
	return measure{label, func(w window) cell {
		at := make(map[time.Time]float64)
		for _, x := range w.of(gauge) {
			at[x.told] += x.n
		}
		if len(at) == 0 {
			return nothing() // while the node was restarted
		}
		sum := 0.0
		for _, n := range at {
			sum += n
		}
		return exact(sum / float64(len(at)))
	}}
}

// churn is the connects per hour for each open connection: of these, the mean of what nodes
// reported, times their number. Nodes report at different times, so there is no time
// of which this is the sum.
func churn(label string, opened, gauge facts) measure {
	return measure{label, func(w window) cell {
		reports := w.of(gauge)
		open := reports.total() / float64(len(reports)) * reports.distinct(node)
		if !(open > 0) {
			return nothing()
		}
		return exact(w.of(opened).total() / open / w.to.Sub(w.from).Hours())
	}}
}

func ofStatus(list facts, is func(status string) bool) facts {
	return list.where(func(x *fact) bool { return is(x.status) })
}

func perMinute(label string, list facts) measure { return sum(label, list, time.Minute) }

// histograms are the percentiles of a histogram that charts show.
func histograms(list facts) []measure {
	return []measure{histogram("p50", 0.5, list), histogram("p95", 0.95, list), histogram("p99", 0.99, list)}
}

var messageRates = one(func(w *world) table {
	return w.overTime(sum("Received", w.received, time.Second), sum("Sent", w.sent, time.Second))
})

// meanTime is told in µs. The APM Server rounds the time of each kind of call in each
// minute to whole ones.
func meanTime(w *world) measure {
	return measure{"Mean time", func(in window) cell {
		of := in.of(w.calls)
		if len(of) == 0 {
			return nothing()
		}
		const margin = 2
		return about(of.seconds()*1e6/of.total(), margin)
	}}
}

func size(x *fact) float64 { return x.size }

func charts() map[string]check {
	return map[string]check{
		"apmws-overview/Open connections by node": one(func(w *world) table {
			return w.series(w.top(largest, "Service and node", w.gauge, serviceAndNode, open), perReport("Open connections", w.gauge))
		}),
		"apmws-overview/Connects, refusals and closes per minute": one(func(w *world) table {
			return w.overTime(perMinute("Connects", w.opened), perMinute("Closes", w.closed), perMinute("Refusals", w.refused))
		}),
		"apmws-overview/Messages per second": messageRates,
		"apmws-messages/Messages per second": messageRates,
		"apmws-overview/Bytes per second": one(func(w *world) table {
			return w.overTime(sum("Received", w.bytesIn, time.Second), sum("Sent", w.bytesOut, time.Second))
		}),
		"apmws-overview/Message handling": one(func(w *world) table { return w.overTime(histograms(w.handled)...) }),
		"apmws-overview/Failed messages per minute": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Message", failed(w.handled), name, facts.total), failed(w.handled)), perMinute("Failed messages", failed(w.handled)))
		}),
		"apmws-overview/Why connections end": one(func(w *world) table {
			return w.table(w.andOthers(w.top(causes, "Cause", w.closed, cause, facts.total), w.closed), sum("Closes", w.closed, 0))
		}),
		"apmws-overview/Connects now and a week before": one(func(w *world) table {
			return w.overTime(perMinute("Now", w.opened), weekAgo("A week ago", perMinute("", w.opened)))
		}),

		"apmws-connections/Handshakes per minute by status": one(func(w *world) table {
			refused := func(label string, is func(status string) bool) measure {
				return perMinute(label, ofStatus(w.refused, is))
			}
			exactly := func(status string) measure {
				return refused(status, func(s string) bool { return s == status })
			}
			return w.overTime(perMinute("101", w.opened), exactly("401"), exactly("403"), exactly("429"),
				refused("other 4xx", func(s string) bool {
					return strings.HasPrefix(s, "4") && s != "401" && s != "403" && s != "429"
				}),
				exactly("503"),
				refused("5xx and others", func(s string) bool { return !strings.HasPrefix(s, "4") && s != "503" }),
			)
		}),
		"apmws-connections/Handshake latency": one(func(w *world) table {
			return w.overTime(quantiles("p50", 0.5, w.connects, toTenMicros, micros),
				quantiles("p95", 0.95, w.connects, toTenMicros, micros), quantiles("p99", 0.99, w.connects, toTenMicros, micros))
		}),
		"apmws-connections/Refusals per minute by reason": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Reason", w.refused, reason, facts.total), w.refused), perMinute("Refusals", w.refused))
		}),
		"apmws-connections/Closes per minute by cause": one(func(w *world) table {
			return w.series(w.andOthers(w.top(causes, "Cause", w.closed, cause, facts.total), w.closed), perMinute("Closes", w.closed))
		}),
		"apmws-connections/Reconnect churn by route": one(func(w *world) table {
			return w.series(w.top(largest, "Service and route", w.gauge, serviceAndRoute, w.ofKey(w.opened, serviceAndRoute)), churn("Churn", w.opened, w.gauge))
		}),
		"apmws-connections/How long connections lasted": one(lifetimes),
		"apmws-connections/Closes per minute by code": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Code", w.ends, code, facts.total), w.ends), perMinute("Connections", w.ends))
		}),
		"apmws-connections/Who closed": one(func(w *world) table {
			return w.table(w.andOthers(w.top(largest, "Initiator", w.ends, initiator, facts.total), w.ends), sum("Connections", w.ends, 0))
		}),
		"apmws-outbound/Outbound calls per minute by host and caller": one(func(w *world) table {
			return w.series(w.top(largest, "Host and caller", w.outbound, hostAndCaller, facts.total), perMinute("Calls", w.outbound))
		}),
		"apmws-outbound/Waiting in send queues by node": one(func(w *world) table {
			return w.series(w.top(largest, "Service and node", w.waiting, serviceAndNode, open), perReport("Waiting", w.waiting))
		}),
		"apmws-outbound/Given up by send queues per minute": one(func(w *world) table {
			byRoute := w.top(largest, "Route", w.gauge, route, w.ofKey(w.givenUp, route))
			return w.series(w.andOthers(byRoute, w.gauge), perMinute("Given up", w.givenUp))
		}),
		"apmws-outbound/Broadcasts per minute by name": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Broadcast", w.broadcasts, name, facts.total), w.broadcasts), perMinute("Broadcasts", w.broadcasts))
		}),
		"apmws-connections/Ping round trips": one(func(w *world) table { return w.overTime(histograms(w.rtt)...) }),
		"apmws-connections/Unanswered pings per minute by node": one(func(w *world) table {
			byNode := w.top(largest, "Node", w.gauge, node, w.ofKey(w.unanswered, node))
			return w.series(w.andOthers(byNode, w.gauge), perMinute("Unanswered pings", w.unanswered))
		}),
		"apmws-outbound/Time blocked in writes": one(func(w *world) table {
			longest := most("longest", w.blocked, func(x *fact) float64 { return x.took.Seconds() }, func(x float64) cell { return bucketed(x, 1) })
			return w.overTime(histogram("p99", 0.99, w.blocked), histogram("p99.9", 0.999, w.blocked), longest)
		}),

		"apmws-messages/Messages handled per minute by name": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Message", w.handled, name, facts.total), w.handled), perMinute("Handled", w.handled))
		}),
		"apmws-messages/Handling time by name, p95": one(func(w *world) table {
			return w.series(w.top(largest, "Message", w.handled, name, facts.seconds), histogram("p95", 0.95, w.handled))
		}),
		"apmws-messages/Failures per minute by kind": one(func(w *world) table {
			return w.series(w.andOthers(w.top(results, "Result", failed(w.messages), result, facts.total), failed(w.messages)), perMinute("Failures", failed(w.messages)))
		}),
		"apmws-messages/Sizes of received messages": one(func(w *world) table {
			return w.overTime(quantiles("p50", 0.5, w.messages, 0, size), quantiles("p95", 0.95, w.messages, 0, size),
				most("largest", w.messages, size, exact))
		}),
		"apmws-outbound/Calls per minute by destination": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Destination", w.calls, destination, facts.total), w.calls), perMinute("Calls", w.calls))
		}),
		"apmws-outbound/Mean time of a call by destination": one(func(w *world) table {
			return w.series(w.top(largest, "Destination", w.calls, destination, facts.total), meanTime(w))
		}),

		"apmws-errors/Errors per minute by kind": one(func(w *world) table {
			return w.series(w.andOthers(w.top(largest, "Error", w.errors, group, facts.total), w.errors), perMinute("Errors", w.errors))
		}),
		"apmws-errors/Abnormal ends per minute by cause": one(func(w *world) table {
			abnormal := ofCause(w.closed, slices.Concat(faults, lost)...)
			return w.series(w.andOthers(w.top(largest, "Cause", abnormal, cause, facts.total), abnormal), perMinute("Closes", abnormal))
		}),
	}
}

// lifetimes has a bar for each span of lifetimes, whether there are any or not.
func lifetimes(w *world) table {
	bars := split{labels: []string{"Lasted"}, key: func(x *fact) string {
		for _, bar := range []struct {
			label string
			below time.Duration
		}{
			{"<1s", time.Second},
			{"1-10s", 10 * time.Second},
			{"10-60s", time.Minute},
			{"1-10m", 10 * time.Minute},
			{"10-60m", time.Hour},
			{"1-6h", 6 * time.Hour},
			{"6-24h", 24 * time.Hour},
		} {
			if x.took < bar.below {
				return bar.label
			}
		}
		return ">24h"
	}}
	bars.keys = []string{"<1s", "1-10s", "10-60s", "1-10m", "10-60m", "1-6h", "6-24h", ">24h"}
	return w.table(bars, sum("Connections", w.ends, 0))
}
