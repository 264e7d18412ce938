package boards

import (
	"slices"

	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/dashboards/internal/kibana"
)

// Fields of spans.
const (
	spanName     = "span.name"
	spanType     = "span.type"
	spanDuration = "span.duration.us"
)

func (v *views) messages() *kibana.Dashboard {
	b := v.start(MessagesID, "WebSocket messages",
		"What messages servers handle, how long that takes, and what fails.")
	row(b, tileHeight, sixth,
		panel{
			title: "Received per second", view: v.metrics, query: metric(active, received),
			description: "Messages received per second, and those of the same time a week ago.",
		}.compared(tally("Received", received).each("s").as(kibana.Number(1)), withTrend),
		panel{
			title: "Sent per second", view: v.metrics, query: metric(active, sent),
			description: "Messages sent per second, and those of the same time a week ago.",
		}.compared(tally("Sent", sent).each("s").as(kibana.Number(1)), withTrend),
		panel{
			title: "Handling, p95", view: v.metrics, query: metric(handling),
			description: "95 of 100 messages were handled faster.",
		}.compared(percentile("Handling, p95", 95, handling).as(kibana.Duration("seconds")), numberOnly),
		v.failedShare(),
		panel{
			title: "Unregistered names", view: v.metrics, query: metric(handled),
			description: "The part of messages whose name the application has not registered, shown as _OTHER: new or mistaken clients, or names to add.",
		}.tile(limits(0.05, 0.2),
			formula("Unregistered names", share(totalOf(handled, is(messageName, semconv.Other)), total(handled))).as(kibana.Percent(1))),
		panel{
			title: "Received size", view: v.metrics, query: metric(received, bytesIn),
			description: "Mean payload of received messages as it passed on the wire, compressed where it is.",
		}.tile(neutral, formula("Mean received size", share(total(bytesIn), total(received))).as(kibana.Bytes())),
	)
	row(b, chartHeight, half,
		panel{
			title: "Messages handled per minute by name", view: v.metrics, query: metric(handled),
			description: "Handled messages, failed ones included, by name.",
		}.chart(stackedAreas, "Per minute", []bucket{top(largest, "Message", "string", messageName), overTime()},
			sum("Handled", handled).each("m").as(kibana.Number(0)),
		).withLegendBeside(),
		panel{
			title: "Handling time by name, p95", view: v.metrics, query: metric(handling),
			description: "95 of 100 messages of the name were handled faster. The names on which the servers spend most time.",
		}.chart(lines, "Duration", []bucket{mostTime(largest), overTime()},
			percentile("p95", 95, handling).as(kibana.Duration("seconds")),
		).withLegendBeside(),
	)
	row(b, chartHeight, third,
		panel{
			title: "Failures per minute by kind", view: v.traces, query: and(messages, "not "+is(result, "ok")),
			description: "Handlers that returned an error, took too long or panicked. Failed messages are kept where the application samples; Elastic's agent may sample them." + messagesSampled,
		}.chart(stackedBars, "Per minute", []bucket{top(5, "Result", "string", result), overTime()},
			count("Failures").each("m").as(kibana.Number(1))),
		v.messageRates(),
		panel{
			title: "Sizes of received messages", view: v.traces, query: messages,
			description: "Payload, decoded." + messagesSampled,
		}.chart(lines, "Size", []bucket{overTime()},
			percentile("p50", 50, number(semconv.MessageLength)).as(kibana.Bytes()).in(green),
			percentile("p95", 95, number(semconv.MessageLength)).as(kibana.Bytes()).in(orange),
			maximum("largest", number(semconv.MessageLength)).as(kibana.Bytes()).in(brown),
		),
	)
	row(b, tableHeight, half,
		panel{
			title: "Slowest names", view: v.metrics, query: metric(handling, handled),
			description: "Messages by name, those first whose handlers take longest.",
		}.table([]bucket{top(20, "Message", "string", messageName)}, slowestFirst()...),
		panel{
			title: "Slowest messages", view: v.traces, query: messages,
			description: "Single messages that took longest. Follow the transaction to its trace, or filter by the connection to see what else happened on it." + messagesSampled,
		}.table([]bucket{top(20, "Transaction", "string", transaction)},
			maximum("Took", duration).as(kibana.Duration("microseconds")),
			latest("Message", "string", name),
			latest("Result", "string", result),
			latest("Connection", "string", connectionID),
		),
	)
	row(b, tableHeight, half,
		panel{
			title: "Time spent inside handshakes and messages", view: v.traces, query: spans,
			description: "Spans by name, those first that took most time in all: authentication, sends to the peer, and the application's own." + messagesSampled,
		}.table([]bucket{top(20, "Span", "string", spanName)},
			sum("Time in all", spanDuration).as(kibana.Duration("microseconds")),
			count("Spans").as(kibana.Number(0)),
			percentile("p50", 50, spanDuration).as(kibana.Duration("microseconds")),
			percentile("p95", 95, spanDuration).as(kibana.Duration("microseconds")),
			latest("Type", "string", spanType),
		),
		panel{
			title: "Connections with most messages", view: v.traces, query: disconnects,
			description: "Of the connections that ended in the time range, those whose client sent most." + connectionsSampled,
		}.table([]bucket{top(20, "Connection", "string", connectionID)},
			sum("Received", number(semconv.MessagesReceived)).as(kibana.Number(0)),
			sum("Sent", number(semconv.MessagesSent)).as(kibana.Number(0)),
			sum("Bytes in", number(semconv.BytesReceived)).as(kibana.Bytes()),
			sum("Bytes out", number(semconv.BytesSent)).as(kibana.Bytes()),
			maximum("Lasted", number(semconv.ConnectionDuration)).as(kibana.Duration("seconds")),
			latest("User", "string", user),
		),
	)
	return b.Dashboard()
}

// slowestFirst are the columns of messages by name, ordered by the slowest.
func slowestFirst() []*measure {
	columns := messageColumns()
	i := slices.IndexFunc(columns, func(m *measure) bool { return m.rank == 95 })
	p95 := columns[i]
	return append([]*measure{p95}, slices.Delete(columns, i, i+1)...)
}

// mostTime splits by the names on which most time was spent.
func mostTime(size int) bucket {
	return topBy(size, kibana.OpSum, handling, "Message", messageName)
}
