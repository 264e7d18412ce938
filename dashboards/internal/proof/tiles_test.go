//go:build !race

package proof

import (
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// layers are the tables of a panel, by the layer.
type layers map[string]table

const (
	mainLayer  = "main"
	trendLayer = "trend"
)

// check is what a panel is to show of a world.
type check func(w *world) layers

// one is a panel of one layer.
func one(of func(w *world) table) check {
	return func(w *world) layers { return layers{mainLayer: of(w)} }
}

// compared is a tile: a number, that of the week before, and maybe the number over
// time behind it.
func compared(trend bool, of func(w *world) measure) check {
	return func(w *world) layers {
		m := of(w)
		shown := layers{mainLayer: w.number(m, weekAgo("a week ago", m))}
		if trend {
			shown[trendLayer] = w.overTime(m)
		}
		return shown
	}
}

// single is a tile with a number.
func single(of func(w *world) measure) check {
	return one(func(w *world) table { return w.number(of(w)) })
}

func failed(list facts) facts { return list.where(func(x *fact) bool { return x.failed }) }

func ofCause(list facts, causes ...string) facts {
	return list.where(func(x *fact) bool { return slices.Contains(causes, x.cause) })
}

// The close causes that are the server's fault, and those by which peers are lost.
var (
	faults = []string{"handler_error", "panic", "slow_consumer", "write_error"}
	lost   = []string{"heartbeat_timeout", "message_too_big", "protocol_error", "read_error"}
)

func isServerError(x *fact) bool { return x.status >= "500" }

// openNow is told exactly: at the end of the hour every node has just reported.
var openNow = single(func(w *world) measure { return atTheEnd("Open connections", w, w.gauge) })

func atTheEnd(label string, w *world, gauge facts) measure {
	return measure{label, func(window) cell {
		now, at := 0.0, w.end.Add(-time.Millisecond)
		for _, x := range gauge {
			if x.told.Equal(at) {
				now += x.n
			}
		}
		return exact(now)
	}}
}

var failedShare = single(func(w *world) measure { return ratio("Failed messages", failed(w.handled), w.handled) })

func tiles() map[string]check {
	return map[string]check{
		"apmws-overview/Open connections":    openNow,
		"apmws-connections/Open connections": openNow,
		"apmws-overview/Failed messages":     failedShare,
		"apmws-messages/Failed messages":     failedShare,

		"apmws-overview/Connects per minute": compared(true, func(w *world) measure { return tally("Connects", w.opened, w.gauge, time.Minute) }),
		"apmws-overview/Refused handshakes": single(func(w *world) measure {
			return ratio("Refused handshakes", w.refused, together(w.refused, w.opened))
		}),
		"apmws-overview/Messages received": compared(true, func(w *world) measure {
			return tally("Messages received", w.received, w.gauge, time.Second)
		}),
		"apmws-overview/Message handling, p95": compared(false, func(w *world) measure {
			return histogram("Message handling, p95", 0.95, w.handled)
		}),

		"apmws-connections/Connects":        compared(true, func(w *world) measure { return tally("Connects", w.opened, w.gauge, 0) }),
		"apmws-connections/Refusals":        compared(true, func(w *world) measure { return tally("Refusals", w.refused, w.gauge, 0) }),
		"apmws-connections/Median lifetime": compared(false, func(w *world) measure { return histogram("Median lifetime", 0.5, w.closed) }),
		"apmws-connections/Ping round trip, p95": compared(false, func(w *world) measure {
			return histogram("Ping round trip, p95", 0.95, w.rtt)
		}),
		"apmws-connections/Unanswered pings": compared(true, func(w *world) measure { return tally("Unanswered pings", w.unanswered, w.gauge, 0) }),

		"apmws-messages/Received per second": compared(true, func(w *world) measure { return tally("Received", w.received, w.gauge, time.Second) }),
		"apmws-messages/Sent per second":     compared(true, func(w *world) measure { return tally("Sent", w.sent, w.gauge, time.Second) }),
		"apmws-messages/Handling, p95":       compared(false, func(w *world) measure { return histogram("Handling, p95", 0.95, w.handled) }),
		"apmws-messages/Unregistered names": single(func(w *world) measure {
			return ratio("Unregistered names", w.handled.where(func(x *fact) bool { return x.name == semconv.Other }), w.handled)
		}),
		"apmws-messages/Received size": single(func(w *world) measure { return ratio("Mean received size", w.bytesIn, w.received) }),

		"apmws-outbound/Outbound calls": compared(true, func(w *world) measure { return tally("Outbound calls", w.outbound, w.gauge, time.Minute) }),
		"apmws-outbound/Calls per connect": single(func(w *world) measure {
			return ratio("Calls per connect", w.outbound, w.opened)
		}),
		"apmws-outbound/Waiting in send queues": single(func(w *world) measure { return atTheEnd("Waiting in send queues", w, w.waiting) }),
		"apmws-outbound/Given up by send queues": single(func(w *world) measure {
			return tally("Given up by send queues", w.givenUp, w.gauge, 0)
		}),
		"apmws-outbound/Slow consumers": single(func(w *world) measure {
			return tally("Slow consumers", ofCause(w.closed, "slow_consumer"), w.gauge, 0)
		}),
		"apmws-outbound/Sent for each received": single(func(w *world) measure {
			return ratio("Sent for each received", w.sent, w.received)
		}),

		"apmws-errors/Failed messages":  compared(true, func(w *world) measure { return tally("Failed messages", failed(w.handled), w.gauge, 0) }),
		"apmws-errors/Ended by a panic": single(func(w *world) measure { return tally("Ended by a panic", ofCause(w.closed, "panic"), w.gauge, 0) }),
		"apmws-errors/Failed handshakes": single(func(w *world) measure {
			return tally("Failed handshakes", w.refused.where(isServerError), w.gauge, 0)
		}),
		"apmws-errors/Connections the server failed": single(func(w *world) measure {
			return tally("Connections the server failed", ofCause(w.closed, faults...), w.gauge, 0)
		}),
		"apmws-errors/Connections lost": compared(true, func(w *world) measure {
			return tally("Connections lost", ofCause(w.closed, lost...), w.gauge, 0)
		}),
		"apmws-errors/Telemetry dropped": single(func(w *world) measure {
			return measure{"Telemetry dropped", func(in window) cell {
				if n := in.of(w.dropped).total(); n > 0 {
					return exact(n)
				}
				return nothing()
			}}
		}),
	}
}
