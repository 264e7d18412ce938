package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How long each step of a shutdown may take; together well below 10 s.
const (
	closeGrace   = 2 * time.Second // for peers to answer the close frame
	requestGrace = 1 * time.Second // for ordinary requests
	reportGrace  = 3 * time.Second // for the exporters to hand over what they have
	sendGrace    = 2 * time.Second // for the vendors' agents to send it
	partGrace    = 1 * time.Second // for each of the other parts
)

// shutdown stops accepting, closes the connections with 1001, lets the
// exporters send what they have, and releases the parts. What goes wrong is
// logged and holds up nothing. The server may have started only in part.
func (s *server) shutdown() {
	if s.http != nil {
		stopped := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), closeGrace+requestGrace)
			defer cancel()
			stopped <- s.http.Shutdown(ctx) // closes the listener first
		}()
		s.hub.close(closeGrace)
		s.awaitEnds(requestGrace)
		s.cancel() // a live page that is being watched is a request without an end
		if err := <-stopped; err != nil {
			s.http.Close()
		}
	}
	// After the connections, so that their ends are reported; at the same time,
	// so that of several parts that hang only the slowest counts.
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(s.report)
	if s.billing != nil {
		parts.Go(func() { s.complain("billing", s.billing.close()) })
	}
	if s.bus != nil {
		parts.Go(func() { s.complain("redis", within(partGrace, s.bus.close)) })
	}
}

// awaitEnds waits until the agent knows of no open connection, so that all ends
// are in what it reports. A message that is still being handled, or a peer that
// goes on sending, keeps one open for longer than that.
func (s *server) awaitEnds(grace time.Duration) {
	deadline := time.Now().Add(grace)
	for len(s.agent.Connections()) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
}

// report lets the exporters hand over what they have, and then the vendors'
// agents send it.
func (s *server) report() {
	if s.agent != nil {
		ctx, cancel := context.WithTimeout(context.Background(), reportGrace)
		defer cancel()
		s.complain("telemetry", s.agent.Shutdown(ctx))
	}
	var vendors sync.WaitGroup
	defer vendors.Wait()
	if s.tracer != nil {
		vendors.Go(func() {
			s.complain("elastic", within(sendGrace, func() error {
				s.tracer.Close()
				return nil
			}))
		})
	}
	if s.newRelic != nil {
		vendors.Go(func() { s.newRelic.Shutdown(sendGrace) })
	}
}

// within gives a part up that does not close in time: the process ends anyway.
func within(grace time.Duration, closePart func() error) error {
	closed := make(chan error, 1)
	go func() { closed <- closePart() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(grace):
		return errors.New("gave up waiting")
	}
}

func (s *server) complain(part string, err error) {
	if err != nil {
		s.cfg.log.Warn().Err(err).Str("event.action", "shutdown").Msg(part)
	}
}
