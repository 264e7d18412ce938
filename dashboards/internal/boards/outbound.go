package boards

import (
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Fields of the destinations that the APM Server counts.
const (
	destination = "span.destination.service.resource"
	calls       = "span.destination.service.response_time.count"
	callsTook   = "span.destination.service.response_time.sum.us"

	// APM Server keeps the same for 10 and 60 minutes: one of them is counted.
	destinations = `metricset.name: "service_destination" and metricset.interval: "1m"`
)

const wholeService = " The whole service's, HTTP requests' included; estimated from what is sampled. Not told by route: choose none, or this is empty."

// throughTransport says which calls are counted.
const throughTransport = " Counted are those through apmws.Transport."

// inHandshakes are the calls of handshakes.
var inHandshakes = is(messageName, semconv.Handshake)

// Ids of buckets above the last one.
const (
	serviceID = "service"
	hostID    = "host"
	routeID   = "route"
)

func (v *views) outbound() *kibana.Dashboard {
	b := v.start(OutboundID, "WebSocket sends and calls",
		"What connections cause elsewhere: whose calls of other services these are, and what is sent to peers that do not read.")
	row(b, tileHeight, sixth,
		panel{
			title: "Outbound calls", view: v.metrics, query: metric(active, outbound),
			description: "HTTP requests of connections to other services per minute, and those of the same time a week ago." + throughTransport,
		}.compared(tally("Outbound calls", outbound).each("m").as(kibana.Number(1)), withTrend),
		panel{
			title: "Calls per connect", view: v.metrics, query: metric(opened, outbound),
			description: "Outbound calls for each accepted handshake." + throughTransport,
		}.tile(neutral, formula("Calls per connect", share(total(outbound), total(opened))).as(kibana.Number(2))),
		panel{
			title: "Sent for each received", view: v.metrics, query: metric(received, sent),
			description: "Messages sent for each message received: how much servers fan out.",
		}.tile(neutral, formula("Sent for each received", share(total(sent), total(received))).as(kibana.Number(2))),
		panel{
			title: "Waiting in send queues", view: v.metrics, query: metric(waiting),
			description: "Messages that wait in send queues for their peers at the end of the time range: the last report of each server and route within five minutes, summed up.",
		}.total(neutral, everyNodeAndRoute(), now("Waiting in send queues", waiting)),
		panel{
			title: "Given up by send queues", view: v.metrics, query: metric(active, givenUp),
			description: "Messages that send queues gave up: they were full, or the connection had ended.",
		}.tile(noneIsGood, tally("Given up by send queues", givenUp).as(kibana.Number(0))),
		panel{
			title: "Slow consumers", view: v.metrics, query: metric(active, closed),
			description: "Connections that were closed since their peer did not take what was sent.",
		}.tile(noneIsGood, tally("Slow consumers", closed).of(is(closeCause, "slow_consumer")).as(kibana.Number(0))),
	)
	row(b, chartHeight, whole,
		panel{
			title: "Outbound calls per minute by host and caller", view: v.metrics, query: metric(outbound),
			description: "HTTP requests of connections to other services, each when it begins: the ten most frequent by host and message. CONNECT are calls of handshakes: where these rise together with the connects, clients that come back again and again make them." + throughTransport,
		}.chart(stackedAreas, "Per minute", []bucket{topBy(largest, kibana.OpSum, outbound, "Host and caller", host, messageName), overTime()},
			sum("Calls", outbound).each("m").as(kibana.Number(1)),
		).withLegendBeside(),
	)
	row(b, tableHeight, half,
		panel{
			title: "Whose calls are these?", view: v.metrics, query: metric(outbound),
			description: "Who calls a host: the route of the connections, and the message, and how often it was at the same time a week ago. CONNECT are calls of handshakes; none are those of neither, such as those of goroutines." + throughTransport,
		}.table([]bucket{
			{hostID, kibana.TopOf("Host", "string", 20, measureID(0), host)},
			{routeID, kibana.TopOf("Route", "string", 10, measureID(0), route)},
			top(10, "Caller", "string", messageName),
		},
			sum("Calls", outbound).as(kibana.Number(0)),
			sum("A week ago", outbound).aWeekBefore().as(kibana.Number(0)),
		).withNames(nameWidth, nameWidth, nameWidth),
		panel{
			title: "Calls for each connection", view: v.metrics, query: metric(opened, refused, outbound),
			description: "What connections cost other services, by route: all calls for each connect, and the calls in handshakes for each handshake, refused ones included." + throughTransport,
		}.table([]bucket{top(20, "Route", "string", route)},
			sum("Calls", outbound).as(kibana.Number(0)),
			sum("Connects", opened).as(kibana.Number(0)),
			formula("Per connect", share(total(outbound), total(opened))).as(kibana.Number(2)),
			sum("In handshakes", outbound).of(inHandshakes).as(kibana.Number(0)),
			formula("Per handshake", share(totalOf(outbound, inHandshakes), plus(total(opened), total(refused)))).as(kibana.Number(2)),
		),
	)
	row(b, chartHeight, third,
		panel{
			title: "Calls per minute by destination", view: v.metrics, query: destinations,
			description: "What the services call: databases, brokers, other services." + wholeService,
		}.chart(stackedAreas, "Per minute", []bucket{top(largest, "Destination", "string", destination), overTime()},
			sum("Calls", calls).each("m").as(kibana.Number(1))),
		panel{
			title: "Mean time of a call by destination", view: v.metrics, query: destinations,
			description: "How long calls take, on average." + wholeService,
		}.chart(lines, "Duration", []bucket{mostCalls(largest), overTime()},
			formula("Mean time", share(total(callsTook), total(calls))).as(kibana.Duration("microseconds"))),
		panel{
			title: "What services call", view: v.metrics, query: destinations,
			description: "Destinations by service, with what failed of it." + wholeService,
		}.table([]bucket{
			{serviceID, kibana.TopOf("Service", "string", 10, measureID(0), service)}, top(20, "Destination", "string", destination),
		},
			sum("Calls", calls).as(kibana.Number(0)),
			formula("Mean time", share(total(callsTook), total(calls))).as(kibana.Duration("microseconds")),
			formula("Failed", share(totalOf(calls, "event.outcome: failure"), total(calls))).as(kibana.Percent(1)).
				withCells(textLimits(0.01, 0.05)),
		).withNames(72, 168),
	)
	row(b, chartHeight, third,
		panel{
			title: "Waiting in send queues by node", view: v.metrics, query: metric(waiting),
			description: "Messages in the send queues of the ten servers with most, on average over each interval.",
		}.chart(stackedAreas, "Messages", []bucket{topBy(largest, kibana.OpMax, waiting, "Service and node", service, node), overTime()},
			formula("Waiting", perRoute(waiting)).as(kibana.Number(1)),
		),
		panel{
			title: "Given up by send queues per minute", view: v.metrics, query: metric(givenUp),
			description: "Messages that send queues gave up, by route.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Route", "string", route), overTime()},
			sum("Given up", givenUp).each("m").as(kibana.Number(1)),
		),
		panel{
			title: "Time blocked in writes", view: v.metrics, query: metric(blocked),
			description: "How long single writes waited for a peer that does not read: slow consumers. An endpoint's WriteTimeout bounds them. Within 12.5 %, the longest too.",
		}.chart(lines, "Duration", []bucket{overTime()},
			percentile("p99", 99, blocked).as(kibana.Duration("seconds")).in(orange),
			percentile("p99.9", 99.9, blocked).as(kibana.Duration("seconds")).in(red),
			maximum("longest", blocked).as(kibana.Duration("seconds")).in(brown),
		),
	)
	b.Row(chartHeight,
		panel{
			title: "Broadcasts per minute by name", view: v.traces, query: broadcasts,
			description: "Messages to many connections at once, each of which counts as one." + messagesSampled,
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Broadcast", "string", name), overTime()},
			count("Broadcasts").each("m").as(kibana.Number(1)),
		).item(third),
		panel{
			title: "Broadcasts", view: v.traces, query: broadcasts,
			description: "Messages to many connections by name: how many they went to, for how many of these they were given up, and how long they took until the last one had it. One peer that does not read makes a broadcast last, for nobody else, until its queue gives the message up." + messagesSampled,
		}.table([]bucket{top(20, "Broadcast", "string", name)},
			count("Broadcasts").as(kibana.Number(0)),
			average("Recipients", number(semconv.BroadcastRecipients)).as(kibana.Number(1)),
			sum("Copies", number(semconv.BroadcastRecipients)).as(kibana.Number(0)),
			sum("Failed", number(semconv.BroadcastFailed)).as(kibana.Number(0)),
			percentile("Took, p95", 95, duration).as(kibana.Duration("microseconds")),
			maximum("Longest", duration).as(kibana.Duration("microseconds")),
			maximum("Slowest write", number(semconv.BroadcastSlowestWrite)).as(kibana.Duration("seconds")),
		).item(twoOf3),
	)
	return b.Dashboard()
}

// mostCalls splits by the destinations that were called most.
func mostCalls(size int) bucket {
	return topBy(size, kibana.OpSum, calls, "Destination", destination)
}
