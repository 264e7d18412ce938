package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// crowd is people who talk, and come back by apmws.Dialer when they lose the chat.
type crowd struct {
	agent   *apmws.Agent
	hosts   []string // of the nodes
	people  []*talker
	cancel  context.CancelFunc
	leaving sync.WaitGroup
}

// talker is one of them.
type talker struct {
	crowd       *crowd
	name, room  string
	token       string
	dialer      *apmws.Dialer
	node        int          // of the hosts: that is tried next, or connected to. The Dialer's
	attempts    atomic.Int64 // to connect
	connections atomic.Int64

	mu     sync.Mutex
	at     int              // the node of the last connection
	seq    int              // of the last saying
	said   map[int][]string // by node, in order
	heard  map[string]bool  // of what it has said
	lost   time.Time        // zero: it is connected, or never was
	back   []time.Duration  // each time, from the loss to being connected
	waits  []time.Duration  // each time, that it was told to wait
	errors []string         // of the chat
}

const (
	crowdSecret = "0123456789abcdef0123456789abcdef"
	perRoom     = 5
)

// gather lets n people come to the first of the nodes, and to the others when they
// lose it. They leave with the test, or by disperse.
func gather(t *testing.T, n int, nodes ...*process) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &crowd{agent: apmws.New(apmws.Options{}), cancel: cancel}
	t.Cleanup(c.disperse)
	for _, p := range nodes {
		c.hosts = append(c.hosts, strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	}
	issuer := tokens{[]byte(crowdSecret), defaultAudience, time.Hour}
	for i := range n {
		p := &talker{
			crowd: c, name: fmt.Sprintf("%s %d", t.Name(), i), room: roomName(i / perRoom),
			said: map[int][]string{}, heard: map[string]bool{},
		}
		var err error
		if p.token, err = issuer.issue(p.name); err != nil {
			t.Fatal(err)
		}
		p.dialer = c.agent.Dialer("chat", "ws://"+c.hosts[0]+"/ws", apmws.DialerOptions{
			Dialer: websocket.Dialer{NetDialContext: p.reach},
			Header: func(context.Context) (http.Header, error) {
				return http.Header{"Authorization": {"Bearer " + p.token}}, nil
			},
			Connect: p.enter,
			Message: p.hear,
			Close:   p.closed,
			State:   p.state,
		})
		c.people = append(c.people, p)
		c.leaving.Go(func() { _ = p.dialer.Run(ctx) }) // that it has given up, the test would see
		c.leaving.Go(func() { p.talk(ctx) })
	}
	return c
}

func roomName(n int) string { return fmt.Sprintf("room %d", n) }

// disperse returns when all have left.
func (c *crowd) disperse() {
	c.cancel()
	c.leaving.Wait()
}

// all polls until something is true of everybody.
func (c *crowd) all(t *testing.T, what string, is func(*talker) bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		n := 0
		for _, p := range c.people {
			p.mu.Lock()
			if is(p) {
				n++
			}
			p.mu.Unlock()
		}
		if n == len(c.people) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d: %s", n, len(c.people), what)
		}
	}
}

// reach connects to the node that it is the turn of.
func (p *talker) reach(ctx context.Context, network, _ string) (net.Conn, error) {
	p.attempts.Add(1)
	return new(net.Dialer).DialContext(ctx, network, p.crowd.hosts[p.node%len(p.crowd.hosts)])
}

func (p *talker) enter(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
	now := time.Now()
	p.connections.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = p.node % len(p.crowd.hosts)
	if !p.lost.IsZero() {
		p.back = append(p.back, now.Sub(p.lost))
		p.lost = time.Time{}
	}
	return ctx, conn.WriteJSON(ctx, map[string]string{"type": typeJoin, "room": p.room})
}

func (p *talker) closed(context.Context, *apmws.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = time.Now()
}

func (p *talker) state(s apmws.DialState) {
	if s.Phase == apmws.DialWaiting {
		p.node++
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waits = append(p.waits, s.Delay)
	}
}

// talk says something once a second, while there is somebody to say it to.
func (p *talker) talk(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(2 * time.Second)):
		}
		conn, err := p.dialer.Conn()
		if err != nil {
			continue
		}
		p.mu.Lock()
		p.seq++
		text := fmt.Sprintf("%d at %d", p.seq, p.at)
		p.said[p.at] = append(p.said[p.at], text)
		p.mu.Unlock()
		// One that fails was not read whole. The Dialer learns of it, too.
		_ = conn.WriteJSON(ctx, map[string]string{"type": typeSay, "room": p.room, "text": text})
	}
}

func (p *talker) hear(_ context.Context, m apmws.Message) error {
	var got struct{ Type, User, Text, Error string }
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case got.Type == typeSaid && got.User == p.name:
		p.heard[got.Text] = true
	case got.Type == typeError:
		p.errors = append(p.errors, got.Error)
	}
	return nil
}

// echoes reports whether something that it has said at a node has come back. mu is
// held.
func (p *talker) echoes(node int) bool {
	for _, text := range p.said[node] {
		if p.heard[text] {
			return true
		}
	}
	return false
}
