package apmws

import (
	"runtime"
	"sync/atomic"
	"time"
)

// blockedAfter is how long a call of an exporter may last before the exporter
// counts as blocked: between once and twice that.
const blockedAfter = 2 * time.Second

// turns is how often goroutines that wait for their turn get it before that is
// decided: on a machine that is busy enough, a call that blocks on nothing lasts for
// seconds.
const turns = 100

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
	for range turns {
		if !blocked {
			break
		}
		runtime.Gosched()
		blocked = g.calls(older) > 0
	}
	if !blocked {
		g.younger.Store(older)
	}
	changed := g.shut.Swap(blocked) != blocked
	if blocked || g.calls(younger) > 0 {
		time.AfterFunc(blockedAfter, g.tick)
	} else {
		g.ticking.Store(false)
		// A call that has begun meanwhile has not seen that.
		if g.calls(0)+g.calls(1) > 0 && g.ticking.CompareAndSwap(false, true) {
			time.AfterFunc(blockedAfter, g.tick)
		}
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
