// Package hour makes an hour of WebSocket traffic of several server nodes, for
// judging what dashboards show of it: the documents that Elasticsearch would hold,
// and beside them what was driven in.
//
// Everything that matters is real: this library, gorilla's server and client,
// net/http's server, Elastic's agents and the decoder of Elastic's intake. Only the
// network is memory, and the clock that of testing/synctest, so that an hour, the
// day before it and the week before that pass in seconds, and every duration is
// exactly what the script made of it.
//
// The script is the same each time: two simulations with the same options drive in
// the same, to the nanosecond, but on the route of the news, where the library leaves
// the times of pings and the greatest ages to chance. Ids differ, and which of the
// quotes were sampled.
package hour
