package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// echo is a way to echo messages.
type echo string

const (
	// gorilla alone: the usual loop of ReadMessage and WriteMessage in the handler.
	echoPlain echo = "plain"
	// The same below Agent.Handler.
	echoHandler echo = "handler"
	// The same with a transaction around each message, written by hand, and with
	// a span around each answer too.
	echoByHand     echo = "by hand"
	echoByHandSpan echo = "by hand, span"
	// Serve, answering by gorilla's WriteMessage: a transaction for each message.
	echoServe echo = "serve"
	// Serve, answering by Conn.Write: a transaction and a span for each message.
	echoWrite echo = "write"
	// Agent.Endpoint, answering by Conn.Write.
	echoEndpoint echo = "endpoint"
	// The same without a heartbeat, whose pings a load that waits for echoes does not
	// answer; budget 5 has what those cost.
	echoSteadyEndpoint echo = "endpoint, no heartbeat"
)

// route is the route of all servers.
const route = "/ws"

// handler returns the handler of a server that echoes in that way.
func (p parts) handler(way echo) (http.Handler, error) {
	switch way {
	case echoPlain:
		return upgrading(usualEcho), nil
	case echoHandler:
		return p.agent.Handler(route, upgrading(usualEcho)), nil
	case echoByHand, echoByHandSpan:
		return upgrading(func(ctx context.Context, conn *websocket.Conn) {
			p.echoByHand(ctx, conn, way == echoByHandSpan)
		}), nil
	case echoServe:
		return p.agent.Handler(route, upgrading(func(ctx context.Context, conn *websocket.Conn) {
			_ = apmws.Serve(ctx, conn, func(_ context.Context, m apmws.Message) error {
				return conn.WriteMessage(int(m.Type), m.Data)
			})
		})), nil
	case echoWrite:
		return p.agent.Handler(route, upgrading(func(ctx context.Context, conn *websocket.Conn) {
			_ = apmws.Serve(ctx, conn, answerMessage)
		})), nil
	case echoEndpoint:
		return p.agent.Endpoint(route, apmws.EndpointOptions{Message: answerMessage}), nil
	case echoSteadyEndpoint:
		return p.agent.Endpoint(route, apmws.EndpointOptions{Message: answerMessage, Heartbeat: apmws.Heartbeat{Interval: -1}}), nil
	default:
		return nil, fmt.Errorf("there is no server %q", way)
	}
}

// answerMessage is a message handler.
func answerMessage(ctx context.Context, m apmws.Message) error {
	return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
}

// upgrading upgrades with gorilla's defaults and runs a loop.
func upgrading(loop func(context.Context, *websocket.Conn)) http.Handler {
	var upgrader websocket.Upgrader
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		loop(r.Context(), conn)
	})
}

// usualEcho is the loop of most programs.
func usualEcho(_ context.Context, conn *websocket.Conn) {
	for {
		typ, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(typ, text); err != nil {
			return
		}
	}
}
