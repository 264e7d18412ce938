package ill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

const (
	// A shutdown has this deadline, in a process that is busy. The agents' own
	// timeouts and pauses are 15 seconds and more.
	shutdownDeadline = 5 * time.Second
	shutdownSlack    = 5 * time.Second

	// metricsPeriod is New Relic's, and a little.
	metricsPeriod = 63 * time.Second
)

// patient is a program whose back end is ill.
type patient struct {
	*reporter
	*service
	vendor  *vendor
	ill     illness
	late    bool // it falls ill when the vendor's agent is connected
	back    *backEnd
	started time.Time
	result  struct {
		measured
		drops     map[string]int64
		recovered string // messages in accepted reports
	}
}

// isRead reports whether the back end reads all that it does not take.
func (p *patient) isRead() bool {
	switch p.ill {
	case tooMany, overloaded, garbage:
		return true
	case tooLarge:
		return p.vendor.name == "newrelicws"
	default:
		return false
	}
}

func (p *patient) name() string {
	when := ""
	if p.vendor.name == "newrelicws" {
		when = " before connecting"
		if p.late {
			when = " when connected"
		}
	}
	return p.vendor.name + " " + string(p.ill) + when
}

// admit starts a program, and waits until its agent is connected if it is to be.
func (p *patient) admit(t testing.TB) {
	t.Helper()
	p.back = newBackEnd(t, newSink(p.vendor), p.vendor.certificate)
	if !p.late {
		p.back.fall(t, p.ill)
	}
	p.reporter = p.vendor.start(t, p.back.address)
	p.service = newService(t, p.exporter)
	if p.late || p.ill == healthy {
		poll(t, 30*time.Second, "a connection to the back end", p.connected)
	}
	p.started = time.Now()
	if p.late {
		p.back.fall(t, p.ill)
	}
}

// TestIll: what happens to a program while its back end is ill, and afterwards.
func TestIll(t *testing.T) {
	t.Cleanup(func() { nothingLeft(t) }) // after all others
	vendors := []*vendor{newRelic(), elastic()}
	well := make(map[*vendor]*patient)
	for _, v := range vendors {
		well[v] = &patient{vendor: v, ill: healthy}
		well[v].admit(t)
	}
	// New Relic's agents begin to count their minute.
	var patients []*patient
	for _, late := range []bool{false, true} {
		for _, ill := range illnesses {
			p := &patient{vendor: vendors[0], ill: ill, late: late}
			p.admit(t)
			patients = append(patients, p)
		}
	}
	for _, ill := range illnesses { // Elastic's waits longer after each failure
		patients = append(patients, &patient{vendor: vendors[1], ill: ill})
	}

	var recoveries sync.WaitGroup
	t.Run("load", func(t *testing.T) {
		companions := make(map[*vendor]*peers)
		for v, p := range well {
			companions[v] = p.dial(t, "/load", peersInRound)
		}
		for _, p := range patients { // one at a time: memory is the process's
			if p.reporter == nil {
				p.admit(t)
			}
			t.Run(p.name(), func(t *testing.T) { p.load(t, companions[p.vendor]) })
			recoveries.Go(func() { t.Run(p.name()+" recovers", p.recover) })
		}
		for _, c := range companions {
			c.t = t
			c.hangUp()
		}
		recoveries.Go(func() { t.Run("shutdown", func(t *testing.T) { shutDown(t, vendors) }) })
		recoveries.Wait()
	})
	for _, p := range well {
		if err := p.agent.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
		p.shutdown(30 * time.Second)
	}
	report(t, patients)
}

// shutDown: programs that end while the back end is ill end in time.
func shutDown(t *testing.T, vendors []*vendor) {
	var all sync.WaitGroup
	for _, v := range vendors {
		for _, ill := range illnesses {
			all.Go(func() { shutsDown(t, v, ill, false) })
			if v.name == "newrelicws" {
				all.Go(func() { shutsDown(t, v, ill, true) })
			}
		}
	}
	all.Wait()
}

func shutsDown(t *testing.T, v *vendor, ill illness, late bool) {
	p := &patient{vendor: v, ill: ill, late: late}
	t.Run(p.name(), func(t *testing.T) {
		p.admit(t)
		c := p.dial(t, "/load", 2)
		c.say("probe", 25)
		c.hangUp()
		err := inTime(t, "agent.Shutdown", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), shutdownDeadline)
			defer cancel()
			return p.agent.Shutdown(ctx)
		})
		_ = inTime(t, "the vendor's shutdown", func() error {
			p.shutdown(shutdownDeadline)
			return nil
		})
		switch {
		case v.name == "newrelicws" && !late:
			if !errors.Is(err, newrelicws.ErrNotConnected) {
				t.Errorf("agent.Shutdown: %v, want %v", err, newrelicws.ErrNotConnected)
			}
		case v.name == "newrelicws", ill.swallows(): // all is handed over
			if err != nil {
				t.Errorf("agent.Shutdown: %v", err)
			}
		default:
			if !errors.Is(err, elasticws.ErrRequestFailed) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("agent.Shutdown: %v, want %v", err, elasticws.ErrRequestFailed)
			}
		}
	})
}

// inTime calls a function that has a deadline.
func inTime(t *testing.T, what string, f func() error) error {
	t.Helper()
	start := time.Now()
	err := f()
	if took := time.Since(start); took > shutdownDeadline+shutdownSlack {
		t.Errorf("%s took %v, and had %v", what, took, shutdownDeadline)
	}
	return err
}

// load: messages are served as fast as ever, nothing grows, and what is given up is
// counted.
func (p *patient) load(t *testing.T, companion *peers) {
	companion.t = t
	mine := p.dial(t, "/load", peersInRound)
	p.result.measured = measure(mine, companion)
	for _, fault := range p.result.faults() {
		t.Error(fault)
	}
	mine.hangUp()
	p.counted(t)
}

// counted: what is given up is counted, and the live page shows it.
func (p *patient) counted(t *testing.T) {
	t.Helper()
	said := func(drops map[string]int64) bool { return drops["requests"] > 0 }
	switch {
	case p.vendor.name == "newrelicws" && !p.late:
		// Each handshake, each message and each end.
		want := int64(p.received("/load") + 2*p.opened())
		said = func(drops map[string]int64) bool { return len(drops) == 1 && drops["not_connected"] == want }
	case p.ill.swallows():
		said = func(drops map[string]int64) bool { return drops["requests"] == 0 }
	case p.ill == silent && p.vendor.name == "elasticws": // no request has failed yet
		said = func(drops map[string]int64) bool { return drops["transactions"] > 0 }
	case p.ill == silent: // nor here, and the agent has room
		said = func(map[string]int64) bool { return true }
	}
	poll(t, 30*time.Second, "what is given up to be counted", func() bool {
		p.result.drops = p.service.counted(p.vendor.name)
		return said(p.result.drops)
	})
	poll(t, 30*time.Second, "the live page to show that", func() bool {
		before := p.service.counted(p.vendor.name)
		shown := p.shown(t, p.vendor.name)
		return fmt.Sprint(before) == fmt.Sprint(shown)
	})
}
