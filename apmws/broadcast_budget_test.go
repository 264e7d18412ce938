//go:build !race

package apmws

import (
	"context"
	"slices"
	"testing"
)

// crowdSize is how many recipients a crowd has.
const crowdSize = 10_000

// TestBroadcastAllocations: however many recipients there are, a broadcast
// allocates the same.
func TestBroadcastAllocations(t *testing.T) {
	for name, opts := range map[string]Options{
		"nobody records": {Messages: testMessages},
		"recorded":       {Messages: testMessages, Exporters: []Exporter{nopBroadcaster{}}},
	} {
		conns, hangUp := crowd(t, New(opts), EndpointOptions{}, 1000)
		agent := conns[0].agent
		allocs := func(n int) float64 {
			to := slices.Values(conns[:n])
			return testing.AllocsPerRun(20, func() {
				if r := agent.Broadcast(t.Context(), sayAll, to, BroadcastOptions{}); r.Written != n {
					t.Fatalf("Broadcast returned %+v", r)
				}
			})
		}
		few, all := allocs(10), allocs(1000)
		if all-few > 2 { // of pools that a garbage collection has emptied
			t.Errorf("%s: %v allocations for 10 recipients, %v for 1,000", name, few, all)
		}
		hangUp()
	}
}

// nopBroadcaster records broadcasts, and keeps nothing.
type nopBroadcaster struct{ nopExporter }

// StartBroadcast implements Broadcaster.
func (nopBroadcaster) StartBroadcast(context.Context, any, MessageStart) MessageSpan {
	return nopMessage{}
}
