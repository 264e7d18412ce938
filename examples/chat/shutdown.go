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
	reportGrace  = 4 * time.Second // for the exporters to send what they have
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
		s.hub.shutdown(closeGrace)
		s.cancel() // a live page that is being watched is a request without an end
		if err := <-stopped; err != nil {
			s.http.Close()
		}
	}
	// After the connections, so that their ends are reported; at the same time,
	// so that of several parts that hang only the slowest counts.
	var parts sync.WaitGroup
	defer parts.Wait()
	if s.agent != nil {
		parts.Go(s.report)
	}
	if s.billing != nil {
		parts.Go(func() { s.complain("billing", s.billing.close()) })
	}
	if s.bus != nil {
		parts.Go(func() { s.complain("redis", within(partGrace, s.bus.close)) })
	}
}

// report lets the exporters send what they have.
func (s *server) report() {
	ctx, cancel := context.WithTimeout(context.Background(), reportGrace)
	defer cancel()
	s.complain("telemetry", s.agent.Shutdown(ctx))
	if s.tracer != nil {
		s.complain("elastic", within(partGrace, func() error {
			s.tracer.Close()
			return nil
		}))
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
