package apmws

import (
	"cmp"
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// EndpointOptions describe the life of the connections of a route. Only Message
// is required.
//
// The hooks of one connection are called one after the other; those of different
// connections at the same time. Their contexts carry the connection
// (FromContext), a logger (zerolog.Ctx), and the vendors' transactions while
// those last: Authenticate, BeforeUpgrade and Connect run inside CONNECT.
//
// A panic of a hook, or of a handler that one has set on gorilla's connection, is
// recorded and ends the connection: before the upgrade with a 500, afterwards
// with the close code 1011. With MessageOptions.Repanic it is raised again; after
// the upgrade no net/http is around that would catch it, so it ends the process.
type EndpointOptions struct {
	// Upgrader is gorilla's. Where CheckOrigin is nil, gorilla refuses pages of
	// other sites. A zero ReadBufferSize is 512 bytes, a nil WriteBufferPool one
	// of the endpoint's own, and a zero HandshakeTimeout 10 seconds, so that idle
	// connections are small and no peer holds a handshake up. Error answers
	// whatever is refused: by gorilla, by Authenticate, or for being no handshake.
	//
	// gorilla's checks come before all hooks: of the request's form and of its Origin,
	// so that a page of another site causes no work, such as a look into a session.
	Upgrader websocket.Upgrader

	// Authenticate runs before the upgrade, as the span "authenticate", and is
	// the place to call Conn.SetUser. The context that it returns, ctx or one
	// derived from it, is what the later hooks get; put into it what they need
	// of the request, which is not kept.
	//
	// An error refuses the handshake: with the status and the reason of one that
	// was made by Refuse, else with 401. Its text is logged, so it must not hold
	// a token, and not answered.
	Authenticate func(ctx context.Context, r *http.Request) (context.Context, error)

	// BeforeUpgrade runs after Authenticate and before the upgrade, inside CONNECT.
	// It is the place to commit a session: what is saved here is in the session's
	// store before the client reads the 101, and a cookie that is set on w reaches
	// the client in that. The context of r is the one that Authenticate has
	// returned.
	//
	// An error refuses the handshake: with the status and the reason of one that
	// was made by Refuse, else with 500. Its text is logged and not answered. So does
	// an answer that is written to w, which can do nothing else; the error must be nil
	// then.
	BeforeUpgrade func(w http.ResponseWriter, r *http.Request) error

	// Connect runs when the 101 has been written, and ends CONNECT when it
	// returns. It may write to the connection and start goroutines that do. The
	// context that it returns, ctx or one derived from it, is what Message and
	// Close get.
	//
	// An error closes the connection: with the code and the reason of one that
	// was made by Close, else with 1011. One of a hook whose peer has left meanwhile
	// changes nothing: that is why the connection has ended. Close is not called then.
	Connect func(ctx context.Context, conn *Conn) (context.Context, error)

	// Message handles a message, as in Serve. It is required.
	Message func(ctx context.Context, m Message) error

	// Close runs when the last message has been handled, unless Connect has
	// failed. conn cannot be written to any more. err is what Serve would
	// return: gorilla's error of the read that failed, a *CloseError or a
	// *PanicError. ctx is not cancelled.
	Close func(ctx context.Context, conn *Conn, err error)

	// ReadLimit is the size in bytes of the largest message that a peer may
	// send, compressed and not; a larger one closes the connection with 1009.
	// 0 means 1 MiB, a negative value no limit.
	ReadLimit int64

	// WriteTimeout bounds each Conn.Write, the wait for its turn included, unless
	// the deadline of its context is earlier: a peer that has stopped reading does
	// not hold a handler for good. It bounds each write of the SendQueue, too. 0 means
	// 10 seconds, a negative value no bound. A write may last a sixteenth longer.
	WriteTimeout time.Duration

	// Heartbeat pings the peers, and closes the connections of those that have
	// vanished; the zero value does, every 30 seconds. err of Close is ErrPeerLost
	// then. Conn.Heartbeat in a hook changes it for one connection.
	Heartbeat Heartbeat

	// SendQueue gives each connection a queue for Conn.Send and Agent.Broadcast, so
	// that a slow peer holds up nobody. An idle one costs about 180 bytes. The zero
	// value is none.
	SendQueue SendQueue

	// MaxAge closes a connection when it is old: gently, as Conn.CloseAt does, with
	// the code 1001, the reason "max age" and the cause max_age, at which clients
	// connect anew. Each connection's own limit is chosen at random between 0.8 and
	// 1.0 of it, counted from the handshake's arrival, so that a fleet that has come
	// at once does not come back at once. 0 or less means none.
	MaxAge time.Duration
}

const (
	defaultReadLimit        = 1 << 20 // bytes
	endpointReadBuffer      = 512     // bytes; larger reads do not go through it
	defaultHandshakeTimeout = 10 * time.Second
	defaultWriteTimeout     = 10 * time.Second
)

// Endpoint returns a handler that runs the whole life of the connections of a
// route: Authenticate, BeforeUpgrade, the upgrade, Connect, Message for each
// message, Close. It watches them as Handler does, whose remarks about route hold.
// A request that is no WebSocket handshake is answered with 426.
//
// The HTTP handler returns after the upgrade, and the connection runs on one
// goroutine of its own, without the buffers that net/http has for a request: an
// idle one costs about half of what one in a usual handler does. So a middleware
// outside sees the handshake alone: one that saves the session when its handler
// returns, as that of github.com/alexedwards/scs does, saves it now, and not when
// the connection ends, which in a usual handler signs a user in again who has
// signed out meanwhile. As after any upgrade, http.Server.Shutdown does not wait
// for connections.
//
// The contexts of Connect, Message and Close keep the values of the request's
// context, but neither its cancellation nor its deadline, and not the
// transactions that a vendor's middleware has put there. They are cancelled when
// the connection ends; a message in hand does not notice its peer leaving, since
// nothing reads meanwhile.
//
// Endpoint panics when opts.Message is nil.
func (a *Agent) Endpoint(route string, opts EndpointOptions) http.Handler {
	if opts.Message == nil {
		panic("apmws: EndpointOptions.Message is nil")
	}
	opts.ReadLimit = max(0, cmp.Or(opts.ReadLimit, defaultReadLimit))
	opts.WriteTimeout = max(0, cmp.Or(opts.WriteTimeout, defaultWriteTimeout))
	opts.SendQueue = opts.SendQueue.withDefaults()
	e := &endpoint{opts: opts, checks: opts.Upgrader, upgrader: opts.Upgrader, heartbeat: opts.Heartbeat.settings()}
	e.checks.Error = noteRefusal
	e.upgrader.Error = e.upgradeRefused
	e.upgrader.CheckOrigin = func(*http.Request) bool { return true } // by checks
	e.upgrader.ReadBufferSize = cmp.Or(e.upgrader.ReadBufferSize, endpointReadBuffer)
	e.upgrader.HandshakeTimeout = cmp.Or(e.upgrader.HandshakeTimeout, defaultHandshakeTimeout)
	if e.upgrader.WriteBufferPool == nil {
		e.upgrader.WriteBufferPool = new(sync.Pool)
	}
	return a.Handler(route, e)
}

// endpoint is level 3: it runs inside of a handler, which watches it.
type endpoint struct {
	opts      EndpointOptions
	checks    websocket.Upgrader // makes the checks alone
	upgrader  websocket.Upgrader
	heartbeat *Heartbeat // nil: none
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := FromContext(r.Context())
	if c == nil || !IsHandshake(r) {
		e.upgradeRequired(w, r)
		return
	}
	if !e.check(w, r) {
		return
	}
	c.beatBy(e.heartbeat)
	ctx, err := e.authenticate(c, r)
	if err != nil {
		e.refuse(w, r, c, err, http.StatusUnauthorized)
		return
	}
	answered, err := e.beforeUpgrade(ctx, c, w, r)
	if err != nil {
		e.refuse(w, r, c, err, http.StatusInternalServerError)
		return
	}
	if answered {
		return
	}
	c.hold()
	runs := false
	defer func() { // whatever is around may panic, too
		if !runs {
			c.releaseConnect(OutcomeFailure) // in case the 101 was written
			c.release()
		}
	}()
	ws, err := e.upgrade(w, r)
	if err != nil {
		return
	}
	runs = true
	go func() { _ = e.run(context.WithoutCancel(ctx), c, ws) }() // it is recorded and told to Close
}

// authenticate calls the hook, and returns the context of the later ones.
func (e *endpoint) authenticate(c *Conn, r *http.Request) (ctx context.Context, err error) {
	base := r.Context()
	if e.opts.Authenticate == nil {
		return base, nil
	}
	within, span := StartSpan(base, "authenticate", SpanOptions{})
	err = errGoexit
	defer func() { span.End(err) }()
	hook := func(ctx context.Context) (context.Context, error) {
		return e.opts.Authenticate(ctx, r.WithContext(ctx)) // so that r.Context() is below the span, too
	}
	if c.route.messages.Repanic {
		ctx, err = hook(within) // net/http prints the stack of a panic that nobody has stopped
	} else {
		ctx, err = protectHook(within, hook)
	}
	if ctx == nil || ctx == within {
		ctx = base // what the connection keeps for good had better be small
	}
	return ctx, err
}

// beforeUpgrade calls the hook.
func (e *endpoint) beforeUpgrade(ctx context.Context, c *Conn, w http.ResponseWriter, r *http.Request) (answered bool, err error) {
	if e.opts.BeforeUpgrade == nil {
		return false, nil
	}
	noting := &answerWriter{under: w}
	hook := func(ctx context.Context) (context.Context, error) {
		return ctx, e.opts.BeforeUpgrade(noting, r.WithContext(ctx))
	}
	if c.route.messages.Repanic {
		_, err = hook(ctx)
	} else {
		_, err = protectHook(ctx, hook)
	}
	return noting.answered, err
}

// answerWriter notes whether a hook has answered. It has no other methods, and no
// Unwrap, so that no answer passes unseen: a 101 must not follow one.
type answerWriter struct {
	under    http.ResponseWriter
	answered bool
}

// Header implements http.ResponseWriter.
func (w *answerWriter) Header() http.Header { return w.under.Header() }

// WriteHeader implements http.ResponseWriter. Early hints are no answer.
func (w *answerWriter) WriteHeader(status int) {
	w.answered = w.answered || status >= http.StatusOK || status == http.StatusSwitchingProtocols
	w.under.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) {
	w.answered = true
	return w.under.Write(b)
}

// upgrade answers the handshake.
func (e *endpoint) upgrade(w http.ResponseWriter, r *http.Request) (ws *websocket.Conn, err error) {
	_, span := StartSpan(r.Context(), "upgrade", SpanOptions{Type: "websocket.upgrade"})
	err = errGoexit // the Upgrader has functions of the application's, too
	defer func() { span.End(err) }()
	return e.upgrader.Upgrade(w, r, nil)
}

// run serves a connection after the upgrade, and returns why it has ended.
func (e *endpoint) run(ctx context.Context, c *Conn, ws *websocket.Conn) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{ctx: ctx, observed: c, conn: ws, handle: e.opts.Message, limit: e.opts.ReadLimit}
	serving := &servedConn{conn: ws, timeout: e.opts.WriteTimeout}
	serving.queue = newSendQueue(serving, &e.opts.SendQueue)
	stopServing := c.serve(serving)
	connected, exited := false, true
	// Each of these runs even if the one before does not return.
	defer func() { c.raiseAgain(err) }()
	defer func() {
		c.releaseConnect(OutcomeFailure) // unless connect has
		c.linger(ws)
		ws.Close()
		c.release()
	}()
	defer func() {
		if p := recover(); p != nil { // of a handler that the application has set on ws
			panicErr := &PanicError{Value: p, Stack: debug.Stack()}
			err = panicErr
			l.giveUp(err, nil, panicErr)
		} else if exited {
			err = errGoexit
			l.giveUp(err, &CloseError{Code: websocket.CloseInternalServerErr}, nil)
		}
		stopServing()
		cancel()
		if connected {
			err = e.closed(l.ctx, c, err)
		}
	}()
	ws.SetReadLimit(e.opts.ReadLimit)
	c.limitAge(e.opts.MaxAge)
	if err = e.connect(l); err == nil {
		connected = true
		err = l.run()
	}
	exited = false
	return err
}

// connect calls the Connect hook and ends CONNECT. It returns why it has failed.
func (e *endpoint) connect(l *loop) (err error) {
	if e.opts.Connect != nil {
		l.ctx, err = protectHook(l.ctx, func(ctx context.Context) (context.Context, error) {
			return e.opts.Connect(ctx, l.observed)
		})
	}
	if err == nil {
		l.observed.releaseConnect(OutcomeSuccess)
		return nil
	}
	closeErr, panicErr := endingOf(err)
	outcome := OutcomeSuccess
	if panicErr == nil && l.observed.lost() {
		closeErr = &CloseError{Code: websocket.CloseGoingAway} // which nobody reads
	} else if _, failure := judge(err); failure != nil {
		outcome = OutcomeFailure
	}
	if closeErr == nil {
		closeErr = &CloseError{Code: websocket.CloseInternalServerErr}
	}
	// Before CONNECT ends, of which it is a part.
	l.giveUp(err, closeErr, panicErr)
	l.observed.releaseConnect(outcome)
	return err
}

// lost reports whether the connection has ended by something that its hooks have not
// done.
func (c *Conn) lost() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := c.end(); e.how {
	case endedByPeerFrame, endedByRead, endedByWrite, endedByWriteTimeout, endedByHeartbeat, endedByPlan:
		return true
	case endedByOwnFrame:
		return e.planned != ""
	default:
		return false
	}
}

// closed calls the Close hook. It returns err, or the hook's panic.
func (e *endpoint) closed(ctx context.Context, c *Conn, err error) error {
	if e.opts.Close == nil {
		return err
	}
	_, failure := protectHook(context.WithoutCancel(ctx), func(ctx context.Context) (context.Context, error) {
		e.opts.Close(ctx, c, err)
		return ctx, nil
	})
	_, panicErr := endingOf(failure)
	if panicErr == nil {
		return err
	}
	c.mu.Lock()
	late := c.state == closed || c.end().cause != "" // there is a cause already
	c.mu.Unlock()
	if why := panicFailure(panicErr.Value, panicErr.Stack); late {
		c.logLatePanic(why)
	} else {
		c.failed(CausePanic, why)
	}
	return failure
}

// protectHook calls a hook. A panic becomes a *PanicError, and a nil context the
// one that the hook was given.
func protectHook(ctx context.Context, hook func(context.Context) (context.Context, error)) (derived context.Context, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if derived == nil {
			derived = ctx
		}
	}()
	return hook(ctx)
}
