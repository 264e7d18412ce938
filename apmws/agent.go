package apmws

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// Options configure an Agent. The zero value works: it counts, and exports and
// logs nothing.
type Options struct {
	// Exporters receive the transactions. Each keeps its own ids and links; none
	// disturbs another.
	Exporters []Exporter

	// Logger receives the agent's log lines and is the parent of the logger in
	// handlers' contexts, unless the request's context already carries one.
	// It is used as it is. Nil: the agent logs nothing.
	Logger *zerolog.Logger

	// Messages says how messages are named, on routes without an entry in
	// Routes.
	Messages MessageOptions

	// Routes holds the message options of routes with a protocol of their own,
	// by the route given to Handler.
	Routes map[string]MessageOptions

	// Sampling decides which messages become transactions. Nil: all do, as far
	// as the exporters' own samplers let them.
	Sampling *Sampling

	// UpgradeHeaders are names of response headers that are to reach the client
	// in the 101 when a middleware has set them on the ResponseWriter and the
	// WebSocket library would drop them. Set-Cookie always does. Content-*,
	// Transfer-Encoding, Connection, Upgrade and Sec-WebSocket-* are refused:
	// New logs a warning and leaves them out.
	UpgradeHeaders []string

	// TrustedProxies are the addresses of the proxies in front of this server.
	// Where a handshake comes from one of them, the client's address is that in
	// X-Forwarded-For, read from the right, which is not of a trusted proxy
	// itself; what is left of that could be made up by anybody. An entry that is no
	// address ends the reading, and so does the 32nd; the address before it counts
	// then. Each of the proxies must append to that header, or set it. The
	// Forwarded header (RFC 7239) is ignored: a proxy that does not know it would
	// let a client's own through. Nil: the socket's address is the client's, and no
	// header is looked at.
	//
	// IPv4 addresses are compared with IPv4 prefixes however they are written, and
	// addresses have no zones here. A socket without an IP address, such as a Unix
	// domain socket, is never trusted.
	TrustedProxies []netip.Prefix

	// Subprotocols are names of subprotocols that may be recorded, beside the
	// common ones such as graphql-transport-ws. Any other is recorded as _OTHER,
	// since some protocols carry a token in the subprotocol.
	Subprotocols []string

	// RefusalReasons are the application's own names for SetRefusalReason.
	RefusalReasons []string

	// Drain says how Shutdown closes the open connections.
	Drain Drain
}

// MessageOptions say how the messages of a route are named and logged.
type MessageOptions struct {
	// Name names a message in Serve, for example JSONField("type"). Nil: every
	// message is named _OTHER.
	Name NameFunc

	// Names are the registered names. A name that is not among them becomes
	// _OTHER, so that peers cannot make names up; so does the name given to
	// StartMessage.
	Names []string

	// SendNames are the registered names of messages that are only ever sent,
	// for the spans of Conn.Write. Those in Names need not be repeated.
	SendNames []string

	// RecordRawNames keeps the unregistered name of a message that became
	// _OTHER, cut to 64 characters, as an attribute. The name is a part of the
	// payload, so it is off by default.
	RecordRawNames bool

	// TraceContext extracts the W3C trace context that the peer has put into a
	// message, for example JSONTraceContext. Empty strings mean that there is
	// none; a malformed traceparent is ignored and counted. Nil: none is looked for.
	TraceContext func(typ MessageType, payload []byte) (traceparent, tracestate string)

	// ContinueTrace makes a message's transaction the child of the trace context
	// found in it. By default it is a trace of its own with a link. It is for
	// peers that are trusted: they decide then which messages are sampled, and
	// for how many each counts.
	ContinueTrace bool

	// LogLevel returns the level of the "websocket message" line of a message
	// that was handled without a failure; zerolog.Disabled writes none. Nil:
	// none is written. Failures are always logged, at error level.
	LogLevel func(name string) zerolog.Level

	// Repanic raises a message handler's panic again after it was recorded and
	// the connection closed with 1011. By default Serve returns it as a
	// *PanicError.
	Repanic bool
}

// Agent watches WebSocket connections. There is usually one per process. It is
// safe for concurrent use.
type Agent struct {
	exporter       *multi
	logger         *zerolog.Logger
	messages       MessageOptions
	routeOptions   map[string]MessageOptions
	upgradeHeaders []string
	proxies        trustedProxies
	subprotocols   names
	reasons        names
	registry       registry
	sampler        *sampler
	destinations   destinations
	drainOptions   Drain
	drainage       atomic.Pointer[drain] // nil: Shutdown has not been called
	stopping       context.Context       // ends when Shutdown is called
	stop           context.CancelFunc
	handshakes     atomic.Int64 // in progress
	broadcasts     atomic.Int64 // that have not ended

	wheel wheel

	drops coreDrops

	mu      sync.Mutex
	routes  map[string]*route
	derived int // of them, taken from a request's pattern
}

// coreDrops count what the core itself gave up.
type coreDrops struct {
	traceContexts atomic.Int64 // malformed
	attributes    atomic.Int64 // beyond the limit
	callbacks     atomic.Int64 // panics of a MessageOptions function
	routes        atomic.Int64 // handshakes with a pattern beyond the limit
	hosts         atomic.Int64 // outbound calls to a host beyond the limit
}

// New returns an Agent. It starts no goroutine; what exporters start, Shutdown
// ends, and what heartbeats need, the end of the last connection.
func New(opts Options) *Agent {
	a := &Agent{
		exporter:     newMulti(opts.Exporters, opts.Logger),
		logger:       opts.Logger,
		messages:     opts.Messages,
		routeOptions: opts.Routes,
		subprotocols: newNames(slices.Concat(opts.Subprotocols, commonSubprotocols)),
		reasons:      newNames(slices.Concat(opts.RefusalReasons, refusalReasons)),
		routes:       make(map[string]*route),
		proxies:      newTrustedProxies(opts.TrustedProxies),
		drainOptions: opts.Drain,
	}
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.upgradeHeaders = a.checkUpgradeHeaders(opts.UpgradeHeaders)
	a.sampler = a.newSampler(opts.Sampling)
	a.exporter.Attach(a)
	return a
}

// Handler watches the WebSocket connections that next accepts or refuses. Its
// requests that are no WebSocket handshake go to next untouched and uncounted.
//
// The route is the template under which everything is reported, such as "/ws"
// or "/rooms/{id}"; never pass a raw path. An empty route is that of the
// request's Pattern, which http.ServeMux sets, without its method and host; so
// Handler must be inside the mux then. Where there is no pattern, and for
// patterns beyond the first 1,000, the route is _OTHER.
//
// A handler, Endpoint's included, that is inside of another one of the same agent
// leaves the watching and the route to that one, and brings back the Hijacker that
// middleware in between hides behind Unwrap.
//
// next may use any library that hijacks the connection, and keeps control over
// it: Handler adds nothing to what the peers see but the Set-Cookie headers that
// the library would drop.
//
// The request's context carries the connection (FromContext), a logger
// (zerolog.Ctx), and, until the 101 has been written, the CONNECT transaction.
// It may be used for as long as the connection lives, from any goroutine. A
// panic of next is recorded and raised again.
func (a *Agent) Handler(route string, next http.Handler) http.Handler {
	h := &handler{agent: a, next: next}
	if route != "" {
		h.route = a.route(route)
	}
	return h
}

// Stats returns the exact counters and histograms at this moment. It may be
// called at any time and does not hold up traffic.
func (a *Agent) Stats() Stats { return a.stats() }

// Connections describes the open connections, oldest first.
func (a *Agent) Connections() []ConnInfo { return a.registry.list() }

// Flush makes the exporters send what they have buffered. It returns the errors
// of those that failed or did not finish before ctx expired.
func (a *Agent) Flush(ctx context.Context) error {
	return a.exporter.Flush(ctx)
}
