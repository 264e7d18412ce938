package dashboards_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/apmws/go-apmws/dashboards"
)

// TestGrafana: the file is handed out, as a copy that is the caller's.
func TestGrafana(t *testing.T) {
	want, err := os.ReadFile("grafana/apmws.json")
	if err != nil {
		t.Fatal(err)
	}
	got := dashboards.Grafana()
	if !bytes.Equal(got, want) || !json.Valid(got) {
		t.Error("it is not grafana/apmws.json")
	}
	clear(got)
	if !bytes.Equal(dashboards.Grafana(), want) {
		t.Error("a caller can change it")
	}
}
