package apmws

import (
	"sync/atomic"
	"time"
)

// blockedAfter is how long a call of an exporter may last before the exporter
// counts as blocked: between once and twice that, which is long enough for a
// machine so busy that goroutines wait for their turn.
const blockedAfter = 2 * time.Second

// gate counts the calls of one exporter that are under way, so that one that
// does not return holds up the connection it was made for and no further one.
//
// Calls belong to the generation in which they began. A tick that finds none of
// the older generation left makes it the younger one; if there are some, they
// have lasted for a whole period. There are no ticks without calls.
type gate struct {
	underWay [2][gateShards]struct {
		n atomic.Int64
		_ [120]byte // two cache lines, see counterShard
	}
	younger atomic.Uint32
	ticking atomic.Bool
	shut    atomic.Bool

	changed func(blocked bool) // may take its time, and must not panic
}

const gateShards = 8

// enter begins a call. It returns nil when calls are not let through, else what
// leave needs.
func (g *gate) enter(shard int) *atomic.Int64 {
	if g.shut.Load() {
		return nil
	}
	call := &g.underWay[g.younger.Load()][shard%gateShards].n
	call.Add(1)
	if !g.ticking.Load() && g.ticking.CompareAndSwap(false, true) {
		time.AfterFunc(blockedAfter, g.tick)
	}
	return call
}

func (g *gate) tick() {
	younger := g.younger.Load()
	older := 1 - younger
	blocked := g.calls(older) > 0
	if !blocked {
		g.younger.Store(older)
	}
	changed := g.shut.Swap(blocked) != blocked
	if blocked || g.calls(younger) > 0 {
		time.AfterFunc(blockedAfter, g.tick)
	} else {
		g.ticking.Store(false)
	}
	if changed {
		g.changed(blocked)
	}
}

// calls returns how many of a generation are under way.
func (g *gate) calls(generation uint32) (n int64) {
	for i := range g.underWay[generation] {
		n += g.underWay[generation][i].n.Load()
	}
	return n
}
