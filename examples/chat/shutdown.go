package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// How long each step of a shutdown may take.
const (
	drainGrace   = 20 * time.Second // for the connections and the exporters, unless -drain says otherwise
	reportGrace  = 3 * time.Second  // of that, for Elastic to take what there is
	requestGrace = 1 * time.Second  // for ordinary requests
	sendGrace    = 2 * time.Second  // for the vendors' agents to send what is left
	partGrace    = 1 * time.Second  // for each of the other parts
)

// shutdown drains the connections while all else still works: the server says that
// it is not ready, and messages in hand are published and answered. Then it releases
// the parts. When ctx is cancelled no message in hand and no request is waited for any
// more. What goes wrong is logged and holds up nothing. The server may have started
// only in part.
func (s *server) shutdown(ctx context.Context) {
	if s.incident != nil {
		s.incident.stop() // its visitors leave
	}
	if s.agent != nil {
		s.complain("connections", s.drain(ctx))
	}
	s.cancel() // a live page that is being watched is a request without an end
	if s.http != nil {
		s.complain("http", s.closeHTTP(ctx))
	}
	// At the same time, so that of several parts that hang only the slowest counts.
	var parts sync.WaitGroup
	defer parts.Wait()
	if s.billing != nil {
		parts.Go(func() { s.complain("billing", s.billing.close()) })
	}
	if s.bus != nil {
		parts.Go(func() { s.complain("redis", within(partGrace, s.bus.close)) })
	}
	if s.tracer != nil {
		parts.Go(func() {
			s.complain("elastic", within(sendGrace, func() error {
				s.tracer.Close()
				return nil
			}))
		})
	}
	if s.newRelic != nil {
		parts.Go(func() { s.newRelic.Shutdown(sendGrace) })
	}
}

// drain closes the connections, and has the exporters hand over what they have.
func (s *server) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.drain)
	defer cancel()
	return s.agent.Shutdown(ctx)
}

// closeHTTP stops listening, and waits for requests that are under way.
func (s *server) closeHTTP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestGrace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// ready answers whether the server takes connections: a load balancer is to ask, so
// that it sends no more of them while the open ones are drained.
func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.agent.Draining() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
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
