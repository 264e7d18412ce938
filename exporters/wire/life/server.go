package life

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisv8 "github.com/go-redis/redis/v8"
	"github.com/gorilla/websocket"
	nrredis "github.com/newrelic/go-agent/v3/integrations/nrredis-v9"
	"github.com/newrelic/go-agent/v3/newrelic"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.elastic.co/apm/module/apmgoredisv8/v2"
	"go.elastic.co/apm/module/apmhttp/v2"

	"github.com/apmws/go-apmws/apmws"
)

// server is the application.
type server struct {
	notes notes
	book  *logbook
	room  room

	agent, sampling *apmws.Agent
	http            http.Server
	address         string

	store      *miniredis.Miniredis
	redis      *redis.Client   // with spans of this library's
	redisNR    *redis.Client   // with New Relic's integration
	redisES    *redisv8.Client // with Elastic's
	partner    http.Server     // of other people
	elastic    *http.Client    // calls the partner with Elastic's integration
	newRelic   *http.Client    // with New Relic's
	calls      *http.Client    // with this library's
	connection *http.Transport // of all
}

// startServer starts the application and what it calls.
func startServer(ctx context.Context, book *logbook, exporters func() []apmws.Exporter) (s *server, err error) {
	s = &server{book: book}
	defer func() {
		if err != nil {
			_ = s.stop() // the first error counts
		}
	}()
	if s.store, err = miniredis.Run(); err != nil {
		return nil, err
	}
	if err := s.connectRedis(ctx); err != nil {
		return nil, err
	}
	partner, err := serve(&s.partner, http.HandlerFunc(s.answerAsPartner))
	if err != nil {
		return nil, err
	}
	s.connection = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, partner)
	}}
	s.elastic = apmhttp.WrapClient(&http.Client{Transport: s.connection})
	s.newRelic = &http.Client{Transport: newrelic.NewRoundTripper(s.connection)}
	s.calls = &http.Client{Transport: apmws.Transport(s.connection)}

	logger := book.logger()
	s.agent = apmws.New(apmws.Options{
		Exporters:      exporters(),
		Logger:         &logger,
		Messages:       shopMessages(),
		Routes:         map[string]apmws.MessageOptions{"/relay": relayMessages(), "/room": roomMessages()},
		RefusalReasons: []string{"quota"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	s.sampling = apmws.New(apmws.Options{
		Exporters: exporters(),
		Logger:    &logger,
		Messages: apmws.MessageOptions{
			Name:  apmws.JSONField("type"),
			Names: []string{"feed.quote", "feed.always", "feed.tick", "feed.fail", "feed.slow"},
		},
		Sampling: &apmws.Sampling{Names: map[string]float64{"feed.always": 1, "feed.quote": ChanceRate}, Slow: SlowFrom},
	})
	s.address, err = serve(&s.http, s.routes())
	return s, err
}

// SlowFrom is how long a message to the agent that samples takes at least which is
// kept for that: feed.slow does, and no other, also on a busy machine.
const SlowFrom = 2 * time.Second

func shopMessages() apmws.MessageOptions {
	return apmws.MessageOptions{
		Name: apmws.JSONField("type"),
		Names: []string{
			"hello", "order.place", "order.store", "order.pay", "order.refund", "order.fail", "order.wait", "order.crash",
			"file.put", "file.stall", "end.application", "end.failure", "end.away", "end.silence",
		},
		SendNames:    []string{"welcome", "reply", "sorry"},
		TraceContext: apmws.JSONTraceContext,
		LogLevel: func(name string) zerolog.Level {
			if name == "hello" {
				return zerolog.DebugLevel
			}
			return zerolog.Disabled
		},
	}
}

func relayMessages() apmws.MessageOptions {
	return apmws.MessageOptions{
		Name:           apmws.JSONField("type"),
		Names:          []string{"relay.forward", "reply"},
		RecordRawNames: true,
		TraceContext:   apmws.JSONTraceContext,
		ContinueTrace:  true,
	}
}

// serve serves on a free port of the loopback address, which it returns.
func serve(s *http.Server, handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.Handler, s.ReadHeaderTimeout = handler, Patience
	s.ErrorLog = log.New(io.Discard, "", 0) // net/http's lines about panics, which are scripted
	go func() { _ = s.Serve(listener) }()   // until it is closed
	return listener.Addr().String(), nil
}

// connectRedis connects the clients, so that what they say to greet the server is
// no part of anybody's message.
func (s *server) connectRedis(ctx context.Context) error {
	options := func() *redis.Options {
		return &redis.Options{Addr: s.store.Addr(), Protocol: 2, DisableIdentity: true}
	}
	s.redis, s.redisNR = redis.NewClient(options()), redis.NewClient(options())
	s.redis.AddHook(RedisSpans{})
	s.redisNR.AddHook(nrredis.NewHook(options()))
	s.redisES = redisv8.NewClient(&redisv8.Options{Addr: s.store.Addr()})
	s.redisES.AddHook(apmgoredisv8.NewHook())
	return errors.Join(s.redis.Ping(ctx).Err(), s.redisNR.Ping(ctx).Err(), s.redisES.Ping(ctx).Err())
}

// answerAsPartner is the service that the application calls.
func (s *server) answerAsPartner(w http.ResponseWriter, r *http.Request) {
	s.notes.noteCall(r)
	switch r.URL.Path {
	case "/quotes":
		s.quotes(w, r)
	case "/refund", "/refund/" + secretCall:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *server) agents() []*apmws.Agent { return []*apmws.Agent{s.agent, s.sampling} }

// stop ends what startServer has started.
func (s *server) stop() error {
	errs := []error{s.http.Close(), s.partner.Close()}
	if s.connection != nil {
		s.connection.CloseIdleConnections()
	}
	for _, client := range []io.Closer{closer(s.redis), closer(s.redisNR), closer(s.redisES)} {
		errs = append(errs, client.Close())
	}
	if s.store != nil {
		s.store.Close()
	}
	return errors.Join(errs...)
}

// closer returns what closes a client, which may be nil.
func closer[C interface {
	io.Closer
	comparable
}](client C) io.Closer {
	if none := *new(C); client == none {
		return io.NopCloser(nil)
	}
	return client
}

// routes are those of the application.
func (s *server) routes() http.Handler {
	upgrader := websocket.Upgrader{Subprotocols: []string{"json"}}
	mux := http.NewServeMux()
	mux.Handle("/shop", s.agent.Endpoint("/shop", apmws.EndpointOptions{
		Upgrader: upgrader, Authenticate: s.authenticate, Connect: s.connected, Message: s.shop, Close: s.closed,
	}))
	mux.Handle("/deflate", s.agent.Endpoint("/deflate", apmws.EndpointOptions{
		Upgrader:     websocket.Upgrader{EnableCompression: true},
		Authenticate: s.authenticate, Message: s.shop,
	}))
	mux.Handle("/files", s.agent.Endpoint("/files", apmws.EndpointOptions{
		Authenticate: s.authenticate, Message: s.files, ReadLimit: maxFile, WriteTimeout: -1,
	}))
	mux.Handle("/brief", s.agent.Endpoint("/brief", apmws.EndpointOptions{
		Authenticate: s.authenticate, Message: s.shop, MaxAge: 20 * time.Millisecond,
	}))
	mux.Handle("/relay", s.agent.Handler("/relay", http.HandlerFunc(s.relay)))
	mux.Handle("/plain", s.agent.Handler("/plain", http.HandlerFunc(s.plain)))
	mux.Handle("/manual", s.agent.Handler("/manual", http.HandlerFunc(s.manual)))
	mux.Handle("/room", s.agent.Endpoint("/room", apmws.EndpointOptions{
		Authenticate: s.authenticate, Connect: s.room.joined, Message: s.talk,
		SendQueue: apmws.SendQueue{Messages: 2, Bytes: 2 * flood, Policy: apmws.Disconnect},
	}))
	mux.Handle("/feed", s.sampling.Endpoint("/feed", apmws.EndpointOptions{Authenticate: s.authenticate, Message: s.feed}))
	return mux
}

// maxFile is the size in bytes of the largest message to /files.
const maxFile = 1024

// post calls the partner. The body of the answer is read, since Elastic's
// integration takes that for the end of the call.
func post(ctx context.Context, client *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://billing.example"+path, http.NoBody)
	if err != nil {
		return err
	}
	return do(client, req)
}

// call calls a partner through this library, with secrets wherever some have them.
func (s *server) call(ctx context.Context, host, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://shop:"+secretCall+"@"+host+path+"/"+secretCall+"?token="+secretCall+"#"+secretCall, strings.NewReader(secretCall))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+secretCall)
	return do(s.calls, req)
}

func do(client *http.Client, req *http.Request) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the partner answers %d", res.StatusCode)
	}
	return nil
}
