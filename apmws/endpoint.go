package apmws

import (
	"context"
	"errors"
	"io"
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
// those last: Authenticate and Connect run inside CONNECT.
//
// A panic of a hook is recorded and ends the connection: before the upgrade with
// a 500, afterwards with the close code 1011. With MessageOptions.Repanic it is
// raised again. After the upgrade there is no net/http around that would catch
// it, so it ends the process then.
type EndpointOptions struct {
	// Upgrader is gorilla's. Where CheckOrigin is nil, gorilla refuses pages of
	// other sites. A zero ReadBufferSize is 512 bytes, a nil WriteBufferPool one
	// of the endpoint's own, and a zero HandshakeTimeout 10 seconds, so that idle
	// connections are small and no peer holds a handshake up. Error also answers handshakes that Authenticate refuses.
	Upgrader websocket.Upgrader

	// Authenticate runs before the upgrade, as the span "authenticate", and is
	// the place to call Conn.SetUser. The context that it returns, ctx or one
	// derived from it, is what the later hooks get; put into it what they need
	// of the request, which is not kept.
	//
	// An error refuses the handshake: with the status and the reason of one that
	// was made by Refuse, else with 401. Its text is logged and not answered.
	Authenticate func(ctx context.Context, r *http.Request) (context.Context, error)

	// Connect runs when the 101 has been written, and ends CONNECT when it
	// returns. It may write to the connection and start goroutines that do. The
	// context that it returns, ctx or one derived from it, is what Message and
	// Close get.
	//
	// An error closes the connection: with the code and the reason of one that
	// was made by Close, else with 1011. Close is not called then.
	Connect func(ctx context.Context, conn *Conn) (context.Context, error)

	// Message handles a message, as in Serve. It is required.
	Message func(ctx context.Context, m Message) error

	// Close runs when the last message has been handled, unless Connect has
	// failed. conn cannot be written to any more. err is what Serve would
	// return: gorilla's error of the read that failed, a *CloseError or a
	// *PanicError. ctx is not cancelled.
	Close func(ctx context.Context, conn *Conn, err error)

	// ReadLimit is the size in bytes of the largest message that a peer may
	// send; a larger one closes the connection with 1009. 0 means 1 MiB, a
	// negative value no limit.
	ReadLimit int64
}

const (
	defaultReadLimit        = 1 << 20 // bytes
	endpointReadBuffer      = 512     // bytes; larger reads do not go through it
	defaultHandshakeTimeout = 10 * time.Second
)

// Endpoint returns a handler that runs the whole life of the connections of a
// route: Authenticate, the upgrade, Connect, Message for each message, Close. It
// watches them as Handler does, whose remarks about route hold. A request that
// is no WebSocket handshake is answered with 426.
//
// The HTTP handler returns after the upgrade, and the connection runs on one
// goroutine of its own, without the buffers that net/http has for a request: an
// idle one costs about half of what one in a usual handler does. So a middleware
// outside sees the handshake alone. As after any upgrade, http.Server.Shutdown
// does not wait for connections.
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
	if opts.ReadLimit == 0 {
		opts.ReadLimit = defaultReadLimit
	}
	e := &endpoint{opts: opts, upgrader: opts.Upgrader}
	e.upgrader.Error = e.upgradeRefused
	if e.upgrader.ReadBufferSize == 0 {
		e.upgrader.ReadBufferSize = endpointReadBuffer
	}
	if e.upgrader.WriteBufferPool == nil {
		e.upgrader.WriteBufferPool = new(sync.Pool)
	}
	if e.upgrader.HandshakeTimeout == 0 {
		e.upgrader.HandshakeTimeout = defaultHandshakeTimeout
	}
	return a.Handler(route, e)
}

// endpoint is level 3: it runs inside of a handler, which watches it.
type endpoint struct {
	opts     EndpointOptions
	upgrader websocket.Upgrader
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := FromContext(r.Context())
	if c == nil || !isHandshake(r) {
		w.Header().Set("Upgrade", "websocket") // RFC 9110, section 15.5.22
		w.Header().Set("Connection", "Upgrade")
		http.Error(w, http.StatusText(http.StatusUpgradeRequired), http.StatusUpgradeRequired)
		return
	}
	ctx, err := e.authenticate(r)
	if err != nil {
		e.refuse(w, r, c, err)
		return
	}
	_, span := StartSpan(r.Context(), "upgrade", SpanOptions{Type: "websocket.upgrade"})
	c.holdConnect()
	ws, err := e.upgrader.Upgrade(w, r, nil)
	span.End(err)
	if err != nil {
		c.releaseConnect(OutcomeFailure) // in case the 101 was written
		return
	}
	go e.run(ctx, c, ws)
}

// authenticate calls the hook, and returns the context of the later ones.
func (e *endpoint) authenticate(r *http.Request) (ctx context.Context, err error) {
	base := r.Context()
	if e.opts.Authenticate == nil {
		return base, nil
	}
	within, span := StartSpan(base, "authenticate", SpanOptions{})
	err = errGoexit
	defer func() { span.End(err) }()
	ctx, err = protectHook(within, func(ctx context.Context) (context.Context, error) {
		return e.opts.Authenticate(ctx, r)
	})
	if ctx == within {
		ctx = base // what the connection keeps for good had better be small
	}
	return ctx, err
}

// refuse answers a handshake that was not authenticated.
func (e *endpoint) refuse(w http.ResponseWriter, r *http.Request, c *Conn, err error) {
	if _, panicked := endingOf(err); panicked != nil {
		if c.route.messages.Repanic || panicked.Value == http.ErrAbortHandler {
			panic(panicked.Value)
		}
		c.failed(CausePanic, panicFailure(panicked.Value, panicked.Stack))
		e.answer(w, r, http.StatusInternalServerError, err)
		return
	}
	status, reason := http.StatusUnauthorized, ""
	if refusal := refusalOf(err); refusal != nil {
		status, reason = refusal.Status, refusal.Reason
	}
	c.refusedFor(reason, newFailure(err))
	e.answer(w, r, status, err)
}

// upgradeRefused answers a handshake that gorilla refuses.
func (e *endpoint) upgradeRefused(w http.ResponseWriter, r *http.Request, status int, reason error) {
	w.Header().Set("Sec-WebSocket-Version", "13") // RFC 6455, section 4.4
	e.answer(w, r, status, reason)
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, status int, reason error) {
	if custom := e.opts.Upgrader.Error; custom != nil {
		custom(w, r, status, reason)
		return
	}
	http.Error(w, http.StatusText(status), status)
}

// run serves a connection after the upgrade. ctx is that of the request.
func (e *endpoint) run(ctx context.Context, c *Conn, ws *websocket.Conn) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &loop{ctx: ctx, observed: c, conn: ws, handle: e.opts.Message}
	stopServing := c.serve(ws)
	connected, err := false, errGoexit
	defer func() {
		stopServing()
		cancel()
		ended := err
		if connected {
			err = e.closed(l.ctx, c, err)
		}
		c.releaseConnect(OutcomeFailure) // unless connect has
		linger(ws, ended)
		ws.Close()
		c.reportPostponed()
		c.raiseAgain(err)
	}()
	ws.SetReadLimit(max(0, e.opts.ReadLimit))
	if err = e.connect(l); err != nil {
		return
	}
	connected, err = true, errGoexit
	err = l.run()
}

// connect calls the Connect hook and ends CONNECT. It returns why the connection
// has been given up, if it has.
func (e *endpoint) connect(l *loop) (err error) {
	if e.opts.Connect != nil {
		l.ctx, err = protectHook(l.ctx, func(ctx context.Context) (context.Context, error) {
			return e.opts.Connect(ctx, l.observed)
		})
	}
	outcome := OutcomeSuccess
	if _, failure := judge(err); failure != nil {
		outcome = OutcomeFailure
	}
	l.observed.releaseConnect(outcome)
	if err == nil {
		return nil
	}
	closeErr, panicErr := endingOf(err)
	if closeErr == nil {
		closeErr = &CloseError{Code: websocket.CloseInternalServerErr}
	}
	l.giveUp(err, closeErr, panicErr)
	return err
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
	if _, panicErr := endingOf(failure); panicErr != nil {
		c.failed(CausePanic, panicFailure(panicErr.Value, panicErr.Stack))
		return failure
	}
	return err
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

// maxLinger bounds what is read of a peer that does not stop sending.
const maxLinger = 4 << 20 // bytes

// linger gives the peer time to read the close frame that this side has sent,
// and to answer it: a socket that is closed while bytes of the peer wait in it
// resets the connection, and then the frame is lost on its way.
func linger(ws *websocket.Conn, ended error) {
	if isNetTimeout(ended) || ws.SetReadDeadline(time.Now().Add(closeTimeout)) != nil {
		return
	}
	var err error
	for err == nil {
		_, _, err = ws.NextReader()
	}
	if peer := (*websocket.CloseError)(nil); errors.As(err, &peer) {
		return
	}
	// gorilla reads no further after a fault of the peer, such as a message that
	// is too big. A lost connection fails here at once.
	raw := ws.NetConn()
	if half, ok := raw.(halfCloser); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, raw, maxLinger)
}
