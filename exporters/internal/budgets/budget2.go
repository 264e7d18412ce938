package main

import (
	"context"
	"fmt"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// production is the sampling of a usual production server.
func production() *apmws.Sampling {
	return &apmws.Sampling{Rate: 0.01, Slow: 100 * time.Millisecond}
}

// budget2 is the cost of the production setting with Elastic.
func budget2(ctx context.Context, s settings) (*table, error) {
	t := &table{Title: "Budget 2: production setting (exact counters, 1 % sampled, all failures and slow messages) with Elastic"}
	if err := productionCost(ctx, s, t); err != nil {
		return nil, err
	}
	if err := productionLoss(ctx, s, t); err != nil {
		return nil, err
	}
	t.note("Plain is gorilla's usual loop of ReadMessage and WriteMessage; echo servers on one core, %d connections, messages of %d B.",
		s.connections, messageSize)
	return t, nil
}

// productionCost compares the server with one without apmws.
func productionCost(ctx context.Context, s settings, t *table) error {
	var cs children
	defer cs.stop()
	intake, err := cs.start(ctx, childSpec{Role: intakeRole})
	if err != nil {
		return err
	}
	all, err := contestants(ctx, &cs, s, []entry{
		{"plain", serverSpec{Echo: echoPlain}},
		{"plain again", serverSpec{Echo: echoPlain}},
		{"Serve and Conn.Write", serverSpec{Echo: echoWrite, Intake: intake.Address, Sampling: production()}},
		{"Endpoint", serverSpec{Echo: echoSteadyEndpoint, Intake: intake.Address, Sampling: production()}},
	})
	if err != nil {
		return err
	}
	defer closeLoads(all)
	if err := compareServers(all, s); err != nil {
		return err
	}
	t.add(absolutes(all[0])...)
	t.add(against(all[0], all[1], noLimit, noLimit)...)
	for _, c := range all[2:] {
		t.add(against(all[0], c, atLeast(0.97), atMost(1.05, unitless))...)
		if err := checkHandled(c, s); err != nil {
			return err
		}
	}
	return nil
}

// entry is a server to be compared.
type entry struct {
	name string
	spec serverSpec
}

func contestants(ctx context.Context, cs *children, s settings, entries []entry) (all []*contestant, err error) {
	for _, e := range entries {
		c, err := newContestant(ctx, cs, s, e.name, e.spec)
		if err != nil {
			closeLoads(all)
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// absolutes are there to judge the machine by.
func absolutes(c *contestant) []figure {
	return []figure{
		median(c.name+": messages per second", c.rate, perSecond, noLimit),
		median(c.name+": CPU per message", c.cpu, nanoseconds, noLimit),
	}
}

// against compares a server with the plain one of the same rounds.
func against(plain, c *contestant, rate, cpu limit) []figure {
	return []figure{
		median(c.name+": throughput against plain", combine(c.rate, plain.rate, ratio), unitless, rate),
		median(c.name+": CPU per message against plain", combine(c.cpu, plain.cpu, ratio), unitless, cpu),
	}
}

// checkHandled closes the load, and fails when the agent has not counted every message.
func checkHandled(c *contestant, s settings) error {
	c.load.close()
	a, err := c.server.ask(request{Do: doCounts})
	if err != nil {
		return err
	}
	if sent := int64((s.rounds + 1) * s.exchanges * s.connections); a.Handled != sent {
		return fmt.Errorf("%s: %d messages were counted, %d sent", c.name, a.Handled, sent)
	}
	return nil
}
