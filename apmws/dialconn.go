package apmws

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/gorilla/websocket"
)

// dialType is the type of the span of a Dialer's handshake.
const dialType = "websocket.dial"

// dial connects and makes the handshake, as a span. The status and the header are
// those of the answer, 0 and nil without one.
func (x *dialled) dial(header http.Header) (ws *websocket.Conn, status int, answer http.Header, err error) {
	d := x.dialer
	ctx, span := StartSpan(x.conn.scope, "dial", SpanOptions{Type: dialType, Destination: d.to.name})
	err = errGoexit
	defer func() { // gorilla may panic, too: at the answer of a proxy that gives no reason
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		span.End(err)
	}()
	if span != nil {
		header = traceHeader(header, span.span.spanContext())
	}
	p := &dialPath{ctx: ctx, conn: x.conn, dialer: &d.opts.Dialer, secure: d.scheme == "wss", host: d.host}
	gorilla := d.opts.Dialer
	gorilla.NetDial = nil
	gorilla.NetDialContext = p.connect
	gorilla.NetDialTLSContext = p.connectTLS
	if gorilla.Proxy != nil {
		gorilla.Proxy = p.proxy
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: p.reached})
	ws, res, err := gorilla.DialContext(ctx, d.url, header)
	switch {
	case res != nil:
		status, answer = res.StatusCode, res.Header
	case err != nil && d.uri != "/" && strings.Contains(err.Error(), d.uri):
		err = errEcho
	}
	if p.uncancel != nil && !p.uncancel() && err == nil {
		ws.Close()
		err = context.Cause(ctx)
	}
	return ws, status, answer, err
}

// errEcho stands for an error whose text holds the URL's path and query: net/http
// quotes answers that are no HTTP, and there are servers that repeat what they get.
var errEcho = errors.New("apmws: the server's answer is not HTTP")

// dialPath is the way to a server. gorilla leads it through a proxy, if there is one,
// between connect and reached; TLS comes after that, and the tap on top.
type dialPath struct {
	ctx      context.Context
	conn     *Conn
	dialer   *websocket.Dialer // the application's
	secure   bool
	host     string      // the name that the server's certificate must have, by default
	shaken   bool        // TLS is the application's, and done
	uncancel func() bool // stops the closing of the connection when ctx is done
}

// connect is gorilla's NetDialContext.
func (p *dialPath) connect(ctx context.Context, network, address string) (conn net.Conn, err error) {
	switch {
	case p.dialer.NetDialContext != nil:
		conn, err = p.dialer.NetDialContext(ctx, network, address)
	case p.dialer.NetDial != nil:
		conn, err = p.dialer.NetDial(network, address)
	default:
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
	}
	return p.connected(conn, err)
}

// connectTLS is gorilla's NetDialTLSContext.
func (p *dialPath) connectTLS(ctx context.Context, network, address string) (net.Conn, error) {
	if p.dialer.NetDialTLSContext == nil {
		return p.connect(ctx, network, address)
	}
	p.shaken = true
	return p.connected(p.dialer.NetDialTLSContext(ctx, network, address))
}

func (p *dialPath) connected(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	if addr := conn.RemoteAddr(); addr != nil {
		p.conn.peer = sanitize(addr.String(), maxPeer)
	}
	// gorilla only looks at the deadline once it is connected.
	p.uncancel = context.AfterFunc(p.ctx, func() { conn.Close() })
	return &dialConn{Conn: conn}, nil
}

// proxy is gorilla's Proxy. Errors of such functions tend to hold the proxy's URL,
// and its password with that.
func (p *dialPath) proxy(r *http.Request) (*url.URL, error) {
	u, err := p.dialer.Proxy(r)
	if err != nil {
		return nil, fmt.Errorf("apmws: the function that chooses a proxy failed with a %T", err)
	}
	return u, nil
}

// reached is called when what is written from now on reaches the server itself. Of
// an error the next write tells.
func (p *dialPath) reached(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*dialConn)
	if !ok {
		return
	}
	if p.secure && !p.shaken {
		config := p.dialer.TLSClientConfig.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = p.host
		}
		secured := tls.Client(c.Conn, config)
		if c.err = secured.HandshakeContext(p.ctx); c.err != nil {
			return
		}
		c.Conn = secured
	}
	c.tap = &tap{Conn: c.Conn, conn: p.conn, in: frameParser{fromCalled: true}, answer: new(responseHead)}
	p.conn.tappedBy(c.tap)
	c.Conn = c.tap.observedConn()
}

// dialConn is what gorilla has: the connection to a proxy, or to the server, and in
// the end what is observed of it.
type dialConn struct {
	net.Conn
	tap *tap  // nil: not reached yet
	err error // of reaching it
}

// Write implements net.Conn.
func (c *dialConn) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Write(b)
}

// NetConn returns the connection underneath.
func (c *dialConn) NetConn() net.Conn { return c.Conn }

// CloseWrite is for the end of a connection whose peer goes on sending.
func (c *dialConn) CloseWrite() error {
	if half, ok := c.Conn.(halfCloser); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// readAnswer follows the head of the server's answer. What comes behind it waits to
// be counted until gorilla has agreed with it. readMu is held.
func (t *tap) readAnswer(b []byte) {
	_, rest, done := t.answer.pass(b)
	if !done {
		return
	}
	t.answer = nil
	if len(rest) > 0 {
		early := bytes.Clone(rest)
		t.early.Store(&early)
	}
}
