package exact

import (
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// TestEveryTransaction: at a rate that both back ends can take, each message is a
// transaction at each of them, once, under its name and with its outcome.
func TestEveryTransaction(t *testing.T) {
	for _, sampling := range []*apmws.Sampling{nil, {Rate: 1}} {
		ctx := within(t, time.Minute)
		x := newTrial(t, sampling, false)
		// Elastic's agent has room for a thousand events, New Relic's for two hundred;
		// in between they catch up.
		const rounds, connections, messages = 10, 6, 300
		for range rounds {
			x.fleet.run(t, connections, messages)
			x.settle(ctx, t)
			if err := x.agent.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		stats := x.shutDown(ctx, t)
		for _, d := range stats.Dropped {
			if d.Count != 0 {
				t.Errorf("dropped: %+v", d)
			}
		}
		_, _, documents := x.meter.seen(t)
		posted := x.collector.seen()
		got, _ := messagesOf(documents)
		byName := make(map[string]float64)
		want := make(map[[2]string]uint64)
		for key, n := range x.fleet.handled {
			want[[2]string{key.name, string(key.outcome)}] += n
			byName[key.name] += float64(n)
		}
		for key := range union(got, want) {
			if got[key] != want[key] {
				t.Errorf("Elastic: %v: %d, want %d", key, got[key], want[key])
			}
		}
		for name, n := range byName {
			if got := posted["OtherTransaction/Go/Message/"+name][0]; got != n {
				t.Errorf("New Relic: %s: %v, want %v", name, got, n)
			}
		}
		if all := posted["OtherTransaction/all"][0]; all != rounds*(messages+2*connections) {
			t.Errorf("New Relic: %v transactions, want those of %d messages and %d connections", all, rounds*messages, rounds*connections)
		}
		var elastic int
		for _, n := range documents {
			elastic += n
		}
		if elastic != rounds*(messages+2*connections) {
			t.Errorf("Elastic: %d transactions, want those of %d messages and %d connections", elastic, rounds*messages, rounds*connections)
		}
	}
}
