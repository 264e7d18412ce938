package promws

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/apmws/go-apmws/apmws"
)

var update = flag.Bool("update", false, "write the golden file anew")

// scripted is a snapshot in which nothing is left to chance.
func scripted() apmws.Stats {
	took := func(buckets ...apmws.Bucket) apmws.Histogram {
		h := apmws.Histogram{Buckets: buckets}
		for _, b := range buckets {
			h.Count += b.Count
			h.Sum += time.Duration(b.Count) * b.Mid()
		}
		return h
	}
	return apmws.Stats{
		Routes: []apmws.RouteStats{
			{Route: "/rooms/{id}"}, // nothing has happened
			{
				Route:             "/ws",
				ConnectionsActive: 50000, ConnectionsOpened: 50007,
				Refused: []apmws.RefusedStats{
					{Status: 0, Reason: "bad_handshake", Count: 1},
					{Status: 401, Reason: "unauthenticated", Count: 4},
				},
				Closed: []apmws.ClosedStats{
					{Cause: apmws.CauseNormal, Count: 5},
					{Cause: apmws.CauseReadError, Count: 2},
				},
				MessagesReceived: 1 << 40, MessagesSent: 12,
				BytesReceived: 1<<53 - 1, BytesSent: 0,
				PingsUnanswered:   2,
				SendQueueMessages: 3, SendQueueDropped: 4,
				ConnectionDuration: took(
					apmws.Bucket{Lower: time.Microsecond << 16, Upper: time.Microsecond << 16 / 4 * 5, Count: 3},
					apmws.Bucket{Lower: time.Microsecond << 36 / 4 * 7, Upper: time.Microsecond << 37, Count: 2},
					apmws.Bucket{Lower: time.Microsecond << 37, Upper: 1<<63 - 1, Count: 2}, // the open one
				),
				PingRTT: took(apmws.Bucket{Lower: 0, Upper: time.Microsecond, Count: 6}),
				WriteDuration: took(
					apmws.Bucket{Lower: time.Microsecond << 8 / 4 * 7, Upper: time.Microsecond << 9, Count: 1},
					apmws.Bucket{Lower: time.Microsecond << 9, Upper: time.Microsecond << 9 / 4 * 5, Count: 10},
					apmws.Bucket{Lower: time.Microsecond << 25, Upper: time.Microsecond << 25 / 4 * 5, Count: 100},
				),
				Messages: []apmws.MessageStats{
					{Name: "chat.say", Outcome: apmws.OutcomeFailure, Duration: took(
						apmws.Bucket{Lower: time.Microsecond << 23, Upper: time.Microsecond << 23 / 4 * 5, Count: 1})},
					{Name: "chat.say", Outcome: apmws.OutcomeSuccess, Duration: took(
						apmws.Bucket{Lower: time.Microsecond << 10, Upper: time.Microsecond << 10 / 4 * 5, Count: 7})},
				},
				Calls: []apmws.CallStats{{Name: "chat.say", Address: "billing.example", Count: 8}},
			},
		},
		Dropped: []apmws.Dropped{{Exporter: "elasticws", Reason: "requests", Count: 3}},
	}
}

// TestExposition: the text that Prometheus reads, byte by byte.
func TestExposition(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(scripted))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&got, family); err != nil {
			t.Fatal(err)
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("go test -update writes it anew; got\n%s", got.String())
	}
	parsed, err := parse(got.String())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, scraped(parsed), counted(t, scripted(), parsed))
}
