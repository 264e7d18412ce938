package apmws

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// ErrNotServing is returned by the writing methods of a Conn that no Serve is
// running for: the WebSocket library's own connection is the way to write then.
var ErrNotServing = errors.New("apmws: connection is not served by Serve")

// Conn is one observed WebSocket connection. Its methods are safe for
// concurrent use and do nothing on a nil Conn, which is what FromContext
// returns where no connection is observed.
type Conn struct {
	// What each message needs comes first, together; see tap.
	agent                          *Agent
	route                          *route
	retiring                       atomic.Pointer[retirement] // nil: it is not about to be closed by this side
	messagesReceived, messagesSent atomic.Int64
	bytesReceived, bytesSent       atomic.Int64
	shard                          int // of the route's counters

	span    *multiConn
	serving atomic.Pointer[servedConn] // nil: no Serve runs
	recent  atomic.Pointer[recent]
	start   time.Time
	inHand  atomic.Int32 // transactions of messages under way

	id      string
	peer    string
	client  *string               // nil: that of peer
	dialled *callee               // whom a Dialer has called; nil: the peer has called
	scope   *scope                // the handler's context
	request *opening              // nil once CONNECT has ended
	rtt     atomic.Int64          // ns, 0: unknown
	heart   atomic.Pointer[heart] // nil: no heartbeat

	mu         sync.Mutex
	state      connState
	held       bool // an Endpoint ends CONNECT
	releasing  bool // somebody is about to, or has
	owned      bool // an Endpoint runs the connection, whose end waits for its hooks
	closedHeld bool // the connection was closed meanwhile
	cutShort   bool // a drain has cut it off
	arriving   bool // counted among the handshakes in progress
	user       string
	attrs      *[]slog.Attr // nil: none
	ending     *ending      // nil: nothing is known of the end yet
	pings      *pings
	postponed  *postponedEnd // the end waits for the handler's panic
	times      *closeTimes   // when it is to be closed; nil: at no certain time
	tap        weak.Pointer[tap]
}

// opening is what is known of a handshake. What may be set by the application or on
// another goroutine is guarded by Conn.mu, and set only until the connection is open, or
// refused.
type opening struct {
	RequestInfo        // zero for a Dialer's
	reason      string // of a refusal
	proto       string // the negotiated subprotocol, as far as it may be recorded
}

type connState uint8

const (
	connecting connState = iota
	open
	refused
	closed
)

// FromContext returns the connection that ctx belongs to: ctx is, or is derived
// from, the context of a request in Handler or of a message. It returns nil
// when there is none; the methods of a nil Conn do nothing.
func FromContext(ctx context.Context) *Conn {
	if s, ok := ctx.(*scope); ok {
		return s.conn // mostly
	}
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// ID returns the connection's random id, 16 hex digits. It is on every
// transaction, span and log line of the connection.
func (c *Conn) ID() string {
	if c == nil {
		return ""
	}
	return c.id
}

// Route returns the route template given to Handler.
func (c *Conn) Route() string {
	if c == nil {
		return ""
	}
	return c.route.name
}

// SetUser sets the id of the user on the other side. It is on the transactions
// and log lines that end or are written from now on, CONNECT included while it
// has not ended. Control characters become spaces; at most 256 bytes are kept.
func (c *Conn) SetUser(id string) {
	if c == nil {
		return
	}
	id = sanitize(id, maxUserID)
	c.mu.Lock()
	c.user = id
	c.mu.Unlock()
}

// User returns what SetUser was given, or the empty string.
func (c *Conn) User() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// SetAttrs adds attributes to the transactions that start or end from now on.
// An attribute with a known key replaces the earlier one. At most 16 are kept;
// more are dropped and counted. Values should be strings, numbers or booleans,
// and must not be secret.
func (c *Conn) SetAttrs(attrs ...slog.Attr) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Readers use the slice without the lock: never change it in place.
	all := slices.Clone(c.attrsLocked())
	for _, attr := range attrs {
		i := slices.IndexFunc(all, func(known slog.Attr) bool { return known.Key == attr.Key })
		switch {
		case i >= 0:
			all[i] = attr
		case len(all) < maxConnAttrs:
			all = append(all, attr)
		default:
			c.agent.drops.attributes.Add(1)
		}
	}
	c.attrs = &all
}

// attrsLocked returns the attributes. mu is held.
func (c *Conn) attrsLocked() []slog.Attr {
	if c.attrs == nil {
		return nil
	}
	return *c.attrs
}

const (
	maxConnAttrs = 16
	maxUserID    = 256 // bytes
)

// SetRefusalReason says why the application is about to refuse the handshake.
// A reason that is neither one of the contract's nor registered in
// Options.RefusalReasons becomes _OTHER. Without a call the reason is derived
// from the status.
func (c *Conn) SetRefusalReason(reason string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	if c.state == connecting {
		c.request.reason = c.agent.reasons.lookupString(reason)
	}
	c.mu.Unlock()
}

func (c *Conn) wasRefused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == refused
}

// identity returns what every event carries.
func (c *Conn) identity() (user string, attrs []slog.Attr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user, c.attrsLocked()
}

// appendCommon appends the attributes that every transaction carries.
func (c *Conn) appendCommon(dst []slog.Attr, event string) []slog.Attr {
	dst = append(dst,
		slog.String(semconv.Event, event),
		slog.String(semconv.ConnectionID, c.id),
		slog.String(semconv.Route, c.route.name))
	if c.dialled != nil {
		dst = append(dst, slog.String(semconv.Role, semconv.RoleClient))
	}
	return dst
}

// appendArrival appends the attributes of CONNECT that are known at its start.
func (c *Conn) appendArrival(dst []slog.Attr) []slog.Attr {
	dst = c.appendCommon(dst, semconv.EventConnect)
	if c.dialled != nil {
		return append(dst, slog.String(semconv.ServerAddress, c.dialled.address))
	}
	if origin := c.request.Origin; origin != "" {
		dst = append(dst, slog.String(semconv.Origin, origin))
	}
	return dst
}

// received and sent count what the tap saw pass.
func (c *Conn) received(passed frameCount) {
	c.route.counters.received(c.shard, passed)
	c.bytesReceived.Add(passed.bytes)
	if passed.messages != 0 {
		c.messagesReceived.Add(passed.messages)
	}
}

func (c *Conn) sent(passed frameCount) {
	c.route.counters.sent(c.shard, passed)
	c.bytesSent.Add(passed.bytes)
	if passed.messages != 0 {
		c.messagesSent.Add(passed.messages)
	}
}

// pingSent and pongReceived follow the pings of whoever sends them on this side.
func (c *Conn) pingSent(payload uint64) {
	now := monotonic()
	c.mu.Lock()
	if c.pings == nil {
		c.pings = new(pings)
	}
	lost := c.pings.sent(payload, now)
	c.mu.Unlock()
	if lost {
		c.route.counters.pingsUnanswered.Add(1)
		c.happened(pingLost, 0)
	}
}

// pingNotSent takes the last ping back.
func (c *Conn) pingNotSent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings.takeBack()
}

func (c *Conn) pongReceived(payload uint64) {
	now := monotonic()
	c.mu.Lock()
	var rtt time.Duration
	var ok bool
	if c.pings != nil {
		rtt, ok = c.pings.answered(payload, now)
		if c.pings.unanswered() == 0 {
			c.pings = nil // an idle connection holds none
		}
	}
	c.mu.Unlock()
	if ok {
		c.rtt.Store(max(1, int64(rtt)))
		c.route.pingRTT.record(c.shard, rtt)
		c.happened(pongCame, rtt)
	}
}

// ConnInfo describes an open connection at one moment. Strings that came from
// the peer are free of control characters, but not escaped for any format.
type ConnInfo struct {
	ID     string
	Route  string
	User   string    // as set by the application
	Peer   string    // the socket's address, host:port; of a proxy where one is in between
	Client string    // the client's address, without a port: see Options.TrustedProxies; empty for a Dialer's
	Opened time.Time // when the handshake arrived

	MessagesReceived, MessagesSent int64
	MessagesQueued                 int           // that wait in the send queue
	BytesReceived, BytesSent       int64         // payload as it passed on the wire
	PingRTT                        time.Duration // the last one; 0 when unknown
}

func (c *Conn) info() ConnInfo {
	user, _ := c.identity()
	return ConnInfo{
		ID: c.id, Route: c.route.name, User: user, Peer: c.peer, Client: c.ClientAddress(), Opened: c.start,
		MessagesReceived: c.messagesReceived.Load(), MessagesSent: c.messagesSent.Load(),
		BytesReceived: c.bytesReceived.Load(), BytesSent: c.bytesSent.Load(),
		MessagesQueued: c.queueLength(), PingRTT: time.Duration(c.rtt.Load()),
	}
}

// newConnID returns 16 hex digits that no other connection has. They are no
// secret.
func newConnID() string {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], rand.Uint64())
	return hex.EncodeToString(id[:])
}
