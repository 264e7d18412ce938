package apmws

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// Sampling decides which messages become transactions, before any exporter is
// called: a message that is not chosen costs what counting it costs. Counters
// and histograms stay exact. Handshakes and ends of connections are not affected.
//
// A message that failed, panicked, timed out or was slow is kept all the same. If
// it was not chosen before, its transaction is made when it has been handled,
// with its true start and duration where the back end takes those, and without
// spans, since nobody was told to make any.
//
// What is chosen carries its weight, so that estimates are right on average:
// Elastic counts a message that was chosen at a rate of 0.01 a hundred times and
// one that was kept for its failure alone not at all. The exporters' own samplers
// are not asked, even about a rate of 1.
//
// A message that continues a trace (MessageOptions.ContinueTrace) is chosen when
// its sender says that the trace is sampled.
type Sampling struct {
	// Rate is the share of messages that are chosen at random, from 0, which
	// chooses none, to 1.
	Rate float64

	// Names holds the rates of messages with a rate of their own, by their
	// registered name or _OTHER.
	Names map[string]float64

	// Slow is how long a message must take to be kept for that. 0: none is.
	Slow time.Duration

	// MaxPerSecond bounds the transactions of messages: in an incident everything
	// may fail. Those that are chosen get at most half of it, so that there is
	// room for failures. Those beyond are counted as dropped, by the reason
	// "rate_cap", and missing in estimates. 0: no bound.
	MaxPerSecond int
}

// sampler is Sampling, ready for use. A nil sampler leaves every decision to the
// exporters.
type sampler struct {
	rate   headRate
	names  map[string]headRate
	slow   time.Duration
	chosen rateCap // of those that are chosen
	all    rateCap // of these and those that are kept
	capped atomic.Int64
}

// headRate is a sampling rate.
type headRate struct {
	below  uint64  // a random number below that is chosen
	weight float64 // of what is chosen
	always bool
}

func newHeadRate(rate float64) headRate {
	switch {
	case rate >= 1:
		return headRate{always: true, weight: 1}
	case rate > 0:
		return headRate{below: uint64(rate * (1 << 63) * 2), weight: 1 / rate}
	default: // NaN too
		return headRate{}
	}
}

func (r headRate) chooses() bool { return r.always || r.below > 0 && rand.Uint64() < r.below }

// newSampler warns of what cannot be meant.
func (a *Agent) newSampler(opts *Sampling) *sampler {
	if opts == nil {
		return nil
	}
	perSecond := uint32(min(max(0, opts.MaxPerSecond), math.MaxInt32))
	s := &sampler{
		rate: newHeadRate(opts.Rate), names: make(map[string]headRate, len(opts.Names)), slow: opts.Slow,
		chosen: rateCap{perSecond: (perSecond + 1) / 2}, all: rateCap{perSecond: perSecond},
	}
	a.checkRate("", opts.Rate)
	for name, rate := range opts.Names {
		a.checkRate(name, rate)
		if a.logger != nil && !a.registers(name) {
			a.logger.Warn().Str(labelMessageName, name).Msg("websocket sampling rate of a name that is not registered")
		}
		s.names[name] = newHeadRate(rate)
	}
	return s
}

func (a *Agent) checkRate(name string, rate float64) {
	if rate >= 0 && rate <= 1 || a.logger == nil {
		return
	}
	a.logger.Warn().Str(labelMessageName, name).Float64("rate", rate).
		Msg("websocket sampling rate is not between 0 and 1")
}

// registers reports whether a message of any route can have that name.
func (a *Agent) registers(name string) bool {
	if name == semconv.Other || slices.Contains(a.messages.Names, name) {
		return true
	}
	for _, opts := range a.routeOptions {
		if slices.Contains(opts.Names, name) {
			return true
		}
	}
	return false
}

// decision is what is to become of a message.
type decision struct {
	record  bool
	capped  bool // it was chosen, and there was no room
	sampled bool // the agent has decided
	weight  float64
}

// choose decides on a message before it is handled. remote is the trace context
// that came in it.
func (c *Conn) choose(name string, remote SpanContext) decision {
	if c.span == nil {
		return decision{}
	}
	if !c.route.messages.ContinueTrace {
		remote = SpanContext{}
	}
	return c.agent.sampler.choose(name, remote)
}

// choose decides on a message. remote is the trace that it is to continue, if
// any.
func (s *sampler) choose(name string, remote SpanContext) decision {
	return s.chooseBelow(name, remote, 0)
}

// chooseBelow decides on what is below something that is recorded and has the weight
// above, unless that is 0: it is recorded when that is, and so stands for as many.
func (s *sampler) chooseBelow(name string, remote SpanContext, above float64) decision {
	if s == nil {
		return decision{record: true, weight: 1}
	}
	d := decision{record: above > 0 || remote.Sampled(), sampled: true, weight: cmp.Or(above, 1)}
	if above == 0 && !remote.IsValid() {
		rate, ok := s.names[name]
		if !ok {
			rate = s.rate
		}
		d.record, d.weight = rate.chooses(), rate.weight
	}
	if d.record && !(s.chosen.allow() && s.all.allow()) {
		d.record, d.capped = false, true
		s.capped.Add(1)
	}
	return d
}

// keeps reports whether a message that is not recorded is worth it now that it
// has been handled. capped says that there was no room for it before, which has
// been counted.
func (s *sampler) keeps(failed bool, d time.Duration, capped bool) bool {
	if s == nil || !failed && !s.slowly(d) {
		return false
	}
	if s.all.allow() {
		return true
	}
	if !capped {
		s.capped.Add(1)
	}
	return false
}

// slowly reports whether a message has taken long enough to be kept.
func (s *sampler) slowly(d time.Duration) bool { return s != nil && s.slow > 0 && d >= s.slow }

// rateCap allows so many events in each second.
type rateCap struct {
	perSecond uint32        // 0: any number
	window    atomic.Uint64 // the second, and in the lower half how many were allowed
}

func (c *rateCap) allow() bool { return c.perSecond == 0 || c.allowAt(monotonic()) }

func (c *rateCap) allowAt(now time.Duration) bool {
	second := uint32(now/time.Second) + 1 // 0 is before the first
	for {
		old := c.window.Load()
		next := uint64(second) << 32
		if int32(second-uint32(old>>32)) <= 0 && old != 0 {
			next = old
		}
		if uint32(next) >= c.perSecond {
			return false
		}
		if c.window.CompareAndSwap(old, next+1) {
			return true
		}
	}
}
