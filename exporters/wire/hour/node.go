package hour

import (
	"cmp"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// nodeSpec describes a node.
type nodeSpec struct{ name, service, environment, version, address string }

func nodeSpecs() []nodeSpec {
	return []nodeSpec{
		{"chat-1", "chat", "production", "1.4.0", "10.0.0.11"},
		{"chat-2", "chat", "production", "1.4.0", "10.0.0.12"},
		{"chat-3", "chat", "production", "1.4.0", "10.0.0.13"},
		{"feeds-1", "feeds", "production", "2.1.3", "10.0.0.21"},
		{"staging-1", "chat", "staging", "1.5.0-rc.1", "10.0.1.11"},
	}
}

const (
	port = 8080
	// readLimit is the size in bytes of the largest message.
	readLimit = 64 << 10
	// tooBig is the size of one that is larger.
	tooBig = readLimit + 6000
	// reports is how often the agents report, and never how often the day before.
	reports = 30 * time.Second
	never   = 1000 * time.Hour
	// shutdownTimeout is more than enough: it takes no time.
	shutdownTimeout = time.Minute
)

// node is a server from its start to its stop.
type node struct {
	nodeSpec
	script   *script
	tracer   *apm.Tracer
	agent    *apmws.Agent
	logger   zerolog.Logger
	server   http.Server
	calls    http.Client // of partners
	listener *listener
	stopped  chan struct{} // closed when the news end

	mu   sync.Mutex
	here []*visit // who is connected
}

// startNode starts a node, which reports nothing of its own accord.
func (s *script) startNode(t *testing.T, spec nodeSpec) *node {
	t.Helper()
	n := &node{
		nodeSpec: spec, script: s, logger: s.log.logger(spec), stopped: make(chan struct{}),
		calls:    http.Client{Transport: apmws.Transport(partners{s.book})},
		listener: newListener(&net.TCPAddr{IP: net.ParseIP(spec.address), Port: port}),
	}
	var err error
	if n.tracer, err = s.back.tracer(t, spec); err != nil {
		t.Fatal(err)
	}
	n.tracer.SetMetricsInterval(never)
	n.agent = apmws.New(n.options())
	n.server = http.Server{
		Handler: n.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*conn); ok {
				ctx = context.WithValue(ctx, visitKey{}, c.visit)
			}
			return ctx
		},
	}
	go func() { _ = n.server.Serve(n.listener) }() // until it is closed
	if n.service == "chat" {
		go n.publish(n.stopped)
	}
	n.logger.Info().Str("event.action", "server-started").Msg("server started")
	return n
}

func (n *node) options() apmws.Options {
	opts := apmws.Options{
		Exporters: []apmws.Exporter{elasticws.New(n.tracer)},
		Logger:    &n.logger,
		Messages: apmws.MessageOptions{
			Name: apmws.JSONField("type"), Names: roomNames(), SendNames: []string{"ack", "sorry", "history", "message"},
			TraceContext: traceContextOf,
			LogLevel: func(name string) zerolog.Level {
				if name == sayJoin {
					return zerolog.InfoLevel
				}
				return zerolog.Disabled
			},
		},
		Routes: map[string]apmws.MessageOptions{
			routeNotify: {Names: notifyNames(), SendNames: []string{"ack", "push"}},
			routeNews:   {Name: apmws.JSONField("type"), Names: newsNames(), SendNames: []string{"ack", newsHeadline, newsAlert}},
			routeQuotes: {Name: apmws.JSONField("type"), Names: quoteNames(), SendNames: []string{"ack", "sorry"}},
		},
		RefusalReasons: []string{string(overQuota)},
		Drain:          apmws.Drain{Rate: drainRate},
	}
	if n.service == "feeds" {
		opts.Sampling = &apmws.Sampling{Rate: SampleRate, Slow: SlowFrom}
	}
	return opts
}

// Sampling of the service feeds.
const (
	SampleRate = 0.1
	SlowFrom   = 500 * time.Millisecond
)

func (n *node) routes() http.Handler {
	mux := http.NewServeMux()
	endpoint := func(route string, handle func(context.Context, *visit, envelope) error) {
		opts := apmws.EndpointOptions{
			Authenticate: n.authenticate,
			Connect:      n.connected,
			Message: func(ctx context.Context, m apmws.Message) error {
				v := visitOf(ctx)
				return v.handle(m.Data, func(e envelope) error { return handle(ctx, v, e) })
			},
			Close: func(ctx context.Context, _ *apmws.Conn, err error) {
				v := visitOf(ctx)
				v.readEnded(err)
				n.leave(v)
			},
			ReadLimit: readLimit, WriteTimeout: writeTimeout,
			Heartbeat: apmws.Heartbeat{Interval: -1}, // see beat
		}
		if route == routeNews {
			opts = newsOptions(opts)
		}
		mux.Handle(route, n.agent.Endpoint(route, opts))
	}
	if n.service == "feeds" {
		endpoint(routeQuotes, n.quote)
		return mux
	}
	endpoint(routeRooms, n.room)
	endpoint(routeNews, n.read)
	mux.Handle(routeNotify, n.agent.Handler(routeNotify, http.HandlerFunc(n.notify)))
	return mux
}

// connected is the hook of the endpoints.
func (n *node) connected(ctx context.Context, c *apmws.Conn) (context.Context, error) {
	v := visitOf(ctx)
	v.member, v.outside = c, ctx
	n.enter(v)
	if v.route != routeNews {
		n.beat(ctx, v, c.WebSocket())
	}
	return ctx, nil
}

// beat pings a client until ctx is cancelled, always at the same times, and only from
// when it is busy: the library's own heartbeat is that of the news.
func (n *node) beat(ctx context.Context, v *visit, ws *websocket.Conn) {
	ws.SetPongHandler(func(string) error { return ws.SetReadDeadline(time.Now().Add(patience)) })
	go func() {
		next := time.NewTimer(max(0, time.Until(v.busyFrom)) + heartbeat)
		defer next.Stop()
		for word := byte('a'); ; word++ {
			select {
			case <-ctx.Done():
				return
			case <-next.C:
			}
			now := time.Now()
			if word == 'a' {
				_ = ws.SetReadDeadline(now.Add(patience)) // fails when all is over
			}
			_ = ws.WriteControl(websocket.PingMessage, []byte{word}, now.Add(heartbeat/2)) // may have no turn
			next.Reset(heartbeat)
		}
	}()
}

func (n *node) enter(v *visit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.here = append(n.here, v)
}

func (n *node) leave(v *visit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.here = slices.DeleteFunc(n.here, func(other *visit) bool { return other == v })
}

// visits returns who is connected and has not begun to leave, in an order that is
// the same each time.
func (n *node) visits() []*visit {
	n.mu.Lock()
	defer n.mu.Unlock()
	present := slices.DeleteFunc(slices.Clone(n.here), (*visit).isOver)
	slices.SortFunc(present, func(a, b *visit) int { return cmp.Compare(a.seed, b.seed) })
	return present
}

// drainRate is how many guests are sent away in a second.
const drainRate = 2

// drain lets nobody in any more, sends all away, and reports that.
func (n *node) drain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := n.agent.Shutdown(ctx); err != nil {
		t.Errorf("%s: %v", n.name, err)
	}
}

// report makes the agent report its counters now.
func (n *node) report() {
	n.tracer.SendMetrics(nil)
	n.tracer.Flush(nil)
	n.tracer.Flush(nil) // what came while the request was finished
}

// stop stops a node without connections.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if left := n.visits(); len(left) > 0 {
		t.Errorf("%s stops with %d connections", n.name, len(left))
	}
	close(n.stopped)
	n.server.Close()
	n.drain(t)
	n.logger.Info().Str("event.action", "server-stopped").Msg("server stopped")
	n.tracer.Close()
}
