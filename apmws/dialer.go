package apmws

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// DialerOptions describe the life of the connections that a Dialer makes. Only
// Message is required.
//
// The hooks of one connection are called one after the other. A connection that
// takes the place of another whose token expires is open a moment before that is
// closed, so for that moment hooks of both may run at the same time. Their contexts
// carry the connection (FromContext), a logger (zerolog.Ctx) and the vendors'
// transactions while those last: Header, Token and Connect run inside CONNECT. They
// are cancelled when the connection ends or cannot be made; when the context of Run
// ends, first of all the connection gets 5 seconds to close. What hooks panic with, and
// functions of the gorilla Dialer, is recorded and ends the connection or the attempt, as
// with EndpointOptions. What State panics with, Run does.
type DialerOptions struct {
	// Dialer is gorilla's, with its proxy, TLS configuration, subprotocols,
	// compression, cookie jar and functions that connect. As with gorilla, the zero
	// one uses no proxy; *websocket.DefaultDialer uses that of the environment. A zero
	// ReadBufferSize is 512 bytes, a nil WriteBufferPool one of the Dialer's own, and
	// a zero HandshakeTimeout 10 seconds. Of the tracing functions of
	// net/http/httptrace, those about TLS are not called.
	Dialer websocket.Dialer

	// Header returns headers of the handshake. It is called before each attempt; what it
	// returns is not changed. An error makes the attempt fail; its text is logged.
	Header func(ctx context.Context) (http.Header, error)

	// Token returns a token, which is sent as "Authorization: Bearer", and when it
	// expires: the zero time where that is not known. It is called before each
	// attempt, and before the token of an open connection expires. An error makes the
	// attempt fail; its text is logged, so it must not hold a token.
	Token func(ctx context.Context) (token string, expires time.Time, err error)

	// Renew tells the server a new token on a connection that is open, when between
	// 80 and 90 % of the life of the old one have passed. Nil: a new connection is made
	// with the new token then, and the old one closed with 1000 when Connect has
	// returned for the new one: nothing is missed where Connect waits until the server
	// has subscribed it, and some messages may come twice. So it is after an error of
	// Renew, too. While the server refuses the new one, the open connection stays, and
	// this is tried again.
	Renew func(ctx context.Context, conn *Conn, token string) error

	// Connect runs when the server has accepted, on each connection, and ends CONNECT
	// when it returns: it is the place to subscribe again. Until then nothing else reads,
	// so it may read the answer from Conn.WebSocket. The context that it returns,
	// ctx or one derived from it, is what Message, Renew and Close get. An error closes
	// the connection as that of EndpointOptions.Connect does, unless the server, the
	// network or the end of Run's context has done so before, and counts as a failed
	// attempt; Close is not called then.
	Connect func(ctx context.Context, conn *Conn) (context.Context, error)

	// Message handles a message, as in Serve. It is required. An error made by Close
	// closes the connection, after which the Dialer connects again.
	Message func(ctx context.Context, m Message) error

	// Close runs when the last message of a connection has been handled, as that of
	// EndpointOptions.
	Close func(ctx context.Context, conn *Conn, err error)

	// State is told what the Dialer does: that it connects, has connected, waits or
	// has given up. It is called on the goroutine of Run, and must not block.
	State func(state DialState)

	// FirstDelay and MaxDelay bound the waits between attempts. Each wait is random,
	// uniformly between 0 and a bound (full jitter), so that clients that were cut off
	// together do not come back together. The bound is FirstDelay, doubles from one
	// attempt to the next up to MaxDelay, and is FirstDelay again after a connection
	// that has lasted for longer than MaxDelay. A Retry-After of the server's (RFC
	// 9110, section 10.2.3), up to an hour, comes on top. 0 means 500 ms and 30 s.
	FirstDelay, MaxDelay time.Duration

	// ReadLimit, WriteTimeout, Heartbeat and SendQueue are those of EndpointOptions:
	// without a heartbeat a client never learns that a server which sends nothing has
	// vanished.
	ReadLimit    int64
	WriteTimeout time.Duration
	Heartbeat    Heartbeat
	SendQueue    SendQueue
}

const (
	defaultFirstDelay = 500 * time.Millisecond
	defaultMaxDelay   = 30 * time.Second
)

// ErrNotConnected is returned by Dialer.Conn while there is no connection.
var ErrNotConnected = errors.New("apmws: dialer is not connected")

// ErrRunning is returned by Dialer.Run while another call of it runs.
var ErrRunning = errors.New("apmws: dialer runs already")

// ErrShutDown is returned by Dialer.Run when its agent has been shut down.
var ErrShutDown = errors.New("apmws: agent is shut down")

// errDialURL says nothing of the URL, which may hold secrets.
var errDialURL = errors.New("apmws: URL of the dialer is not one of ws or wss, or has a user name")

// Dialer is a WebSocket client that connects, serves the connection, and connects
// again when it is lost. It is safe for concurrent use.
type Dialer struct {
	agent    *Agent
	route    *route
	url      string // empty: it is none
	uri      string // its path and query
	scheme   string
	host     string
	to       *destination
	opts     DialerOptions
	endpoint endpoint
	current  atomic.Pointer[Conn]
	running  atomic.Bool
}

// Dialer returns a client for a URL of the scheme ws or wss.
//
// The route is the name under which everything is reported, such as "feed"; it is
// never taken from the URL, of which nothing but host and port is told. It should not
// be the route of a Handler or an Endpoint, with whose numbers it would be mixed; its
// message options are those of Options.Routes or Options.Messages. An empty route is
// _OTHER.
//
// Each attempt is a CONNECT of its own: a root, also where Run is called under a
// transaction, since the connection outlives that. It lasts from before Token until
// Connect has returned. Inside of it the handshake is the exit span "dial", whose trace
// context goes to the server in traceparent and tracestate. What Dialer records of its
// connections is what Handler and Serve record, with the attribute websocket.role;
// Conn.ClientAddress is empty.
//
// Dialer panics when opts.Message is nil.
func (a *Agent) Dialer(route, url string, opts DialerOptions) *Dialer {
	if opts.Message == nil {
		panic("apmws: DialerOptions.Message is nil")
	}
	opts.FirstDelay = cmp.Or(max(0, opts.FirstDelay), defaultFirstDelay)
	opts.MaxDelay = max(opts.FirstDelay, cmp.Or(opts.MaxDelay, defaultMaxDelay))
	opts.Dialer.ReadBufferSize = cmp.Or(opts.Dialer.ReadBufferSize, endpointReadBuffer)
	opts.Dialer.HandshakeTimeout = cmp.Or(opts.Dialer.HandshakeTimeout, defaultHandshakeTimeout)
	if opts.Dialer.WriteBufferPool == nil {
		opts.Dialer.WriteBufferPool = new(sync.Pool)
	}
	d := &Dialer{agent: a, route: a.route(cmp.Or(route, semconv.Other)), to: otherDestination, opts: opts}
	d.endpoint.opts = EndpointOptions{
		Connect: d.connected, Message: opts.Message, Close: opts.Close,
		ReadLimit:    max(0, cmp.Or(opts.ReadLimit, defaultReadLimit)),
		WriteTimeout: max(0, cmp.Or(opts.WriteTimeout, defaultWriteTimeout)),
		SendQueue:    opts.SendQueue.withDefaults(),
	}
	d.endpoint.heartbeat = opts.Heartbeat.settings()
	d.setURL(url)
	return d
}

// setURL takes the URL, if it is one.
func (d *Dialer) setURL(text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.User != nil {
		return
	}
	d.url, d.uri, d.scheme, d.host = text, u.RequestURI(), u.Scheme, u.Hostname()
	as := url.URL{Scheme: "http" + d.scheme[len("ws"):], Host: u.Host} // for the default port
	d.to = d.agent.destinations.of(&as, &d.agent.drops.hosts)
}

// Conn returns the connection that is open, for those who want to write to it, or
// ErrNotConnected. It is that for which Connect has returned last, and may end at any
// moment: what is written then fails with ErrNotServing or an error of gorilla's.
func (d *Dialer) Conn() (*Conn, error) {
	if c := d.current.Load(); c != nil {
		return c, nil
	}
	return nil, ErrNotConnected
}

// Run connects, and connects again whenever the connection ends. It returns when ctx
// ends or the server makes clear that there is no use in it. When ctx ends it closes the
// connection with 1001, gently, as Conn.CloseAt does, but within 5 seconds, waits for the
// hooks, and returns ctx's error. Nothing of it is left then.
//
// It returns a *GaveUpError when the server
//   - refuses the handshake with 401 or 403, or closes the connection with 4401,
//     whose token has expired: after one further attempt, with what Header and Token
//     return then, where there is one of these and no connection has lasted for longer
//     than MaxDelay since the one before;
//   - closes the connection with 1008 or 4403;
//
// and when the URL is none of ws or wss, or has a user name. A connection that is open
// is never given up for what the server says of the one that is to take its place. A
// program that goes on all the same, since what issues or checks its tokens may be at
// fault for a while, waits and calls Run again. It returns ErrRunning when Run runs already,
// and ErrShutDown after Agent.Shutdown, which ends an attempt or a wait at once and
// drains the connection.
func (d *Dialer) Run(ctx context.Context) error {
	if !d.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer d.running.Store(false)
	r := &dialRun{dialer: d, pace: newPace(d.opts.FirstDelay, d.opts.MaxDelay)}
	defer r.leaving.Wait()
	attempts, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.agent.stopping, cancel)()
	return r.run(ctx, attempts)
}
