package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// settings say how much is measured. More takes longer and is more exact.
type settings struct {
	rounds      int           // of each comparison
	loop        int           // messages of a loop over memory, of 64 bytes
	connections int           // of a load
	exchanges   int           // of each connection in a round
	burst       time.Duration // how long a load of a fixed rate lasts
	idle        int           // connections whose memory is measured
	beat        time.Duration // between the pings of a connection
	profiles    string        // directory for profiles, or empty
}

func usualSettings() settings {
	return settings{rounds: 60, loop: 50_000, connections: 50, exchanges: 150, burst: 5 * time.Second, idle: 10_000, beat: 3 * time.Second}
}

// quickSettings show that everything works, and nothing else.
func quickSettings() settings {
	return settings{rounds: 2, loop: 500, connections: 10, exchanges: 100, burst: 25 * time.Millisecond, idle: 400, beat: 10 * time.Millisecond}
}

// loopCost is what a message costs a variant, in each round.
type loopCost struct {
	nanoseconds samples
	allocs      samples
}

// compareLoops measures the variants in turns, so that a busy machine disturbs
// all alike. Each round begins with another of them.
func compareLoops(m *child, variants []string, rounds, count, size int) (map[string]loopCost, error) {
	costs := make(map[string]loopCost)
	for round := range rounds + 1 {
		for i := range variants {
			name := variants[(i+round)%len(variants)]
			a, err := m.ask(request{Do: doMeasure, Variant: name, Count: count, Size: size})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if round == 0 {
				continue // pools and branch predictors are warm then
			}
			c := costs[name]
			c.nanoseconds = append(c.nanoseconds, float64(a.Elapsed.Nanoseconds())/float64(count))
			c.allocs = append(c.allocs, float64(a.Allocs)/float64(count))
			costs[name] = c
		}
	}
	return costs, nil
}

// contestant is a server with the connections that load it.
type contestant struct {
	name   string
	server *child
	load   *load
	rate   samples // messages per second
	cpu    samples // of the server, ns per message
}

// newContestant starts a server on one core and connects to it.
func newContestant(ctx context.Context, cs *children, s settings, name string, spec serverSpec) (*contestant, error) {
	if s.profiles != "" {
		spec.Profile = filepath.Join(s.profiles, strings.ReplaceAll(name, " ", "_")+".pprof")
	}
	server, err := cs.start(ctx, childSpec{Role: serverRole, Procs: 1, Server: spec})
	if err != nil {
		return nil, err
	}
	l, err := dialLoad(ctx, server.Address, s.connections, 1)
	if err != nil {
		return nil, err
	}
	return &contestant{name: name, server: server, load: l}, nil
}

// compareServers loads the servers in turns.
func compareServers(all []*contestant, s settings) error {
	for round := range s.rounds + 1 {
		for i := range all {
			c := all[(i+round)%len(all)]
			if err := c.run(s.exchanges, round > 0); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// run loads the server for one round.
func (c *contestant) run(exchanges int, counts bool) error {
	before, err := c.server.ask(request{Do: doUsage})
	if err != nil {
		return err
	}
	elapsed, err := c.load.closedLoop(exchanges)
	if err != nil {
		return err
	}
	after, err := c.server.ask(request{Do: doUsage})
	if err != nil || !counts {
		return err
	}
	messages := float64(exchanges * len(c.load.conns))
	c.rate = append(c.rate, messages/elapsed.Seconds())
	c.cpu = append(c.cpu, float64((after.CPU-before.CPU).Nanoseconds())/messages)
	return nil
}

func closeLoads(all []*contestant) {
	for _, c := range all {
		c.load.close()
	}
}
