// Package interop tests apmws against what it has to get on with: the WebSocket
// libraries coder/websocket, gobwas/ws and gorilla/websocket, net/http as it is
// without apmws, and Elastic's own integrations. It is a module of its own so
// that users of apmws download none of them.
package interop
