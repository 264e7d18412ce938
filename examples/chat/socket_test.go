package main

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// transports are the ways to reach the socket.
var transports = map[string]bool{"ws": false, "wss": true}

// A peer that answers pings stays, one that does not is given up.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	for name, overTLS := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, func(cfg *config) {
				cfg.tls = overTLS
				cfg.heartbeat = apmws.Heartbeat{Interval: 50 * time.Millisecond, Timeout: 5 * time.Second}
			})
			ada := join(t, n.url, "Ada", "tea")
			heard := make(chan string, 1)
			go func() { // answers pings, too
				_, message, err := ada.ReadMessage()
				if err != nil {
					message = []byte(err.Error())
				}
				heard <- string(message)
			}()
			connect(t, n.url, signIn(t, n.url, "Lost")) // and never reads, so never answers
			lost := n.log.wait(t, "lost", 1, action("websocket-peer-lost"))[0]
			if lost["user.id"] != "Lost" {
				t.Errorf("the loss is logged as %v", lost)
			}
			line := n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]
			if line["user.id"] != "Lost" || line["event.reason"] != "heartbeat_timeout" || line["labels.websocket_close_initiator"] != "network" {
				t.Errorf("the end is logged as %v", line)
			}
			ada.say("tea", "here")
			if got := <-heard; got != `{"type":"chat.said","room":"tea","user":"Ada","text":"here"}` {
				t.Errorf("Ada has read %s", got)
			}
			if n := n.agent.Stats().Routes[0].PingRTT.Count; n == 0 {
				t.Error("no round trip is known")
			}
		})
	}
}

// An old connection is closed, and its client may come back.
func TestMaxAge(t *testing.T) {
	for name, overTLS := range transports {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, func(cfg *config) { cfg.tls, cfg.maxAge = overTLS, 100*time.Millisecond })
			token := signIn(t, n.url, "Ada")
			for i := range 2 {
				connect(t, n.url, token).expectClosed(1001, "max age")
				line := n.log.wait(t, "disconnected", i+1, action("websocket-disconnected"))[i]
				if line["event.reason"] != "max_age" || line["labels.websocket_close_initiator"] != "server" || line["event.outcome"] != "success" {
					t.Errorf("the end is logged as %v", line)
				}
			}
		})
	}
}
