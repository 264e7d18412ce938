//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// measurePorts dials until the kernel has no ephemeral port left. The range is made a
// hundred ports wide, so that this is quick; the kernel's own has 28,232.
func measurePorts(out io.Writer) error {
	if err := raiseLoopback(); err != nil {
		return err
	}
	if err := sysctl("net.ipv4.ip_local_port_range", "40000 40099"); err != nil {
		return err
	}
	one, err := listenAll("127.0.0.1:0", "127.0.0.1:0", "127.0.0.2:0")
	if err != nil {
		return err
	}
	defer one.close()
	var rows [][]string
	var held []net.Conn
	add := func(name, from, to string) {
		conns, err := dialUntilRefused(from, to)
		held = append(held, conns...)
		rows = append(rows, []string{name, number(len(conns)), err.Error()})
	}
	first := one.addrs[0]
	add("one address and port", "", first)
	add("another port of it, those still open", "", one.addrs[1])
	add("another address, those still open", "", one.addrs[2])
	add("the first again, from another source address", "127.0.0.3", first)
	closed := time.Now()
	for _, c := range held {
		c.Close()
	}
	for _, reuse := range []string{"0", "2", "1"} {
		if err := sysctl("net.ipv4.tcp_tw_reuse", reuse); err != nil {
			return err
		}
		// An address in TIME_WAIT is taken again a second after its last packet.
		time.Sleep(time.Until(closed.Add(1500 * time.Millisecond)))
		add("the first, all closed by the client 1.5 s ago, tcp_tw_reuse="+reuse, "", first)
		for _, c := range held {
			c.Close()
		}
		closed = time.Now()
	}
	table(out, "Connections that a client could open, with a range of 100 ephemeral ports:", []string{
		"to", "connections", "then",
	}, rows)
	return nil
}

type listeners struct {
	all   []net.Listener
	addrs []string
}

func listenAll(addrs ...string) (*listeners, error) {
	l := &listeners{}
	for _, addr := range addrs {
		// Outside of the range that is measured.
		ln, err := net.Listen("tcp", addr[:len(addr)-1]+map[int]string{0: "8081", 1: "8082", 2: "8081"}[len(l.all)])
		if err != nil {
			l.close()
			return nil, err
		}
		l.all, l.addrs = append(l.all, ln), append(l.addrs, ln.Addr().String())
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}()
			}
		}()
	}
	return l, nil
}

func (l *listeners) close() {
	for _, ln := range l.all {
		ln.Close()
	}
}

// dialUntilRefused dials from an address, "" for any, until that fails.
func dialUntilRefused(from, to string) ([]net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		dialer.Control = func(_, _ string, conn syscall.RawConn) error {
			var err error
			// Chosen by connect, which knows where to, and not by bind.
			const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT of ip(7)
			if other := conn.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1)
			}); other != nil {
				return other
			}
			return err
		}
	}
	var conns []net.Conn
	for len(conns) < 200 {
		conn, err := dialer.Dial("tcp", to)
		if err != nil {
			var errno syscall.Errno
			if errors.As(err, &errno) {
				return conns, errno
			}
			return conns, err
		}
		conns = append(conns, conn)
	}
	return conns, errors.New("no end")
}
