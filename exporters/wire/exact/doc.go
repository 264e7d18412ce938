// Package exact proves what is exact in what the agent tells of its traffic, and how
// far: to the message and to the byte, in its own snapshot and in what the vendors'
// agents send of it. It has tests alone.
//
// A million messages pass through sockets, over connections of all levels of adoption
// at the same time; a sequence says what they are, and everything is compared with
// that. What a back end has got is read from the requests that it has accepted, by
// readers that share nothing with the exporters; once, by Elastic's own decoder.
//
// # What is promised
//
// The snapshot, apmws.Agent.Stats, is exact at any time: each counter and each bucket
// is what has happened, never goes back, and what was opened less what was closed is
// what is active.
//
// Elastic: the sums of the reports that were accepted are the snapshot of the last of
// them, less what has happened in the intervals of the reports that failed. Each failed
// request is counted by apmws.Stats.Dropped, exporter elasticws, reason requests. The
// metric websocket.telemetry.dropped tells it as any counter: with the report after it,
// if that is accepted.
//
// New Relic: the sums of the posts that were accepted are the snapshot of the last
// report, however late the agent was connected and however often it had to try again.
// Three things are lost: a post that is refused for what it is, such as with 413; what
// has failed five times in a row; and, when New Relic makes the agent connect anew,
// what it has been given since its last post of metrics. Each failed post is counted by
// apmws.Stats.Dropped, exporter newrelicws, reason requests, where the application was
// made with newrelicws.CountRequests.
//
// Both: what has happened until apmws.Agent.Shutdown is called is reported by it, when
// the back end accepts that.
//
// Transactions: those that a back end has got and those that are named as dropped are
// all there were, as long as the back end takes what it is sent. The reasons blocked
// and switched_off count calls of an exporter, which are at least as many as the
// transactions that they lost.
package exact
