// Package wire proves what reaches the back ends: it lets a server live a scripted
// life, and decodes what the vendors' agents send of it.
//
// [Record] returns all of it: the documents as Elasticsearch would index them, what
// New Relic's collector would harvest, the log, the agents' own counters, and the
// story of what was driven in. It is the fixture on which queries and dashboards can
// be evaluated. The golden files in testdata show the same in a form for readers,
// with symbols for ids, times and ports; go test -run Golden -update . writes them
// anew.
//
// The module is not published: it needs decoders and integrations that nobody who
// uses the library needs.
package wire
