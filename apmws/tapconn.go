package apmws

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// Programs look for methods beyond those of net.Conn on what they hijack. These
// are kept, but for those that carry data, which would pass unseen.
type (
	halfCloser interface {
		net.Conn
		CloseWrite() error
	}
	// tlsConn is a *tls.Conn.
	tlsConn interface {
		halfCloser
		ConnectionState() tls.ConnectionState
		NetConn() net.Conn
	}
	// streamConn is a *net.UnixConn or a *net.TCPConn.
	streamConn interface {
		halfCloser
		CloseRead() error
		SyscallConn() (syscall.RawConn, error)
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	}
	// tcpConn is a *net.TCPConn.
	tcpConn interface {
		streamConn
		SetNoDelay(noDelay bool) error
		SetLinger(sec int) error
		SetKeepAlive(keepalive bool) error
		SetKeepAlivePeriod(d time.Duration) error
		SetKeepAliveConfig(config net.KeepAliveConfig) error
	}
)

// observedConn returns the tap as a net.Conn with the methods of the connection
// underneath. The types are a pointer each, so that none is allocated.
func (t *tap) observedConn() net.Conn {
	switch t.Conn.(type) {
	case tcpConn:
		return tcpTap{streamTap{halfTap{t}}}
	case streamConn:
		return streamTap{halfTap{t}}
	case tlsConn:
		return tlsTap{halfTap{t}}
	case halfCloser:
		return halfTap{t}
	default:
		return t
	}
}

// NetConn returns the connection underneath. What is read from or written to it
// is not counted.
func (t *tap) NetConn() net.Conn {
	t.handOut()
	return t.Conn
}

// observed tells Serve whose connection it is.
func (t *tap) observed() *Conn { return t.conn }

type halfTap struct{ *tap }

func (t halfTap) CloseWrite() error {
	t.flushHead()
	return t.Conn.(halfCloser).CloseWrite()
}

type tlsTap struct{ halfTap }

func (t tlsTap) under() tlsConn { return t.Conn.(tlsConn) }

// NetConn is that of tls.Conn.
func (t tlsTap) NetConn() net.Conn {
	t.handOut()
	return t.under().NetConn()
}

func (t tlsTap) ConnectionState() tls.ConnectionState { return t.under().ConnectionState() }

type streamTap struct{ halfTap }

func (t streamTap) stream() streamConn { return t.Conn.(streamConn) }

func (t streamTap) CloseRead() error                      { return t.stream().CloseRead() }
func (t streamTap) SyscallConn() (syscall.RawConn, error) { return t.stream().SyscallConn() }
func (t streamTap) SetReadBuffer(bytes int) error         { return t.stream().SetReadBuffer(bytes) }
func (t streamTap) SetWriteBuffer(bytes int) error        { return t.stream().SetWriteBuffer(bytes) }

type tcpTap struct{ streamTap }

func (t tcpTap) tcp() tcpConn { return t.Conn.(tcpConn) }

func (t tcpTap) SetNoDelay(noDelay bool) error            { return t.tcp().SetNoDelay(noDelay) }
func (t tcpTap) SetLinger(sec int) error                  { return t.tcp().SetLinger(sec) }
func (t tcpTap) SetKeepAlive(keepalive bool) error        { return t.tcp().SetKeepAlive(keepalive) }
func (t tcpTap) SetKeepAlivePeriod(d time.Duration) error { return t.tcp().SetKeepAlivePeriod(d) }

func (t tcpTap) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return t.tcp().SetKeepAliveConfig(config)
}
