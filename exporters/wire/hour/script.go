package hour

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a simulation.
type script struct {
	start, end time.Time
	scale      float64
	back       *backEnd
	book       *book
	log        *logbook
}

// lastWeek is how much of the traffic there was a week before.
const lastWeek = 0.6

// run runs it inside a bubble.
func (s *script) run(t *testing.T) {
	before := &period{script: s, t: t, start: s.start.Add(-week), end: s.end.Add(-week)}
	before.opens = before.start.Add(-warmUp - time.Minute)
	before.plan = newPlan(1, before.start, before.end, s.scale*lastWeek, false)
	before.play(nil)

	now := &period{script: s, t: t, start: s.start, end: s.end, opens: s.start.Add(-dayBefore)}
	now.plan = newPlan(2, now.start, now.end, s.scale, true)
	now.play(func() { now.restart("chat-2") })
}

// inIncident reports whether the billing service is called too often.
func (s *script) inIncident(at time.Time) bool {
	return !at.Before(s.start.Add(incidentBegins)) && at.Before(s.start.Add(incidentEnds))
}

// period is an hour with what comes before it.
type period struct {
	script            *script
	t                 *testing.T
	opens, start, end time.Time
	plan              *plan
	over              chan struct{} // closed at the end

	mu    sync.Mutex
	nodes map[string]*node // those that run
}

func (p *period) failf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("not as scripted: "+format, args...)
}

func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }

// play plays a period. meanwhile happens between its beginning and its end.
func (p *period) play(meanwhile func()) {
	p.over, p.nodes = make(chan struct{}), make(map[string]*node)
	sleepUntil(p.opens)
	for _, spec := range nodeSpecs() {
		p.set(spec.name, p.script.startNode(p.t, spec))
	}
	var guests sync.WaitGroup
	guests.Go(func() {
		for _, g := range p.plan.guests {
			sleepUntil(g.at)
			guests.Go(func() { p.follow(g) })
		}
	})
	sleepUntil(p.start.Add(-warmUp - lastReport))
	p.reportAll()
	sleepUntil(p.start.Add(-lastReport))
	p.reportAll()
	if meanwhile != nil {
		meanwhile()
	}
	sleepUntil(p.end.Add(-lastReport))
	p.each((*node).report)
	synctest.Wait() // all that was told is on its way
	sleepUntil(p.end)
	close(p.over)
	guests.Wait()
	time.Sleep(time.Second) // the servers have noticed
	p.each(func(n *node) { n.stop(p.t) })
}

// reportAll makes the nodes report now, and from then on regularly, each at a time
// of its own.
func (p *period) reportAll() {
	p.each((*node).report)
	wait := time.Duration(0)
	p.each(func(n *node) {
		n.tracer.SetMetricsInterval(reports)
		wait += 5 * time.Second
		time.AfterFunc(wait, func() { n.tracer.SendMetrics(nil) })
	})
}

// each does something with each node that runs, in an order that is always the same.
func (p *period) each(do func(*node)) {
	for _, spec := range nodeSpecs() {
		if n := p.get(spec.name); n != nil {
			do(n)
		}
	}
}

func (p *period) get(name string) *node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodes[name]
}

// set makes a node one that runs, or, if it is nil, none.
func (p *period) set(name string, n *node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[name] = n
}

// restart restarts a node.
func (p *period) restart(name string) {
	sleepUntil(p.start.Add(restartBegins))
	n := p.get(name)
	n.drain(p.t)
	p.set(name, nil) // nobody is sent here any more
	sleepUntil(p.start.Add(restartBegins + restartStops))
	n.stop(p.t)
	sleepUntil(p.start.Add(restartBegins + restartEnds))
	n = p.script.startNode(p.t, n.nodeSpec)
	n.tracer.SetMetricsInterval(reports)
	p.set(name, n)
}

// follow lets a guest come, and come back where it is sent away.
func (p *period) follow(g *guest) {
	until := g.at.Add(g.stay)
	for attempt := uint64(0); ; attempt++ {
		n := p.get(g.node)
		if n == nil || attempt > 0 { // only one node is ever restarted
			n = p.get([]string{"chat-1", "chat-3"}[g.seed%2])
		}
		if !p.attend(n.newVisit(g, attempt), attempt, until) {
			return
		}
		wait := newChance(g.seed, attempt*streams+ofRetry).between(500*time.Millisecond, 5*time.Second)
		if g.refuse == admitted && time.Until(until) < wait+time.Second {
			return
		}
		select {
		case <-time.After(wait):
		case <-p.over:
			return
		}
	}
}
