package hour

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// plan makes the guests of an hour.
type plan struct {
	chance
	start, end time.Time
	scale      float64
	guests     []*guest
}

// Numbers of guests in an hour, at a scale of 1.
const (
	ofRooms    = 560
	ofNotify   = 230
	ofQuotes   = 140
	ofStaging  = 24
	ofNews     = 50
	early      = 25
	ofIncident = 250
)

// The incident and the restart, after the beginning of the hour.
const (
	incidentBegins = 18 * time.Minute
	incidentEnds   = 28 * time.Minute
	restartBegins  = 40*time.Minute + 137*time.Millisecond // not when those of the day before are pinged, on the half minute
	restartStops   = 105 * time.Second
	restartEnds    = 2 * time.Minute
)

const (
	integrationUser    = "integration-7"
	integrationAddress = "203.0.113.77"
	scannerAddress     = "198.51.100.9"
	evilOrigin         = "https://evil.example"
	site               = "chat.example"
)

// newPlan makes a plan. The main hour is the one with all that goes wrong.
func newPlan(seed uint64, start, end time.Time, scale float64, isMain bool) *plan {
	p := &plan{chance: newChance(seed, 0), start: start, end: end, scale: scale}
	p.crowd(ofRooms, func(g *guest) { p.inRoom(g) })
	p.crowd(ofNotify, func(g *guest) { g.route, g.user = routeNotify, p.person() })
	p.crowd(ofQuotes, func(g *guest) {
		g.service, g.node, g.route, g.user = "feeds", "feeds-1", routeQuotes, fmt.Sprintf("desk-%d", 1+p.IntN(12))
	})
	p.special()
	p.details()
	p.crowd(ofStaging, func(g *guest) {
		p.inRoom(g)
		g.node, g.user = "staging-1", fmt.Sprintf("tester-%d", 1+p.IntN(4))
	})
	p.refused()
	p.news()
	if isMain {
		p.long()
		p.incident()
		p.inRestart()
	}
	slices.SortStableFunc(p.guests, func(a, b *guest) int { return a.at.Compare(b.at) })
	for i, g := range p.guests {
		g.seed = seed<<20 + uint64(i)
		g.busyFrom = start.Add(-warmUp)
	}
	return p
}

// many scales a number; what is rare remains.
func (p *plan) many(n float64) int { return max(1, int(math.Round(n*p.scale))) }

// add adds a guest who comes at a time.
func (p *plan) add(at time.Time) *guest {
	g := &guest{
		service: "chat", node: one(p.chance, "chat-1", "chat-2", "chat-3"), at: at,
		address: fmt.Sprintf("%s.%d", one(p.chance, "203.0.113", "198.51.100", "192.0.2"), 10+p.IntN(60)),
		origin:  "https://" + site,
		agent: one(p.chance, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/147.0", "Mozilla/5.0 (Macintosh) Safari/605.1.15",
			"Mozilla/5.0 (X11; Linux x86_64) Chrome/144.0.0.0", "ChatApp/4.2 (iOS)", "ChatApp/4.2 (Android)"),
	}
	p.guests = append(p.guests, g)
	return g
}

func (p *plan) person() string { return fmt.Sprintf("user-%d", 1+p.IntN(180)) }

func (p *plan) inRoom(g *guest) {
	g.route, g.room, g.user = routeRooms, fmt.Sprintf("r%d", 1+p.IntN(24)), p.person()
}

// arrival draws a time between the beginning of the warm-up and the end: in a gentle
// wave.
func (p *plan) arrival() time.Time {
	for {
		at := p.between(-warmUp, p.end.Sub(p.start))
		if p.happens((1 + 0.3*math.Sin(2*math.Pi*at.Minutes()/45)) / 1.3) {
			return p.start.Add(at)
		}
	}
}

// crowd adds ordinary guests, n of them in the hour.
func (p *plan) crowd(n float64, describe func(*guest)) {
	for range p.many(n * (1 + warmUp.Hours())) {
		g := p.add(p.arrival())
		describe(g)
		g.stay = min(p.lasts(210*time.Second, 1.25), 50*time.Minute)
		g.ending = endNormal
		switch x := p.Float64(); {
		case x < 0.30:
			g.ending = endAway
		case x < 0.42:
			g.ending = endNoCode
		case x < 0.55:
			g.ending = endVanish
		}
	}
}

// special makes some of the guests of rooms leave in unusual ways, within the hour,
// on nodes that are not restarted.
func (p *plan) special() {
	var able []*guest
	for _, g := range p.guests {
		leaves := g.at.Add(g.stay)
		if g.route == routeRooms && g.node != "chat-2" && g.at.After(p.start) && g.stay > 10*time.Second &&
			leaves.Before(p.end.Add(-2*patience)) {
			able = append(able, g)
		}
	}
	for _, kind := range []struct {
		ending ending
		n      float64
	}{
		{endPanic, 6}, {endBroken, 8}, {endKicked, 12}, {endProtocol, 6}, {endTooBig, 7}, {endUnread, 4}, {endSilence, 12},
	} {
		for range p.many(kind.n) {
			g := p.take(&able)
			g.ending = kind.ending
			if g.ending == endSilence {
				g.stay = max(g.stay, 2*patience)
			}
		}
	}
	for range p.many(24) {
		p.take(&able).stall = min(p.lasts(4*time.Second, 0.6)+2*time.Second, 14*time.Second)
	}
	for range p.many(5) {
		p.take(&able).late = true
	}
	for i := range p.many(12) {
		p.take(&able).malformed = []malformed{inMessage, inHandshake}[i%2]
	}
}

// news adds readers, on nodes that are not restarted. Some stay until they are too
// old, some stop reading for a while or for good, and some vanish.
func (p *plan) news() {
	add := func(at time.Time, stay time.Duration, how ending) *guest {
		g := p.add(at)
		g.node, g.route, g.user = one(p.chance, "chat-1", "chat-3"), routeNews, p.person()
		g.stay, g.ending = min(stay, 50*time.Minute), how
		return g
	}
	for range p.many(ofNews) {
		add(p.arrival(), p.lasts(210*time.Second, 1), one(p.chance, endNormal, endAway, endNoCode))
	}
	within := func() time.Time { return p.start.Add(p.between(time.Minute, 40*time.Minute)) }
	for range p.many(5) {
		add(p.start.Add(p.between(0, 10*time.Minute)), 40*time.Minute, endNormal).node = "chat-1"
	}
	for range p.many(10) {
		add(within(), 5*time.Minute, endNormal).stall = p.between(readPause*2/3, readPause)
	}
	for i := range p.many(5) {
		at := 11*time.Minute + time.Duration(i)*5*time.Minute + p.between(0, 3*time.Minute) // while others are there
		add(p.start.Add(at), time.Minute, endUnread).node = "chat-1"
	}
	for range p.many(4) {
		add(within(), 2*newsPatience, endSilence)
	}
}

// take takes one out of several guests. There is always another: a new one, if need
// be.
func (p *plan) take(of *[]*guest) *guest {
	if len(*of) == 0 {
		g := p.add(p.start.Add(p.between(5*time.Minute, 50*time.Minute)))
		p.inRoom(g)
		g.node, g.stay, g.ending = "chat-1", 2*time.Minute, endNormal
		return g
	}
	i := p.IntN(len(*of))
	g := (*of)[i]
	*of = slices.Delete(*of, i, i+1)
	return g
}

// details makes sure that nobody comes from the site who is no browser.
func (p *plan) details() {
	for _, g := range p.guests {
		if g.service == "feeds" {
			g.agent, g.origin = "TradingDesk/9.1", ""
		}
	}
}

// refused adds guests who are not let in.
func (p *plan) refused() {
	add := func(n float64, why refusal) (added []*guest) {
		for i := range p.many(n) {
			g := p.add(p.arrival())
			if i == 0 {
				g.at = p.start.Add(p.between(time.Minute, restartBegins-time.Minute))
			}
			p.inRoom(g)
			g.refuse = why
			if p.happens(0.25) && (why == unauthenticated || why == badHandshake) {
				g.route = routeNotify
			}
			added = append(added, g)
		}
		return added
	}
	add(34, unauthenticated)
	for _, g := range add(30, unauthenticated) {
		g.address, g.agent, g.origin = scannerAddress, "scan/0.9", ""
		g.route = one(p.chance, routeRooms, routeNotify)
	}
	add(22, forbidden)
	for _, g := range add(16, wrongOrigin) {
		g.origin = evilOrigin
	}
	add(12, badHandshake)
	for _, g := range add(6, upgradeFailed) {
		g.route = routeNotify
	}
	for _, g := range add(16, overQuota) {
		g.user = fmt.Sprintf("bot-%d", 1+p.IntN(3))
	}
	for _, g := range add(4, unauthenticated) {
		g.node = "staging-1"
	}
	for _, g := range add(6, unauthenticated) {
		g.service, g.node, g.route, g.agent, g.origin = "feeds", "feeds-1", routeQuotes, "TradingDesk/9.1", ""
	}
}

// long adds guests who have come the day before. Half of them leave in the hour.
func (p *plan) long() {
	for i := range max(4, p.many(early)) {
		g := p.add(p.start.Add(-p.between(hour, dayBefore-hour)))
		switch i % 5 {
		case 0, 1:
			p.inRoom(g)
		case 2, 3:
			g.route, g.user = routeNotify, p.person()
		default:
			g.service, g.node, g.route, g.user = "feeds", "feeds-1", routeQuotes, "desk-1"
			g.agent, g.origin = "TradingDesk/9.1", ""
		}
		if i == 0 {
			g.at = p.start.Add(-dayBefore + hour)
		}
		g.stay, g.ending = p.end.Add(hour).Sub(g.at), endStays
		if i%2 == 0 {
			g.stay = p.start.Add(p.between(time.Minute, 59*time.Minute)).Sub(g.at)
			g.ending = one(p.chance, endNormal, endAway, endVanish)
		}
	}
}

// inRestart adds a guest who finds its node draining, and some who make that last.
func (p *plan) inRestart() {
	for i, at := range []time.Duration{time.Second, -time.Minute, -time.Minute, -time.Minute, -time.Minute} {
		g := p.add(p.start.Add(restartBegins + at + time.Duration(i)*time.Millisecond))
		p.inRoom(g)
		g.node, g.stay, g.ending = "chat-2", 5*time.Minute, endNormal
	}
}

// incident adds the clients of a user that come back again and again.
func (p *plan) incident() {
	for range p.many(ofIncident) {
		g := p.add(p.start.Add(p.between(incidentBegins, incidentEnds)))
		p.inRoom(g)
		g.user, g.address, g.agent, g.origin = integrationUser, integrationAddress, "integration/0.3", ""
		g.stay, g.ending, g.quiet = p.between(200*time.Millisecond, 900*time.Millisecond), endAway, true
	}
}
