// Package quickstart shows what it takes to make an existing WebSocket server
// visible: before is an ordinary echo server, after is the same server with
// apmws. Compare them with
//
//	diff -u before/main.go after/main.go
//
// and run either from the root of the repository:
//
//	go run ./examples/quickstart/after
//
// It prints the addresses of its page of live connections and of its WebSocket.
package quickstart
