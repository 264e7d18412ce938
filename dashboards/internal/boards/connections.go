package boards

import (
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Of what is counted by transactions a panel has to say so.
const (
	connectionsSampled = " Counted by transactions, of which there is one for each connection unless Elastic's agent is set to record sampled ones."
	messagesSampled    = " Counted by transactions: sampled, where the application or Elastic's agent samples."
)

const statusLabel = "labels.http_response_status_code" // of metrics

func (v *views) connections() *kibana.Dashboard {
	b := v.start(ConnectionsID, "WebSocket connections",
		"Handshakes, refusals, ends of connections, and the peers behind them: who connects how often, and why connections are lost.")
	row(b, tileHeight, sixth,
		v.openNow(),
		panel{
			title: "Connects", view: v.metrics, query: metric(active, opened),
			description: "Accepted handshakes in the time range, and those of the same time a week ago.",
		}.compared(tally("Connects", opened).as(kibana.Number(0)), withTrend),
		panel{
			title: "Refusals", view: v.metrics, query: metric(active, refused),
			description: "Refused handshakes in the time range, and those of the same time a week ago.",
		}.compared(tally("Refusals", refused).as(kibana.Number(0)), withTrend),
		panel{
			title: "Median lifetime", view: v.metrics, query: metric(lifetime),
			description: "Half of the connections that ended in the time range had lasted longer. Short lifetimes are what reconnecting clients look like.",
		}.compared(percentile("Median lifetime", 50, lifetime).as(kibana.Duration("seconds")), numberOnly),
		panel{
			title: "Ping round trip, p95", view: v.metrics, query: metric(rtt),
			description: "95 of 100 pings were answered faster.",
		}.compared(percentile("Ping round trip, p95", 95, rtt).as(kibana.Duration("seconds")), numberOnly),
		panel{
			title: "Unanswered pings", view: v.metrics, query: metric(active, unheard),
			description: "Pings that no pong had followed when the next one was sent or the connection ended.",
		}.compared(tally("Unanswered pings", unheard).as(kibana.Number(0)), withTrend),
	)
	row(b, chartHeight, half,
		panel{
			title: "Handshakes per minute by status", view: v.metrics, query: metric(opened, refused),
			description: "101 is an accepted handshake. Others are redirects, and handshakes that got no answer at all.",
		}.chart(stackedBars, "Per minute", []bucket{overTime()},
			perMinute("101", opened, "", green),
			perMinute("401", refused, is(statusLabel, "401"), yellow),
			perMinute("403", refused, is(statusLabel, "403"), orange),
			perMinute("429", refused, is(statusLabel, "429"), brown),
			perMinute("other 4xx", refused, and(statusLabel+": 4*", "not "+oneOf(statusLabel, "401", "403", "429")), pink),
			perMinute("503", refused, is(statusLabel, "503"), purple),
			perMinute("5xx and others", refused, and("not "+statusLabel+": 4*", "not "+is(statusLabel, "503")), red),
		).withLegendBeside(),
		panel{
			title: "Handshake latency", view: v.traces, query: connects,
			description: "From the request's arrival to the answer: authentication and whatever middleware does before the upgrade are in it." + connectionsSampled,
		}.chart(lines, "Duration", []bucket{overTime()},
			percentile("p50", 50, duration).as(kibana.Duration("microseconds")).in(green),
			percentile("p95", 95, duration).as(kibana.Duration("microseconds")).in(orange),
			percentile("p99", 99, duration).as(kibana.Duration("microseconds")).in(red),
		).withLegendBeside(),
	)
	row(b, chartHeight, third,
		panel{
			title: "Refusals per minute by reason", view: v.metrics, query: metric(refused),
			description: "Why handshakes were refused, in the words of the registered reasons.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Reason", "string", label(semconv.RefusalReason)), overTime()},
			sum("Refusals", refused).each("m").as(kibana.Number(1))),
		panel{
			title: "Closes per minute by cause", view: v.metrics, query: metric(closed),
			description: "Why connections ended. A closed page shows as going_away, a deployment as drain, a network that fails as read_error or heartbeat_timeout, a peer that does not keep up as slow_consumer.",
		}.chart(stackedBars, "Per minute", []bucket{top(causes, "Cause", "string", closeCause), overTime()},
			sum("Closes", closed).each("m").as(kibana.Number(1))),
		panel{
			title: "Reconnect churn by route", view: v.metrics, query: metric(active, opened),
			description: "Connects per hour for every open connection of the ten busiest routes. At 1 every client comes back once an hour; clients in a loop stand far above.",
		}.chart(lines, "Connects per connection", []bucket{topBy(largest, kibana.OpSum, opened, "Service and route", service, route), overTime()},
			formula("Churn", share(total(opened), perNode(active))).each("h").as(kibana.Number(2))),
	)
	row(b, chartHeight, third,
		panel{
			title: "How long connections lasted", view: v.traces, query: disconnects,
			description: "Connections that ended in the time range, by how long they had been open." + connectionsSampled,
		}.chart(bars, "Connections", []bucket{lifetimes()}, count("Connections").as(kibana.Number(0)).in(blue)),
		panel{
			title: "Closes per minute by code", view: v.traces, query: disconnects,
			description: "Codes of the first close frame, from either side; none, where there was none." + connectionsSampled,
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Code", "string", label(semconv.CloseCode)), overTime()},
			count("Connections").each("m").as(kibana.Number(1))),
		panel{
			title: "Who closed", view: v.traces, query: disconnects,
			description: "The client, the server, or the network, where the peer was lost without a word." + connectionsSampled,
		}.donut(top(largest, "Initiator", "string", label(semconv.CloseInitiator)), count("Connections").as(kibana.Number(0))),
	)
	row(b, tableHeight, half,
		panel{
			title: "Users with most handshakes", view: v.traces, query: connects,
			description: "Whose clients connect most, and from how many addresses: one user far above the others is a client in a loop." + connectionsSampled,
		}.table([]bucket{top(20, "User", "string", user)}, handshakes(distinct("Addresses", address))...).withNames(peerWidth),
		panel{
			title: "Addresses with most handshakes", view: v.traces, query: connects,
			description: "Where most handshakes come from; behind a proxy that is the proxy." + connectionsSampled,
		}.table([]bucket{top(20, "Address", "ip", address)}, handshakes(distinct("Users", user))...).withNames(peerWidth),
	)
	row(b, chartHeight, half,
		panel{
			title: "Ping round trips", view: v.metrics, query: metric(rtt),
			description: "From a ping to its pong.",
		}.chart(lines, "Duration", []bucket{overTime()}, percentiles(rtt)...),
		panel{
			title: "Unanswered pings per minute by node", view: v.metrics, query: metric(unheard),
			description: "Pings without a pong, by server. On one server alone: its network or its load; on all: the peers'.",
		}.chart(stackedBars, "Per minute", []bucket{top(largest, "Node", "string", node), overTime()},
			sum("Unanswered pings", unheard).each("m").as(kibana.Number(1))),
	)
	return b.Dashboard()
}

func perMinute(name, field, query, colour string) *measure {
	return sum(name, field).of(query).each("m").as(kibana.Number(1)).in(colour)
}

// perNode is as perRoute, for one route on all nodes that have it.
func perNode(gauge string) kibana.Expr {
	return kibana.Calc{
		Op: "multiply", Left: kibana.Part{Op: kibana.OpAverage, Field: gauge}, Right: kibana.Part{Op: kibana.OpUniqueCount, Field: node},
	}
}

// handshakes are the columns of those who connect.
func handshakes(others *measure) []*measure {
	return []*measure{
		count("Handshakes").as(kibana.Number(0)),
		count("Refused").of(label(semconv.RefusalReason) + ": *").as(kibana.Number(0)),
		others.as(kibana.Number(0)),
		percentile("Latency, p95", 95, duration).as(kibana.Duration("microseconds")),
		latest("Last seen", "date", kibana.TimeField),
	}
}

// lifetimes splits the ends of connections by how long these had lasted.
func lifetimes() bucket {
	lasted := number(semconv.ConnectionDuration)
	between := func(label, from, to string) kibana.FilterBucket {
		query := ""
		if from != "" {
			query = lasted + " >= " + from
		}
		if to != "" {
			if query != "" {
				query += " and "
			}
			query += lasted + " < " + to
		}
		return kibana.Bucket(label, query)
	}
	return cases("Lasted",
		between("<1s", "", "1"), between("1-10s", "1", "10"), between("10-60s", "10", "60"),
		between("1-10m", "60", "600"), between("10-60m", "600", "3600"), between("1-6h", "3600", "21600"),
		between("6-24h", "21600", "86400"), between(">24h", "86400", ""),
	)
}
