package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// budget6 is the cost of a broadcast.
func budget6(ctx context.Context, s settings) (*table, error) {
	count := s.idle
	t := &table{Title: fmt.Sprintf("Budget 6: a broadcast of %d B to %d connections over memory, for each of them", broadcastSize, count)}
	// What writes to nobody, beside what Broadcast does.
	bare, err := newCrowd(count, nil)
	if err != nil {
		return nil, err
	}
	defer bare.hangUp()
	none := apmws.Heartbeat{Interval: -1}
	atOnce, err := newCrowd(count, &apmws.EndpointOptions{Heartbeat: none})
	if err != nil {
		return nil, err
	}
	defer atOnce.hangUp()
	queued, err := newCrowd(count, &apmws.EndpointOptions{Heartbeat: none, SendQueue: apmws.SendQueue{Messages: 16}})
	if err != nil {
		return nil, err
	}
	defer queued.hangUp()

	costs := make(map[string]loopCost)
	variants := []struct {
		name  string
		crowd *crowd
		send  func(context.Context) error
	}{
		{"bare", bare, bare.prepared},
		{"tapped", atOnce, atOnce.prepared},
		{"Broadcast", atOnce, atOnce.broadcast},
		{"queued", queued, queued.broadcast},
	}
	for round := range s.rounds + 1 {
		for i := range variants {
			v := variants[(i+round)%len(variants)]
			took, allocs, err := v.crowd.measure(ctx, v.send)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			if round == 0 {
				continue
			}
			c := costs[v.name]
			c.nanoseconds = append(c.nanoseconds, float64(took.Nanoseconds())/float64(count))
			c.allocs = append(c.allocs, float64(allocs)/float64(count))
			costs[v.name] = c
		}
	}
	more := func(what, of, than string, l limit) figure {
		return signed(median(what, combine(costs[of].nanoseconds, costs[than].nanoseconds, difference), nanoseconds, l))
	}
	free := limit{"0", func(v float64) bool { return v <= 0.05 }} // what a broadcast allocates, spread over all
	t.add(
		median("WritePreparedMessage to plain connections", costs["bare"].nanoseconds, nanoseconds, noLimit),
		more("the tap, beyond that", "tapped", "bare", noLimit),
		more("Broadcast, beyond WritePreparedMessage to the same connections", "Broadcast", "tapped", atMost(150, nanoseconds)),
		more("Broadcast, beyond WritePreparedMessage to plain connections", "Broadcast", "bare", atMost(150, nanoseconds)),
		signed(median("Broadcast: allocations", costs["Broadcast"].allocs, allocations, free)),
		median("Broadcast to connections with a send queue: the caller's time", costs["queued"].nanoseconds, nanoseconds, noLimit),
		signed(median("Broadcast to connections with a send queue: allocations", costs["queued"].allocs, allocations, free)),
	)
	t.note("The tap counts frames, measures writes and follows the protocol: any write to a connection of an agent costs that.")
	t.note("Beyond plain connections it is in the cost of Broadcast, beyond the same ones it is not.")
	return t, nil
}

const broadcastSize = 256 // bytes

// crowd are connections over memory whose peers take everything.
type crowd struct {
	agent *apmws.Agent
	conns []*apmws.Conn     // nil for plain ones
	plain []*websocket.Conn // as gorilla has them
	peers []*silentConn
}

// newCrowd opens so many connections, below an Endpoint or, where there are no
// options, below nothing.
func newCrowd(count int, opts *apmws.EndpointOptions) (*crowd, error) {
	c := &crowd{agent: apmws.New(apmws.Options{Messages: messageOptions(), Exporters: []apmws.Exporter{nopExporter{}}})}
	opened := make(chan *apmws.Conn, 1)
	var upgrader websocket.Upgrader
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r, nil); err == nil { // else they are counted below
			c.plain = append(c.plain, conn)
		}
	})
	if opts != nil {
		opts.Message = func(context.Context, apmws.Message) error { return nil }
		opts.Connect = func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			opened <- conn
			return ctx, nil
		}
		h = c.agent.Endpoint(route, *opts)
	}
	for range count {
		peer := &silentConn{hungUp: make(chan struct{}), pongs: make(chan []byte, 1)}
		c.peers = append(c.peers, peer)
		h.ServeHTTP(hijackable{httptest.NewRecorder(), peer}, handshake())
		if opts == nil {
			continue
		}
		select {
		case conn := <-opened:
			c.conns, c.plain = append(c.conns, conn), append(c.plain, conn.WebSocket())
		case <-time.After(loadTimeout):
			return nil, errors.New("a connection is not opened")
		}
	}
	if len(c.plain) != count {
		return nil, fmt.Errorf("%d connections instead of %d", len(c.plain), count)
	}
	return c, nil
}

func (c *crowd) hangUp() {
	for _, peer := range c.peers {
		_ = peer.Close() // never fails
	}
}

// prepared is what a program does by hand.
func (c *crowd) prepared(context.Context) error {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, textOf(broadcastSize, 1))
	if err != nil {
		return err
	}
	for _, conn := range c.plain {
		if err := conn.WritePreparedMessage(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) broadcast(ctx context.Context) error {
	m := apmws.Message{Type: apmws.TextMessage, Data: textOf(broadcastSize, 1)}
	return c.agent.Broadcast(ctx, m, slices.Values(c.conns), apmws.BroadcastOptions{}).Err
}

// measure returns the caller's time, and what was allocated until all is written.
func (c *crowd) measure(ctx context.Context, send func(context.Context) error) (took time.Duration, allocs uint64, err error) {
	runtime.LockOSThread() // for callerTime
	defer runtime.UnlockOSThread()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, startErr := callerTime()
	err = send(ctx)
	end, endErr := callerTime()
	for c.waiting() > 0 {
		time.Sleep(100 * time.Microsecond) // a thread's time does not go on meanwhile
	}
	runtime.ReadMemStats(&after)
	return end - start, after.Mallocs - before.Mallocs, errors.Join(err, startErr, endErr)
}

// waiting is how many messages wait in send queues.
func (c *crowd) waiting() (n int64) {
	for _, r := range c.agent.Stats().Routes {
		n += r.SendQueueMessages
	}
	return n
}

// silentConn is a peer that takes everything, and sends nothing but pongs until it
// hangs up.
type silentConn struct {
	memConn
	pongs  chan []byte
	hungUp chan struct{}
	once   sync.Once
}

// Read implements net.Conn.
func (c *silentConn) Read(b []byte) (int, error) {
	select {
	case pong := <-c.pongs:
		return copy(b, pong), nil
	case <-c.hungUp:
		return 0, net.ErrClosed
	}
}

// Write implements net.Conn.
func (c *silentConn) Write(b []byte) (int, error) {
	const ping, pong, masked = 0x89, 0x8A, 0x80
	if b[0] == ping {
		frame := append(make([]byte, 0, 16), pong, masked|b[1], 0, 0, 0, 0)
		c.pongs <- append(frame, b[2:]...)
	}
	return len(b), nil
}

// Close implements net.Conn.
func (c *silentConn) Close() error {
	c.once.Do(func() { close(c.hungUp) })
	return nil
}
