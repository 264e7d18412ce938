// Package collector stands in for New Relic's collector.
//
// It speaks the agents' protocol 17: preconnect, connect, and one POST for each
// kind of data. It takes what is sent apart, so that tests see what New Relic
// would store, and remarks what the real one would refuse, see
// [Collector.Problems].
package collector
