package apmws

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// observedConn returns the tap as a net.Conn with the methods that programs look
// for on a *net.TCPConn or a *tls.Conn.
func (t *tap) observedConn() net.Conn {
	switch c := t.Conn.(type) {
	case *net.TCPConn:
		return &tcpTap{tap: t, tcp: c}
	case *tls.Conn:
		return &tlsTap{tap: t, tls: c}
	default:
		return t
	}
}

// NetConn returns the connection underneath. What is read from or written to it
// is not counted.
func (t *tap) NetConn() net.Conn { return t.Conn }

// tcpTap keeps the methods of a *net.TCPConn that do not carry data.
type tcpTap struct {
	*tap
	tcp *net.TCPConn
}

func (t *tcpTap) CloseRead() error                         { return t.tcp.CloseRead() }
func (t *tcpTap) CloseWrite() error                        { t.flushHead(); return t.tcp.CloseWrite() }
func (t *tcpTap) SyscallConn() (syscall.RawConn, error)    { return t.tcp.SyscallConn() }
func (t *tcpTap) SetNoDelay(noDelay bool) error            { return t.tcp.SetNoDelay(noDelay) }
func (t *tcpTap) SetLinger(sec int) error                  { return t.tcp.SetLinger(sec) }
func (t *tcpTap) SetKeepAlive(keepalive bool) error        { return t.tcp.SetKeepAlive(keepalive) }
func (t *tcpTap) SetKeepAlivePeriod(d time.Duration) error { return t.tcp.SetKeepAlivePeriod(d) }
func (t *tcpTap) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return t.tcp.SetKeepAliveConfig(config)
}
func (t *tcpTap) SetReadBuffer(n int) error  { return t.tcp.SetReadBuffer(n) }
func (t *tcpTap) SetWriteBuffer(n int) error { return t.tcp.SetWriteBuffer(n) }

// tlsTap keeps the methods of a *tls.Conn that do not carry data.
type tlsTap struct {
	*tap
	tls *tls.Conn
}

func (t *tlsTap) CloseWrite() error                    { t.flushHead(); return t.tls.CloseWrite() }
func (t *tlsTap) ConnectionState() tls.ConnectionState { return t.tls.ConnectionState() }
