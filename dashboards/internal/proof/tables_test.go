//go:build !race

package proof

import (
	"slices"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// rows of tables, all pages together.
const (
	many     = 20
	services = 10
	most50   = 50
)

func tables() map[string]check {
	return map[string]check{
		"apmws-overview/Busiest routes": one(func(w *world) table {
			return w.table(w.top(many, "Route", w.gauge, route, w.ofKey(w.received, route)),
				sum("Received", w.received, 0), sum("Sent", w.sent, 0), sum("Bytes in", w.bytesIn, 0),
				sum("Bytes out", w.bytesOut, 0), sum("Connects", w.opened, 0), sum("Refused", w.refused, 0), sum("Calls", w.outbound, 0))
		}),
		// The time in all is told by a histogram, so names that take nearly the same
		// may stand in another order.
		"apmws-overview/Busiest messages": one(func(w *world) table {
			return w.table(w.top(many, "Message", w.handled, name, facts.seconds),
				append([]measure{seconds("Time in all", w.handled)}, messageColumns(w)...)...).approximately()
		}),

		"apmws-outbound/Whose calls are these?": one(func(w *world) table {
			key := func(x *fact) string { return x.host + "\x00" + x.Route + "\x00" + x.name }
			calls := sum("Calls", w.outbound, 0)
			return w.table(w.top(most50, "Host\x00Route\x00Caller", w.outbound, key, facts.total), calls, weekAgo("A week ago", calls))
		}),
		"apmws-outbound/Calls for each connection": one(func(w *world) table {
			inHandshakes := w.outbound.where(func(x *fact) bool { return x.name == semconv.Handshake })
			return w.table(w.top(many, "Route", w.gauge, route, w.ofKey(w.outbound, route)),
				sum("Calls", w.outbound, 0), sum("Connects", w.opened, 0), ratio("Per connect", w.outbound, w.opened),
				sum("In handshakes", inHandshakes, 0), ratio("Per handshake", inHandshakes, together(w.opened, w.refused)))
		}),
		"apmws-outbound/Broadcasts": one(func(w *world) table {
			counting := func(of func(*fact) float64) facts {
				var counted facts
				for _, x := range w.broadcasts {
					y := *x
					y.n = of(x)
					counted = append(counted, &y)
				}
				return counted
			}
			copies, missed := counting(func(x *fact) float64 { return x.recipients }), counting(func(x *fact) float64 { return x.missed })
			return w.table(w.top(many, "Broadcast", w.broadcasts, name, facts.total),
				sum("Broadcasts", w.broadcasts, 0), ratio("Recipients", copies, w.broadcasts), sum("Copies", copies, 0), sum("Failed", missed, 0),
				quantiles("Took, p95", 0.95, w.broadcasts, toTenMicros, micros),
				most("Longest", w.broadcasts, micros, func(x float64) cell { return about(x, toTenMicros) }),
				most("Slowest write", w.broadcasts, func(x *fact) float64 { return x.slowest.Seconds() }, func(x float64) cell { return about(x, 1e-5) }))
		}),
		"apmws-connections/Users with most handshakes": one(func(w *world) table {
			return w.table(w.top(many, "User", w.connects, user, facts.total), handshakes(w, distinct("Addresses", w.connects, address))...)
		}),
		"apmws-connections/Addresses with most handshakes": one(func(w *world) table {
			return w.table(w.top(many, "Address", w.connects, address, facts.total), handshakes(w, distinct("Users", w.connects, user))...)
		}),

		// As the time in all above: percentiles of histograms.
		"apmws-messages/Slowest names": one(func(w *world) table {
			return w.table(w.top(many, "Message", w.handled, name, facts.seconds),
				histogram("p95", 0.95, w.handled), sum("Handled", w.handled, 0), histogram("p50", 0.5, w.handled),
				histogram("p99", 0.99, w.handled), ratio("Failed", failed(w.handled), w.handled)).approximately()
		}),
		"apmws-messages/Slowest messages": one(func(w *world) table {
			took := func(list facts) float64 { return micros(list[0]) }
			key := func(x *fact) string { return x.transaction }
			return w.table(w.top(many, "Transaction", w.messages, key, took),
				most("Took", w.messages, micros, func(x float64) cell { return about(x, toTenMicros) }),
				latest("Message", w.messages, name), latest("Result", w.messages, result),
				latest("Connection", w.messages, id))
		}),
		"apmws-outbound/What services call":                        one(whatServicesCall),
		"apmws-messages/Time spent inside handshakes and messages": one(timeInSpans),
		"apmws-messages/Connections with most messages": one(func(w *world) table {
			of := func(label string, n func(*fact) float64) measure {
				return measure{label, func(in window) cell { return exact(n(in.of(w.ends)[0])) }}
			}
			received := func(x *fact) float64 { return float64(x.connection.MessagesReceived) }
			return w.table(w.top(many, "Connection", w.ends, id, func(list facts) float64 { return received(list[0]) }),
				of("Received", received),
				of("Sent", func(x *fact) float64 { return float64(x.connection.MessagesSent) }),
				of("Bytes in", func(x *fact) float64 { return float64(x.connection.BytesReceived) }),
				of("Bytes out", func(x *fact) float64 { return float64(x.connection.BytesSent) }),
				lasted(w), latest("User", w.ends, user))
		}),

		"apmws-errors/Errors": one(func(w *world) table {
			return w.table(w.top(most50, "Error", w.errors, group, facts.total),
				sum("Errors", w.errors, 0), distinct("Connections", w.errors, id), distinct("Users", w.errors, user),
				latest("Transaction", w.errors, name), latest("Culprit", w.errors, func(x *fact) string { return x.culprit }),
				lastSeen("Last seen", w.errors))
		}),
		"apmws-errors/Telemetry dropped by reason": one(func(w *world) table {
			return w.table(w.top(many, "Service\x00Exporter and reason", w.dropped, func(x *fact) string { return x.Service + "\x00" + x.reason }, facts.total),
				sum("Dropped", w.dropped, 0))
		}),
		"apmws-errors/Connections with most errors": one(func(w *world) table {
			return w.table(w.top(most50, "Connection", w.errors, id, facts.total),
				sum("Errors", w.errors, 0), latest("Last error", w.errors, group), latest("User", w.errors, user), lastSeen("Last seen", w.errors))
		}),
		"apmws-errors/Connections that ended badly": one(func(w *world) table {
			badly := ofCause(w.ends, slices.Concat(faults, lost)...)
			ended := func(list facts) float64 { return float64(list[0].told.UnixMilli()) }
			return w.table(w.top(most50, "Connection", badly, id, ended),
				lastSeen("Ended", badly), latest("Cause", badly, cause), latest("Code", badly, code), lasted(w), latest("User", badly, user))
		}),
	}
}

// messageColumns tell of messages by name.
func messageColumns(w *world) []measure {
	return append([]measure{sum("Handled", w.handled, 0)},
		append(histograms(w.handled), ratio("Failed", failed(w.handled), w.handled))...)
}

// handshakes are the columns of those who connect.
func handshakes(w *world, others measure) []measure {
	return []measure{
		sum("Handshakes", w.connects, 0), sum("Refused", failed(w.connects), 0), others,
		quantiles("Latency, p95", 0.95, w.connects, toTenMicros, micros), lastSeen("Last seen", w.connects),
	}
}

// lasted is told in seconds, as it was.
func lasted(w *world) measure {
	return most("Lasted", w.ends, func(x *fact) float64 { return x.took.Seconds() }, exact)
}

// whatServicesCall splits by service, and those by destination; all are ordered by
// calls.
func whatServicesCall(w *world) table {
	key := func(x *fact) string { return x.Service + "\x00" + x.destination }
	failures := failed(w.calls)
	return w.table(w.top(services*many, "Service\x00Destination", w.calls, key, facts.total),
		sum("Calls", w.calls, 0), meanTime(w), ratio("Failed", failures, w.calls))
}
