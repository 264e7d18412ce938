package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// By itself New Relic gets all that Elastic would, and its ids are the log's.
func TestNewRelicAlone(t *testing.T) {
	c := newCollector(t)
	n := startNode(t, func(cfg *config) { cfg.newRelic, cfg.newRelicOption = licenceKey, c.configure })
	connected(t, n.newRelic)
	n.log.wait(t, "of New Relic", 1, message("New Relic is on"))
	ada := join(t, n.url, "Ada", "tea")
	closeFrame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := ada.WriteControl(websocket.CloseMessage, closeFrame, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	n.stop()
	all := c.records(t)
	for _, key := range []string{opened, "Message/chat.join ok", ended} {
		r, ok := all[key]
		if !ok {
			t.Fatalf("no %s in %v", key, all)
		}
		found, _ := n.log.all(func(l logLine) bool { return l["trace.id"] == r.trace && l["entity.guid"] == "the-entity" })
		if len(found) == 0 && key != ended { // its line has the ids of CONNECT
			t.Errorf("no line has the id of %s: %s", key, n.log)
		}
	}
	if strings.Contains(n.log.String(), "newrelic.trace.id") {
		t.Error("the ids have a prefix, though there are no others")
	}
}

// What New Relic has not got when the server is told to end is sent then, the ends
// of the connections included.
func TestNewRelicIsFlushed(t *testing.T) {
	c := newCollector(t)
	n := startNode(t, func(cfg *config) { cfg.newRelic, cfg.newRelicOption = licenceKey, c.configure })
	connected(t, n.newRelic)
	ada := join(t, n.url, "Ada", "tea")
	stopped := make(chan struct{})
	go func() {
		n.stop()
		close(stopped)
	}()
	ada.expectClose(websocket.CloseGoingAway)
	<-stopped
	all := c.records(t)
	for _, key := range []string{opened, "Message/chat.join ok", "Disconnection/DISCONNECT /ws drain"} {
		if _, ok := all[key]; !ok {
			t.Errorf("no %s in %v", key, all)
		}
	}
	if closed := c.metrics["Custom/WebSocket/Connections/Closed/drain"].total; closed != 1 {
		t.Errorf("New Relic has counted %v ends, want 1", closed)
	}
}

// Without the variable nothing is sent anywhere, whatever the agent's other
// variables say.
func TestNewRelicIsOffByDefault(t *testing.T) {
	t.Setenv("NEW_RELIC_ENABLED", "true")
	n := startNode(t, nil)
	n.log.wait(t, "of New Relic", 1, func(l logLine) bool { return strings.HasPrefix(l.str("message"), "New Relic is off") })
	if n.newRelic != nil {
		t.Error("there is an application of New Relic's")
	}
}

// A New Relic that cannot be reached, as its variables have it, holds up neither
// the chat nor the exit; what its agent has to say is in the log, without the key.
func TestNewRelicIsAway(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(http.NotFoundHandler()) // speaks no TLS
	defer away.Close()
	p := startProcess(t, unhurried, []string{
		"NEW_RELIC_LICENSE_KEY=" + licenceKey, "NEW_RELIC_APP_NAME=my-app", "NEW_RELIC_LOG=stdout",
		"NEW_RELIC_HOST=" + strings.TrimPrefix(away.URL, "http://"),
	})
	chatRoundTrip(t, p.url, p.url)
	line := p.stdout.wait(t, "failure to connect", 1, func(l logLine) bool {
		return l["event.action"] == "newrelic-agent" && strings.Contains(l.str("message"), "connect failure")
	})[0]
	if !strings.Contains(line.str("message"), "HTTP response to HTTPS client") || line["log.level"] != "warn" {
		t.Errorf("the failure is logged as %v", line)
	}
	p.stdout.wait(t, "application", 1, func(l logLine) bool { return strings.Contains(l.str("message"), "my-app") })
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}
	if strings.Contains(p.stdout.String(), "licence-secret") {
		t.Errorf("the log shows the key:\n%s", p.stdout)
	}
	if lines, _ := p.stdout.all(func(l logLine) bool { return l.str("@timestamp") == "" }); len(lines) > 0 {
		t.Errorf("strange lines: %v", lines)
	}
}
