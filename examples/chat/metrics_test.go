package main

import (
	"net/http"
	"strings"
	"testing"
)

// seriesValue returns the value of a series in Prometheus' text format.
func seriesValue(text, series string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestMetrics: what Prometheus scrapes counts who is here and what was said, and
// names nobody.
func TestMetrics(t *testing.T) {
	n := startNode(t, nil)
	join(t, n.url, "Ada", "tea")
	n.log.wait(t, "message", 1, action("websocket-message"))
	res, text := request(t, "GET", n.url+"metrics", "", nil)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", res.Status, text)
	}
	for series, want := range map[string]string{
		`websocket_connections_active{http_route="/ws"}`:                "1",
		`websocket_connections_opened_total{http_route="/ws"}`:          "1",
		`websocket_messages_received_total{http_route="/ws"}`:           "1",
		`websocket_connection_duration_seconds_count{http_route="/ws"}`: "0",
	} {
		if got := seriesValue(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	for _, series := range []string{"go_goroutines", "process_open_fds"} {
		if seriesValue(text, series) == "" {
			t.Errorf("there is no %s", series)
		}
	}
	if strings.Contains(text, `"Ada"`) || strings.Contains(text, `"tea"`) {
		t.Errorf("a name or a room is in the metrics:\n%s", text)
	}
	if found, _ := n.log.all(func(l logLine) bool { return l["url.path"] == "/metrics" && l["log.level"] != "debug" }); len(found) > 0 {
		t.Errorf("scrapes are logged: %v", found)
	}
}

func TestMetricsAreLocal(t *testing.T) {
	elsewhere := map[string]string{"Host": "chat.example"}
	n := startNode(t, nil)
	if res, _ := request(t, "GET", n.url+"metrics", "", elsewhere); res.StatusCode != http.StatusForbidden {
		t.Errorf("another host's name: %s", res.Status)
	}
	open := startNode(t, func(cfg *config) { cfg.exposeMetrics = true })
	if res, text := request(t, "GET", open.url+"metrics", "", elsewhere); res.StatusCode != http.StatusOK || !strings.Contains(text, "websocket_connections_active") {
		t.Errorf("exposed: %s %.80s", res.Status, text)
	}
}
