package apmws

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter is a proxy that can stop forwarding, in either direction, without a word
// to anybody: what a network does that drops packets.
type cutter struct {
	addr             string
	toServer, toPeer atomic.Bool // cut
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{addr: l.Addr().String()}
	var conns []net.Conn
	var mu sync.Mutex
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	pass := func(to, from net.Conn, cut *atomic.Bool) {
		b := make([]byte, 4096)
		for {
			n, err := from.Read(b)
			if cut.Load() {
				if err != nil {
					return
				}
				continue
			}
			if err != nil {
				to.Close()
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			peer, err := l.Accept()
			if err != nil {
				return
			}
			keep(peer)
			up, err := net.Dial("tcp", server)
			if err != nil {
				continue
			}
			keep(up)
			go pass(up, peer, &p.toServer)
			go pass(peer, up, &p.toPeer)
		}
	}()
	return p
}
