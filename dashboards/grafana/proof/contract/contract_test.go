package contract

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRead: the page's table is read, and what is no such table is an error.
func TestRead(t *testing.T) {
	metrics, err := Read("../../../../apmws/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	refused := metrics["websocket_connections_refused_total"]
	if want := []string{"http_response_status_code", "http_route", "websocket_refusal_reason"}; refused.Kind != "counter" ||
		!slices.Equal(refused.Labels, want) {
		t.Errorf("the page has %+v", refused)
	}
	for series, want := range map[string]string{
		"websocket_connections_active":            "websocket_connections_active",
		"websocket_message_duration_seconds_sum":  "websocket_message_duration_seconds",
		"websocket_message_duration_seconds":      "", // which is no series
		"websocket_connections_active_bucket":     "",
		"websocket_connections_opened":            "",
		"websocket_message_duration_seconds_most": "",
	} {
		if m, ok := metrics.Of(series); ok != (want != "") || ok && m.Name != want {
			t.Errorf("%s is of %+v, %v", series, m, ok)
		}
	}
	const head = "\n## Metrics\n\n| metric | kind | labels | x | Prometheus |\n|---|---|---|---|---|\n"
	for name, text := range map[string]string{
		"no table": "# Nothing\n", "no end": head, "a row that is short": head + "| a | b |\n\n",
	} {
		path := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, err := Read("no such page"); err == nil {
		t.Error("a page that is not there was read")
	}
}
