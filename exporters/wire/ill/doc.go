// Package ill proves what happens to a server when the back end of an exporter is
// ill: its messages are served as fast as before, memory and goroutines are
// bounded, what is given up is counted, and when the back end has recovered,
// telemetry has, too. It has tests alone.
//
// # Illnesses
//
// A back end is unreachable, refuses connections, answers 413, 429 or 503, answers
// nonsense with the status of success or nonsense that is not HTTP, reads and never
// answers, or dies in mid-request; Elastic's over TCP and New Relic's over TLS, so
// that the illness is on the wire. New Relic's agent behaves differently before it
// is connected, so its back end falls ill before that and after it.
//
// # Duration
//
// The tests take 90 seconds, in which they compute for 120 seconds of one processor
// with the race detector: New Relic's agent sends metrics every 60 seconds, and what
// becomes of those of a post that failed is to be seen; it waits 15 to 30 seconds
// before it tries again to connect, and Elastic's up to 16. All back ends wait at the
// same time, while the servers of others are measured.
package ill
