package main

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy is a TCP proxy that can stop forwarding without telling anybody.
type proxy struct {
	addr string
	url  string // where it is before a web server

	mu     sync.Mutex
	target string
	thawed *sync.Cond
	frozen bool
	conns  []net.Conn
}

// startProxy starts a proxy before a server.
func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: ln.Addr().String(), url: "http://" + ln.Addr().String() + "/"}
	p.lead(t, target)
	p.thawed = sync.NewCond(&p.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.forward(from) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.heal()
		running.Wait()
	})
	return p
}

// lead has connections that are made from now on go to another server.
func (p *proxy) lead(t *testing.T, target string) {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = to.Host
}

func (p *proxy) forward(from net.Conn) {
	defer from.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	p.mu.Lock()
	p.conns = append(p.conns, from, to)
	p.mu.Unlock()
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() { p.pass(from, to) })
	p.pass(to, from)
}

// pass copies what comes, unless nothing passes, until one of the two ends.
func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.frozen {
			p.thawed.Wait()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// freeze stops all forwarding, also of connections that are made from now on.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// heal forwards again, what is new: the connections until then are gone.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns, p.frozen = nil, false
	p.thawed.Broadcast()
}
