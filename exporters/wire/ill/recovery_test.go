package ill

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"go.uber.org/goleak"
)

const (
	peersAfter = 2
	eachAfter  = 10

	// retried is time enough for the agents to try again, of which New Relic's waits
	// up to two minutes when it has failed for two.
	retried = 5 * time.Minute
)

// recover: when the back end has recovered, transactions and metrics arrive, and of
// what has happened before it is known what has become.
func (p *patient) recover(t *testing.T) {
	p.untilLost(t)
	p.back.fall(t, healthy)
	p.untilWell(t)
	c := p.dial(t, "/after", peersAfter)
	c.say("after", eachAfter)
	c.hangUp()
	drops := p.service.counted(p.vendor.name)
	if err := p.agent.Shutdown(soon(t)); err != nil {
		t.Errorf("agent.Shutdown: %v", err)
	}
	p.shutdown(30 * time.Second)
	accepted, refused := p.back.counts(t)
	if got := accepted.transactions["after"]; got != peersAfter*eachAfter {
		t.Errorf("%d transactions arrived of %d messages", got, peersAfter*eachAfter)
	}
	if p.vendor.name == "elasticws" {
		p.elasticRecovered(t, accepted, refused)
	} else {
		p.newRelicRecovered(t, accepted, refused)
	}
	p.told(t, drops, accepted, refused)
}

// untilLost waits until a request has failed that told of the messages, as far as
// that is to be seen.
func (p *patient) untilLost(t *testing.T) {
	failed := p.service.counted(p.vendor.name)["requests"]
	switch {
	case p.vendor.name == "newrelicws" && !p.late: // there was none
	case p.isRead():
		poll(t, retried, "a post with the messages' metrics to fail", func() bool {
			_, refused := p.back.counts(t)
			return refused.sums[p.vendor.received("/load")] > 0
		})
	case p.late:
		time.Sleep(time.Until(p.started.Add(metricsPeriod)))
	case p.ill != silent:
		poll(t, retried, "a request to fail", func() bool {
			return p.service.counted(p.vendor.name)["requests"] > failed
		})
	}
}

// untilWell waits until the back end has accepted transactions again, and with them
// what was to be sent again.
func (p *patient) untilWell(t *testing.T) {
	before, _ := p.back.counts(t)
	c := p.dial(t, "/load", 1)
	defer c.hangUp()
	poll(t, retried, "the back end to accept something", func() bool {
		c.say("probe", 1)
		time.Sleep(250 * time.Millisecond)
		now, _ := p.back.counts(t)
		return now.batches > before.batches
	})
}

// elasticRecovered: of the route that was used afterwards nothing is missing; of the
// other one what failed requests held, and where the server has read those, it is
// known what that was.
func (p *patient) elasticRecovered(t *testing.T, accepted, refused tally) {
	t.Helper()
	for key, want := range map[string]float64{
		p.vendor.received("/after"): peersAfter * eachAfter,
		p.vendor.opened("/after"):   peersAfter,
		p.vendor.closed("/after"):   peersAfter,
	} {
		if got := accepted.sums[key]; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	key := p.vendor.received("/load")
	truth, got, unread := p.received("/load"), accepted.sums[key], refused.sums[key]
	p.result.recovered = fmt.Sprintf("%v of %v", got, truth)
	lost := truth - got
	switch {
	case lost < 0:
		t.Errorf("%v messages were reported of %v", got, truth)
	case p.isRead() && (unread != lost || lost == 0):
		t.Errorf("of %v messages %v are in accepted reports and %v in refused ones", truth, got, unread)
	case lost > 0 && !p.ill.swallows() && p.result.drops["requests"]+p.service.counted(p.vendor.name)["requests"] == 0:
		t.Errorf("the reports of %v messages are lost, and no failed request is counted", lost)
	}
}

// newRelicRecovered: counters are held until the agent is connected, and sent again
// by it; what it does not send again is what New Relic has refused for good, or has
// said that it has taken.
func (p *patient) newRelicRecovered(t *testing.T, accepted, refused tally) {
	t.Helper()
	for key, want := range map[string]float64{
		p.vendor.received(""): p.received("/load") + p.received("/after"),
		p.vendor.opened(""):   p.opened(),
		p.vendor.closed(""):   p.opened(),
	} {
		got := accepted.sums[key]
		if p.late && (p.ill == garbage || p.ill == tooLarge) { // not sent again
			got += refused.sums[key]
		}
		if got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	p.result.recovered = fmt.Sprintf("%v of %v", accepted.sums[p.vendor.received("")], p.received("/load")+p.received("/after"))
	if got := accepted.sums["OtherTransaction/Go/Message/after"]; got != peersAfter*eachAfter {
		t.Errorf("%v transactions are counted, want %v", got, peersAfter*eachAfter)
	}
}

// told: the metric of what was given up arrives. Elastic has it since the last
// report that was lost, the last failed request at least; New Relic all of it, as it
// was when the agent was shut down.
func (p *patient) told(t *testing.T, drops map[string]int64, accepted, refused tally) {
	t.Helper()
	for reason, n := range drops {
		key := p.vendor.dropped(reason)
		got := accepted.sums[key]
		switch {
		case p.vendor.name == "elasticws":
			if got > float64(n) || reason == "requests" && got < 1 {
				t.Errorf("%s: %v, counted %d", key, got, n)
			}
		case p.late && p.ill == tooLarge && got+refused.sums[key] == float64(n): // not sent again
		case got != float64(n):
			t.Errorf("%s: %v, counted %d", key, got, n)
		}
	}
	p.result.drops = drops
}

func (p *patient) received(route string) (n float64) {
	for _, r := range p.agent.Stats().Routes {
		if r.Route == route {
			n += float64(r.MessagesReceived)
		}
	}
	return n
}

func (p *patient) opened() (n float64) {
	for _, r := range p.agent.Stats().Routes {
		n += float64(r.ConnectionsOpened)
	}
	return n
}

// report logs what was measured.
func report(t *testing.T, patients []*patient) {
	t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\t× median\t× mean\thealthy\tslowest\theap kB\tgoroutines\tpeak\treported\tgiven up")
	for _, p := range patients {
		r := p.result
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%v\t%v\t%+d\t%+d\t%+d\t%s\t%v\n", p.name(), median(r.medians), median(r.means), r.healthy.Round(10*time.Microsecond), r.longest.Round(time.Millisecond),
			r.heap>>10, r.goroutines, r.peak, r.recovered, r.drops)
	}
	_ = w.Flush()
	t.Logf("while the back end is ill:\n%s", table.String())
}

// soon is a context that ends long after what is tested should have.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// nothingLeft: when all is closed, no goroutine is left but those that the vendors'
// agents are known to leave.
func nothingLeft(t *testing.T) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(left()...); err == nil {
			return
		}
	}
	t.Error(err)
}
