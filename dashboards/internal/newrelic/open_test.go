package newrelic_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/apmws/go-apmws/dashboards/internal/newrelic/evaluate"
	"github.com/apmws/go-apmws/exporters/wire/collector"
)

// reported is what New Relic has of a metric after its reports.
func reported(reports ...float64) collector.Values {
	v := collector.Values{Count: float64(len(reports)), Min: reports[0], Max: reports[0]}
	for _, r := range reports {
		v.Total += r
		v.Min, v.Max = min(v.Min, r), max(v.Max, r)
	}
	return v
}

// Two processes report for a minute, one after the other in each ten seconds. On
// average 10 and 4 connections are open. An average of all reports would be 7, and a
// maximum 12.
func TestOpenConnectionsAreThoseOfAllProcesses(t *testing.T) {
	const name = "Custom/WebSocket/Connections/"
	b := &board{
		t: t, variables: evaluate.Variables{"application": {collector.AppName}},
		data: evaluate.Of(collector.Harvest{Metrics: map[collector.Metric]collector.Values{
			{Name: name + "Active"}: reported(10, 4, 10, 4, 12, 4, 12, 4, 8, 4, 8, 4),
			{Name: name + "Opened"}: reported(3, 0, 1, 0, 2, 0, 1, 0, 0, 0, 0, 0),
		}}),
	}
	if got := b.number("Overview", "Open now (connections, all processes)", 0); got != 14.0 {
		t.Errorf("open: got %v, want 10 and 4", got)
	}
	if got := b.numbers("Overview", "Open by host (connections, stacked)"); got["host-1"] != 14 || len(got) != 1 {
		t.Errorf("open by host: got %v, want 10 and 4", got)
	}
	// 7 in a minute are 420 in an hour, for 14 connections.
	if got := b.number("Connections", "Reconnect churn (connects/connection-hour)", 0); got != 30.0 {
		t.Errorf("churn: got %v, want 7 * 60 / 14", got)
	}
	averages := b.widget("Connections", "Open in one process, average and peak (connections)")[0].Groups
	if len(averages) != 1 || averages[0].Values[0] != 7.0 || averages[0].Values[1] != 12.0 {
		t.Errorf("one process: got %+v, want 7 and 12", averages)
	}
}

// The queries and the test above are right for as long as the exporter reports every
// ten seconds. Its interval is not exported.
func TestProcessesReportEveryTenSeconds(t *testing.T) {
	source, err := os.ReadFile("../../../exporters/newrelicws/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(source, []byte("\nconst reportInterval = 10 * time.Second\n")) {
		t.Error("exporters/newrelicws reports at another interval than the queries assume")
	}
}
