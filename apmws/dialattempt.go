package apmws

import (
	"context"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// dialled is a connection of a Dialer, from the attempt to make it on.
type dialled struct {
	dialer  *Dialer
	conn    *Conn
	ws      *websocket.Conn
	cancel  context.CancelFunc // of all its contexts
	issued  time.Time          // when Token has returned its token
	expires time.Time          // that token; zero: not known
	opened  time.Duration      // monotonic, when the server had accepted

	served    chan struct{}   // closed when it can be written to and closed
	connected chan struct{}   // closed when Connect has returned well
	ctx       context.Context // of Connect; after connected
	late      error           // of Connect, after the end of the connection
	left      atomic.Bool     // leave has been called
	done      chan struct{}   // closed when the connection is over and the hooks have returned
	err       error           // why; after done
}

// callee is whom a Dialer has called, as its Conn knows it.
type callee struct {
	*destination
	departed chan struct{} // closed when the end of the connection has been reported
}

// dialledKey is the key under which the context of a connection's hooks has its
// *dialled.
type dialledKey struct{}

// attempt makes a connection. It returns when Connect has returned for it. The second
// context ends the attempt, but not what it has made.
func (d *Dialer) attempt(ctx, attempts context.Context) (made *dialled, back setback) {
	if d.url == "" {
		return nil, setback{err: errDialURL}
	}
	if !d.agent.mayDial() {
		return nil, setback{err: ErrShutDown}
	}
	x := &dialled{
		dialer: d, err: errGoexit,
		served: make(chan struct{}), connected: make(chan struct{}), done: make(chan struct{}),
	}
	base, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), dialledKey{}, x))
	x.cancel = cancel
	uncancel := context.AfterFunc(attempts, cancel)
	accepted := false
	defer func() { // a hook may panic
		if !accepted {
			uncancel()
			cancel()
		}
	}()
	x.conn = d.agent.dialling(base, d)
	if back, ok := x.handshake(); !ok {
		return nil, back
	}
	if !uncancel() {
		x.ws.Close()
		return nil, x.refused(0, semconv.Other, errCancelled)
	}
	accepted = true
	x.accept()
	go x.serve()
	select {
	case <-x.connected:
	case <-x.done:
	case <-ctx.Done():
		if !x.isConnected() {
			x.leave(websocket.CloseGoingAway)
		}
	}
	if x.isConnected() { // and over by now, perhaps
		return x, setback{}
	}
	return nil, x.setback()
}

// isConnected reports whether Connect has returned well.
func (x *dialled) isConnected() bool {
	select {
	case <-x.connected:
		return true
	default:
		return false
	}
}

// mayDial counts an attempt among the handshakes in progress, for which Shutdown
// waits, unless that has been called.
func (a *Agent) mayDial() bool {
	a.handshakes.Add(1) // before it is looked whether those are over
	if a.stopping.Err() == nil {
		return true
	}
	a.handshakes.Add(-1)
	a.drainage.Load().nudge()
	return false
}

// dialling makes the connection of a handshake that is about to be made, starts
// CONNECT and writes the line of its beginning.
func (a *Agent) dialling(ctx context.Context, d *Dialer) *Conn {
	id := newConnID()
	c := &Conn{agent: a, route: d.route, id: id, start: time.Now(), shard: shardOf(id), request: new(opening), dialled: &callee{d.to, make(chan struct{})}, arriving: true}
	// No vendor is to find what Run was called under: CONNECT would become a part of
	// that, or end it.
	base := a.exporter.Mask(ctx, c.shard)
	s := &scope{Context: base, conn: c, event: semconv.EventConnect}
	c.scope = s
	scratch := getScratch()
	attrs := c.appendArrival(scratch.attrs)
	live, span := a.exporter.StartConn(base, c.shard, &ConnStart{
		Time: c.start, ID: id, Route: d.route.name, Name: "CONNECT " + d.route.name, Attrs: attrs,
	})
	scratch.put(attrs)
	c.span = span
	ls := &liveScope{ctx: live}
	if span != nil {
		s.ids, ls.parent = span, span
	}
	s.live.Store(ls)
	c.logArrival()
	return c
}

// handshake gets the credentials, connects and shakes hands. It reports whether the
// server has accepted.
func (x *dialled) handshake() (back setback, ok bool) {
	finished := false
	defer func() {
		if !finished { // a hook ends the goroutine
			x.conn.refuse(refusal{})
		}
	}()
	header, err := x.credentials(x.conn.scope)
	if err != nil {
		finished = true
		return x.refused(0, reasonUnauthenticated, err), false
	}
	ws, status, answer, err := x.dial(header)
	finished = true
	switch {
	case err == nil:
		x.ws = ws
		return setback{}, true
	case status == 0:
		return x.refused(0, reasonUnreachable, err), false
	case status == http.StatusSwitchingProtocols: // of which gorilla could not make sense
		return x.refused(status, reasonBadHandshake, err), false
	}
	refusedBy := &RefusalError{Status: status, Header: make(http.Header)}
	for _, name := range []string{"Retry-After", "Www-Authenticate"} {
		if values := answer[name]; values != nil {
			refusedBy.Header[name] = values
		}
	}
	back = x.refused(status, "", refusedBy)
	back.status, back.retryAfter = status, retryAfter(answer, time.Now())
	return back, false
}

// credentials calls the hooks before an attempt.
func (x *dialled) credentials(ctx context.Context) (header http.Header, err error) {
	opts := &x.dialer.opts
	header = make(http.Header)
	_, err = protectHook(ctx, func(ctx context.Context) (context.Context, error) {
		if opts.Header != nil {
			own, err := opts.Header(ctx)
			if err != nil {
				return nil, err
			}
			maps.Copy(header, own)
		}
		if opts.Token != nil {
			token, expires, err := opts.Token(ctx)
			if err != nil {
				return nil, err
			}
			x.issued, x.expires = time.Now(), expires
			header.Set("Authorization", "Bearer "+token)
		}
		return nil, nil
	})
	return header, err
}

// refused ends CONNECT without a connection.
func (x *dialled) refused(status int, reason string, err error) setback {
	r := refusal{status: status}
	var why *Failure
	if _, p := endingOf(err); p != nil {
		r.failure = panicFailure(p.Value, p.Stack)
	} else {
		if x.conn.scope.Err() != nil { // whatever that has led to
			r.status, reason, err = 0, semconv.Other, errCancelled
		}
		why = newFailure(err)
		why.withoutAddresses(x.conn.peer)
	}
	x.conn.refusedFor(reason, why)
	x.conn.refuse(r)
	x.conn.raiseAgain(err)
	return setback{err: err}
}

// accept notes that the server has accepted.
func (x *dialled) accept() {
	c := x.conn
	x.opened = monotonic()
	c.setSubprotocol(x.ws.Subprotocol())
	c.hold()
	c.beatBy(x.dialer.endpoint.heartbeat)
	c.accepted()
	x.ws.NetConn().(*dialConn).tap.open()
}

// serve runs the connection until it is over.
func (x *dialled) serve() {
	defer close(x.done)
	defer func() {
		x.cancel()
		<-x.conn.dialled.departed // a write that was under way may see to that
	}()
	x.err = x.dialer.endpoint.run(x.conn.scope, x.conn, x.ws)
	if x.late != nil {
		x.err = x.late
	}
}

// connected is the Connect hook of the endpoint.
func (d *Dialer) connected(ctx context.Context, conn *Conn) (derived context.Context, err error) {
	x := ctx.Value(dialledKey{}).(*dialled)
	close(x.served)
	if d.opts.Connect != nil {
		derived, err = d.opts.Connect(ctx, conn)
	}
	if derived == nil {
		derived = ctx
	}
	switch {
	case err == nil:
		x.ctx = derived
		close(x.connected)
	case x.left.Load(), x.conn.lost():
		x.late = err
		err = Close(websocket.CloseGoingAway, "") // which changes nothing any more
	}
	return derived, err
}

// setback says why the connection has ended. It has to be over.
func (x *dialled) setback() setback {
	back := setback{err: x.err}
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end().how == endedByPeerFrame {
		back.code = c.end().code
	}
	return back
}

// leave closes the connection at once, but for what the server sends until it has
// answered, and waits until it is over.
func (x *dialled) leave(code int) {
	x.left.Store(true)
	defer time.AfterFunc(closeTimeout, x.abandon).Stop()
	select {
	case <-x.served:
		_ = x.conn.Close(code, "") // where that fails, the connection ends by itself, or is abandoned
	case <-x.done:
	}
	<-x.done
}

// retire closes the connection when the message in hand has been handled, and waits
// until it is over.
func (x *dialled) retire() {
	defer time.AfterFunc(closeTimeout, x.abandon).Stop()
	x.conn.retire("", CauseGoingAway)
	<-x.done
}

// abandon closes the connection, if it is open, whatever is in hand, and does not wait.
func (x *dialled) abandon() {
	select {
	case <-x.done:
	default:
		x.cancel()
		x.conn.cut("", CauseGoingAway)
	}
}

// renew lets the application tell the server a new token. It reports whether that is
// done.
func (x *dialled) renew(ctx context.Context) bool {
	opts := &x.dialer.opts
	if opts.Renew == nil || opts.Token == nil {
		return false
	}
	hookCtx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	_, err := protectHook(hookCtx, func(ctx context.Context) (context.Context, error) {
		token, expires, err := opts.Token(ctx)
		issued := time.Now()
		if err == nil {
			err = opts.Renew(ctx, x.conn, token)
		}
		if err == nil {
			x.issued, x.expires = issued, expires
		}
		return nil, err
	})
	if _, p := endingOf(err); p != nil {
		x.conn.failed(CausePanic, panicFailure(p.Value, p.Stack))
		x.conn.raiseAgain(err)
	}
	return err == nil
}
