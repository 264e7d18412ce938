package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// fleet is all the people, and what they share.
type fleet struct {
	cfg     config
	chat    nodes
	rooms   []string
	replace chan struct{} // whichever connection receives is replaced
	start   time.Time

	agent        *apmws.Agent
	network      net.Dialer
	writeBuffers sync.Pool

	counts    counts
	echoTime  latency
	backAfter latency // from the loss of a connection to the next one
	attempts  surge   // to connect

	mu   sync.Mutex
	last error // that kept a connection from being opened
}

// roomSize is how many people there are for each room.
const roomSize = 6

func newFleet(cfg config) *fleet {
	f := &fleet{
		cfg: cfg, chat: newNodes(cfg.chat), replace: make(chan struct{}), start: time.Now(),
		agent: apmws.New(apmws.Options{}), // whose Dialer it is all about; what the chat's own agent tells is enough
	}
	for n := range max(cfg.connections/roomSize, 2) {
		f.rooms = append(f.rooms, fmt.Sprintf("room %d", n+1))
	}
	return f
}

// run lets all of them go until ctx ends, and writes a line now and then. All
// connections are closed when it returns.
func (f *fleet) run(ctx context.Context, out io.Writer) {
	var people sync.WaitGroup
	for n := range f.cfg.connections {
		people.Go(func() { newPerson(f, n).run(ctx) })
	}
	people.Go(func() { f.churn(ctx) })
	gone := make(chan struct{})
	go func() {
		people.Wait()
		close(gone)
	}()
	ticker := time.NewTicker(f.cfg.progress)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.progress(out)
		case <-gone:
			f.chat.client.CloseIdleConnections()
			return
		}
	}
}

// gathering is how long it takes until all have come.
func (f *fleet) gathering() time.Duration {
	return min(time.Duration(f.cfg.connections)*20*time.Millisecond, 10*time.Second)
}

// churn has connections replaced, one after the other.
func (f *fleet) churn(ctx context.Context) {
	if f.cfg.churn == 0 {
		return
	}
	ticker := time.NewTicker(max(time.Duration(float64(time.Minute)/f.cfg.churn), time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		select {
		case f.replace <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// fail keeps why a connection was not opened.
func (f *fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = err
}

func (f *fleet) lastFailure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		return errors.New("there was no time")
	}
	return f.last
}
