package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"
	"github.com/gorilla/websocket"
)

// heldToken is one whose check takes until it is let go.
const heldToken = "held"

// holding makes the check of heldToken wait until leave is closed. It tells entered.
func holding(cfg *config, entered chan<- struct{}, leave <-chan struct{}) {
	cfg.secret = []byte("0123456789abcdef")
	others := tokens{secret: cfg.secret, audience: defaultAudience}.verify
	cfg.verify = func(ctx context.Context, token string) (identity, error) {
		if token != heldToken {
			return others(ctx, token)
		}
		entered <- struct{}{}
		<-leave
		return identity{user: "Bob"}, nil
	}
}

// While it drains, the server takes nobody in and says so; what it has in hand is
// published and answered, and then its peers are told to go.
func TestDrain(t *testing.T) {
	mini := miniredis.RunT(t)
	checking, publishing := make(chan struct{}, 1), make(chan struct{}, 2) // 2: the client may try again
	checked, published := make(chan struct{}), make(chan struct{})
	check, publish := sync.OnceFunc(func() { close(checked) }), sync.OnceFunc(func() { close(published) })
	defer check() // a test that fails is not to wait for them
	defer publish()
	n := startNode(t, func(cfg *config) {
		cfg.redisURL, cfg.drain = "redis://"+mini.Addr(), patience
		holding(cfg, checking, checked)
	})
	elsewhere := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada, bob, cleo := join(t, n.url, "Ada", "tea"), join(t, n.url, "Bob", "den"), join(t, elsewhere.url, "Cleo", "tea")
	token := signIn(t, n.url, "Eve")

	bob.send(`{"type":"auth.renew","token":"` + heldToken + `"}`)
	<-checking
	mini.Server().SetPreHook(func(_ *redisserver.Peer, cmd string, _ ...string) bool {
		if strings.EqualFold(cmd, "publish") {
			publishing <- struct{}{}
			<-published
		}
		return false
	})
	ada.say("tea", "in hand")
	<-publishing
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		n.stop()
	}()
	n.log.wait(t, "draining", 1, action("websocket-draining"))
	publish()
	cleo.expect(sayings("tea", "Ada", "in hand"))
	ada.expectClosed(websocket.CloseGoingAway, "going away")

	// Bob's message is in hand, so all else still works.
	for path, status := range map[string]int{"readyz": http.StatusServiceUnavailable, "healthz": http.StatusOK} {
		if res, body := request(t, "GET", n.url+path, "", nil); res.StatusCode != status {
			t.Errorf("/%s is answered by %s %s", path, res.Status, body)
		}
	}
	_, res, err := dial(t, wsURL(n.url), http.Header{"Authorization": {"Bearer " + token}})
	if err == nil || res == nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "5" {
		t.Errorf("a handshake is answered by %v (%v)", res, err)
	}
	line := n.log.wait(t, "refused", 1, action("websocket-refused"))[0]
	if line["labels.websocket_refusal_reason"] != "draining" {
		t.Errorf("the refusal is logged as %v", line)
	}
	check()
	bob.expect(map[string]string{"type": "auth.renewed"})
	bob.expectClosed(websocket.CloseGoingAway, "going away")
	<-stopped

	ends, _ := n.log.all(action("websocket-disconnected"))
	if len(ends) != 2 {
		t.Errorf("%d ends are in the log", len(ends))
	}
	for _, end := range ends {
		if end["labels.websocket_close_code"] != "1001" || end["labels.websocket_close_initiator"] != "server" || end["event.reason"] != "drain" {
			t.Errorf("an end is logged as %v", end)
		}
	}
	n.expectDrained(t, 2, 0)
	if found, _ := n.log.all(action("shutdown")); len(found) > 0 {
		t.Errorf("complaints: %v", found)
	}
}

// expectDrained looks for what the drain has come to.
func (n *node) expectDrained(t *testing.T, closed, cutOff float64) {
	t.Helper()
	line := n.log.wait(t, "drained", 1, action("websocket-drained"))[0]
	if line["websocket.drain.closed"] != closed || line["websocket.drain.cut_off"] != cutOff {
		t.Errorf("drained: %v, want %v closed, %v of them cut off", line, closed, cutOff)
	}
}

// A message that hangs holds up the end for as long as -drain says.
func TestDrainIsBounded(t *testing.T) {
	checking, leave := make(chan struct{}, 1), make(chan struct{})
	defer close(leave)
	n := startNode(t, func(cfg *config) {
		cfg.drain = time.Second
		holding(cfg, checking, leave)
	})
	bob := join(t, n.url, "Bob", "tea")
	bob.send(`{"type":"auth.renew","token":"` + heldToken + `"}`)
	<-checking
	n.stop()
	bob.expectClosed(websocket.CloseGoingAway, "going away")
	n.expectDrained(t, 1, 1)
	found, _ := n.log.all(action("shutdown"))
	if len(found) != 1 || !strings.Contains(found[0].str("error.message"), "1 connections were cut off") {
		t.Errorf("complaints: %v", found)
	}
}

func TestReady(t *testing.T) {
	n := startNode(t, nil)
	if res, body := request(t, "GET", n.url+"readyz", "", nil); res.StatusCode != http.StatusOK || body != "{\"status\":\"ready\"}\n" {
		t.Errorf("/readyz is answered by %s %s", res.Status, body)
	}
}
