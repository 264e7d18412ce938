package apmws

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// known makes n connections of a route, one second apart, in a random order.
func known(agent *Agent, n int) []*Conn {
	start := time.Unix(1_700_000_000, 0)
	conns := make([]*Conn, n)
	for i := range conns {
		id := newConnID()
		conns[i] = &Conn{agent: agent, route: agent.route("/ws"), id: id, shard: shardOf(id), peer: fmt.Sprint(i), start: start.Add(time.Duration(i) * time.Second)}
	}
	rand.Shuffle(n, func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	return conns
}

// TestRegistryLarge lists 50,000 connections, the oldest first.
func TestRegistryLarge(t *testing.T) {
	const n = 50_000
	agent := New(Options{})
	conns := known(agent, n)
	for _, c := range conns {
		agent.registry.add(c)
		agent.registry.add(c) // changes nothing
	}
	list := agent.Connections()
	if len(list) != n {
		t.Fatalf("%d connections are listed", len(list))
	}
	for i, info := range list {
		if info.Peer != fmt.Sprint(i) {
			t.Fatalf("number %d is %s", i, info.Peer)
		}
	}
	for i := range agent.registry {
		if share := len(agent.registry[i].conns); share > n/4 {
			t.Errorf("a shard has %d connections", share)
		}
	}
	for _, c := range conns {
		agent.registry.remove(c)
		agent.registry.remove(c)
	}
	if list := agent.Connections(); len(list) != 0 {
		t.Errorf("%d connections are left", len(list))
	}
}

// TestRegistryOrder: connections of the same moment have an order too, so that
// a page does not jump.
func TestRegistryOrder(t *testing.T) {
	agent := New(Options{})
	conns := known(agent, 50)
	for _, c := range conns {
		c.start = conns[0].start
		agent.registry.add(c)
	}
	first := agent.Connections()
	for range 10 {
		if !slices.Equal(agent.Connections(), first) {
			t.Fatal("the order changes")
		}
	}
}

// TestRegistryConcurrently: every listing has what is there throughout, nothing
// twice, nothing that was never there.
func TestRegistryConcurrently(t *testing.T) {
	agent := New(Options{})
	conns := known(agent, 400)
	staying, going := conns[:100], conns[100:]
	for _, c := range staying {
		agent.registry.add(c)
	}
	var stop atomic.Bool
	var listers, movers sync.WaitGroup
	for range 4 {
		listers.Go(func() {
			for !stop.Load() {
				seen := make(map[string]bool)
				list := agent.Connections()
				for i, info := range list {
					if seen[info.ID] {
						t.Errorf("%s is listed twice", info.ID)
					}
					if i > 0 && info.Opened.Before(list[i-1].Opened) {
						t.Error("the order is wrong")
					}
					seen[info.ID] = true
				}
				for _, c := range staying {
					if !seen[c.id] {
						t.Errorf("%s is not listed", c.id)
					}
				}
			}
		})
	}
	for part := range slices.Chunk(going, len(going)/6) {
		movers.Go(func() {
			for range 50 {
				for _, c := range part {
					agent.registry.add(c)
					c.SetUser("u")
					c.received(frameCount{1, 1})
				}
				for _, c := range part {
					agent.registry.remove(c)
				}
			}
		})
	}
	movers.Wait()
	stop.Store(true)
	listers.Wait()
	if n := len(agent.Connections()); n != len(staying) {
		t.Errorf("%d connections are left, want %d", n, len(staying))
	}
}

// TestConnectionInfo: what a listing says of a connection.
func TestConnectionInfo(t *testing.T) {
	c := watched(t)
	c.SetUser("u1")
	c.received(frameCount{2, 30})
	c.sent(frameCount{1, 4})
	c.pingSent(1)
	c.pongReceived(1)
	list := c.agent.Connections()
	if len(list) != 1 {
		t.Fatalf("%d connections", len(list))
	}
	got := list[0]
	if got.PingRTT <= 0 {
		t.Errorf("round trip %v", got.PingRTT)
	}
	want := ConnInfo{
		ID: c.id, Route: "/ws", User: "u1", Peer: "[2001:db8::1]:49152", Client: "2001:db8::1", Opened: c.start,
		MessagesReceived: 2, MessagesSent: 1, BytesReceived: 30, BytesSent: 4, PingRTT: got.PingRTT,
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	c.disconnected()
	if n := len(c.agent.Connections()); n != 0 {
		t.Errorf("%d connections after the end", n)
	}
}
