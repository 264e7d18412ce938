// Package life lets a server live a scripted life, in which everything happens
// that telemetry must tell of: handshakes that are accepted and refused for each
// reason, messages of each kind and result, spans of the application and of the
// vendors' integrations, and each cause of a connection's end.
//
// It all goes through real sockets on the loopback address, one step after the
// other, each of them awaited; only what the script lets happen at the same time
// does. So two lives differ in ids, times and ports alone, and in which of the
// messages that are left to chance were recorded.
package life
