package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
	"github.com/rs/zerolog"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/livews"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// server is a chat server that runs. It owns all its parts.
type server struct {
	cfg      config
	agent    *apmws.Agent
	live     http.Handler
	tracer   *apm.Tracer           // nil: no Elastic
	newRelic *newrelic.Application // nil: no New Relic
	hub      *hub
	bus      *bus
	billing  *billing
	incident *incident // nil: none
	tokens   tokens

	messageName apmws.NameFunc

	http     *http.Server
	loopback bool       // listens for this machine alone
	url      string     // of the chat page
	failed   chan error // receives why the server cannot go on, at most once
	cancel   func()     // ends the requests that shutdown does not wait for
}

// start starts a server; shutdown ends it. ctx bounds the start alone.
func start(ctx context.Context, cfg config) (*server, error) {
	if len(cfg.secret) == 0 {
		cfg.secret = make([]byte, minSecret)
		rand.Read(cfg.secret) // never fails: see crypto/rand
		cfg.log.Info().Msg("CHAT_JWT_SECRET is not set: tokens end with this process")
	}
	cfg.drain = cmp.Or(cfg.drain, drainGrace)
	s := &server{cfg: cfg, hub: newHub(), failed: make(chan error, 1), cancel: func() {}, messageName: messageName()}
	s.tokens = tokens{cfg.secret, or(cfg.audience, defaultAudience), cmp.Or(cfg.tokenLifetime, defaultTokenLifetime)}
	if cfg.verify == nil {
		s.cfg.verify = s.tokens.verify
	}
	if err := s.startParts(ctx); err != nil {
		s.shutdown(ctx)
		return nil, err
	}
	return s, nil
}

func (s *server) startParts(ctx context.Context) (err error) {
	if err = s.startAgent(); err != nil {
		return err
	}
	if s.bus, err = newBus(ctx, s.cfg.redisURL, s.cfg.log, s.deliver); err != nil {
		return err
	}
	if s.billing, err = newBilling(s.cfg.log); err != nil {
		return err
	}
	if s.cfg.incident == incidentOff {
		return s.listen(ctx)
	}
	s.incident = newIncident(s)
	if err = s.listen(ctx); err == nil {
		s.incident.send(s.url)
	}
	return err
}

// startAgent makes the apmws agent: the live page always, Elastic and New Relic
// when asked, of which the first one's ids are those of the log.
func (s *server) startAgent() (err error) {
	view := livews.New(livews.Options{})
	s.live = view
	exporters := []apmws.Exporter{view}
	if s.cfg.elastic == "" {
		s.cfg.log.Info().Msg("Elastic is off: ELASTIC_APM_SERVER_URL is not set")
	} else {
		if s.tracer, err = s.cfg.elasticTracer(); err != nil {
			return err
		}
		s.cfg.log.Info().Str("url.full", withoutSecrets(s.cfg.elastic)).Msg("Elastic is on")
		exporters = append(exporters, elasticExporter{elasticws.New(s.tracer)})
	}
	if s.cfg.newRelic == "" {
		s.cfg.log.Info().Msg("New Relic is off: NEW_RELIC_LICENSE_KEY is not set")
	} else {
		if s.newRelic, err = s.cfg.newRelicApp(); err != nil {
			return err
		}
		s.cfg.log.Info().Msg("New Relic is on")
		exporters = append(exporters, newrelicws.New(s.newRelic))
	}
	s.agent = apmws.New(apmws.Options{
		Exporters: exporters,
		Logger:    &s.cfg.log,

		TrustedProxies: s.cfg.trustedProxies,
		RefusalReasons: tokenReasons(),
		Messages: apmws.MessageOptions{
			Name:      s.messageName,
			Names:     received(),
			SendNames: sent(),
			// Linked to, and not continued: anybody can send one.
			TraceContext: apmws.JSONTraceContext,
			LogLevel:     func(string) zerolog.Level { return zerolog.DebugLevel },
		},
	})
	return nil
}

func (s *server) listen(ctx context.Context) error {
	tlsConfig, err := s.cfg.tlsConfig()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.addr)
	if err != nil {
		return err
	}
	tcp, ok := ln.Addr().(*net.TCPAddr)
	s.loopback = ok && tcp.IP.IsLoopback()
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.routes(),
		TLSConfig:         tlsConfig,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          serverLog(s.cfg.log),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	serve, scheme := s.http.Serve, "http"
	if tlsConfig != nil {
		serve, scheme = func(ln net.Listener) error { return s.http.ServeTLS(ln, "", "") }, "https"
	}
	s.url = scheme + "://" + reachable(ln.Addr()) + "/"
	go func() {
		if err := serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	s.cfg.log.Info().Str("url.full", s.url).Msg("listening")
	s.cfg.log.Info().Str("url.full", s.url+"debug/ws/").Msg("live page")
	return nil
}

// reachable returns an address of this machine for a listener on all of them.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
