package apmws

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Sampling decides which messages become transactions, before any exporter is
// called: a message that is not chosen costs what counting it costs. Counters
// and histograms stay exact, and so do connections: every handshake and every
// end is a transaction.
//
// A message that failed, panicked, timed out or was slow is kept in any case. If
// it was not chosen before, its transaction is made when it has been handled,
// with its true start and duration where the back end takes those, and without
// spans, since nobody was told to make any.
//
// What is chosen carries its weight, so that estimates are right on average:
// Elastic counts a message that was chosen at a rate of 0.01 a hundred times and
// one that was kept for its failure alone not at all. A message that continues a
// trace (MessageOptions.ContinueTrace) is chosen when that trace was.
type Sampling struct {
	// Rate is the share of messages that are chosen at random, from 0 to 1.
	Rate float64

	// Names holds the rates of messages with a rate of their own, by their
	// registered name or _OTHER.
	Names map[string]float64

	// Slow is how long a message must take to be kept for that. 0: none is.
	Slow time.Duration

	// MaxPerSecond bounds the transactions of messages, whatever they are kept
	// for: in an incident everything may fail. Those beyond are counted as
	// dropped, by the reason "rate_cap", and missing in estimates. 0: no bound.
	MaxPerSecond int
}

// sampler is Sampling, ready for use. A nil sampler leaves every decision to the
// exporters.
type sampler struct {
	rate  headRate
	names map[string]headRate
	slow  time.Duration
	limit rateCap
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

// newSampler warns of rates that are none.
func (a *Agent) newSampler(opts *Sampling) *sampler {
	if opts == nil {
		return nil
	}
	s := &sampler{
		rate: newHeadRate(opts.Rate), names: make(map[string]headRate, len(opts.Names)),
		slow: opts.Slow, limit: rateCap{perSecond: uint32(min(max(0, opts.MaxPerSecond), 1<<31))},
	}
	a.checkRate("", opts.Rate)
	for name, rate := range opts.Names {
		a.checkRate(name, rate)
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

// decision is what is to become of a message.
type decision struct {
	record  bool
	capped  bool // it is not recorded whatever becomes of it
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
	if s == nil {
		return decision{record: true, weight: 1}
	}
	d := decision{record: remote.Sampled(), sampled: true, weight: 1}
	if !remote.IsValid() {
		rate, ok := s.names[name]
		if !ok {
			rate = s.rate
		}
		d.record, d.weight = rate.chooses(), rate.weight
	}
	if d.record && !s.limit.allow() {
		d.record, d.capped = false, true
	}
	return d
}

// keeps reports whether a message that was not chosen is recorded after it has
// been handled.
func (s *sampler) keeps(failed bool, d time.Duration) bool {
	return s != nil && (failed || s.slowly(d)) && s.limit.allow()
}

// slowly reports whether a message has taken long enough to be kept.
func (s *sampler) slowly(d time.Duration) bool { return s != nil && s.slow > 0 && d >= s.slow }

// rateCap allows so many events in each second.
type rateCap struct {
	perSecond uint32        // 0: any number
	window    atomic.Uint64 // the second, and in the lower half how many were allowed
	refused   atomic.Int64
}

func (c *rateCap) allow() bool { return c.perSecond == 0 || c.allowAt(monotonic()) }

func (c *rateCap) allowAt(now time.Duration) bool {
	second := uint64(now/time.Second) + 1
	for {
		old := c.window.Load()
		next := second << 32
		if old>>32 >= second {
			next = old
		}
		if uint32(next) >= c.perSecond {
			c.refused.Add(1)
			return false
		}
		if c.window.CompareAndSwap(old, next+1) {
			return true
		}
	}
}
