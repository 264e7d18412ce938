//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

var background = context.Background()

// receiveBuffer sets SO_RCVBUF of a socket that is made.
func receiveBuffer(size int) func(network, address string, conn syscall.RawConn) error {
	return func(_, _ string, conn syscall.RawConn) error {
		var err error
		if other := conn.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, size)
		}); other != nil {
			return other
		}
		return err
	}
}

// atOnce is how many clients dial at the same time, and stall how long the server
// accepts none of them: as when it starts, is throttled, or has no processor.
const (
	atOnce = 1000
	stall  = 300 * time.Millisecond
)

// measureBacklog has clients dial a listener whose backlog is what net.core.somaxconn
// says, as net.Listen has it.
func measureBacklog(out io.Writer) error {
	if err := raiseLoopback(); err != nil {
		return err
	}
	var rows [][]string
	for _, somaxconn := range []string{"128", "1024", "4096"} {
		for _, wait := range []time.Duration{0, stall} {
			if err := sysctl("net.core.somaxconn", somaxconn); err != nil {
				return err
			}
			before, err := overflows()
			if err != nil {
				return err
			}
			took, err := dialAtOnce(wait)
			if err != nil {
				return err
			}
			after, err := overflows()
			if err != nil {
				return err
			}
			late := 0 // by a SYN that was sent again, a second later at the earliest
			for _, d := range took {
				if d > 900*time.Millisecond {
					late++
				}
			}
			pause := "at once"
			if wait > 0 {
				pause = "after " + wait.String()
			}
			rows = append(rows, []string{
				somaxconn, pause, number(late), took[len(took)/2].Round(time.Millisecond).String(),
				took[len(took)-1].Round(time.Millisecond).String(), number(after - before),
			})
		}
	}
	table(out, fmt.Sprintf("%d clients dial at the same time:", atOnce), []string{
		"somaxconn", "the server accepts", "clients that waited for another SYN", "median", "longest", "ListenOverflows",
	}, rows)
	return nil
}

func overflows() (int64, error) {
	text, err := counter("TcpExt", "ListenOverflows")
	if err != nil {
		return 0, err
	}
	var n int64
	_, err = fmt.Sscan(text, &n)
	return n, err
}

// dialAtOnce returns how long each dial took, in order. The server is a process of its
// own, since Go reads somaxconn once.
func dialAtOnce(wait time.Duration) ([]time.Duration, error) {
	server, err := startChild(nil, "refuser", wait.String())
	if err != nil {
		return nil, err
	}
	var hello listening
	if err := server.answer(&hello); err != nil {
		return nil, err
	}
	took, errs := make([]time.Duration, atOnce), make([]error, atOnce)
	conns := make([]net.Conn, atOnce)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range took {
		group.Go(func() {
			<-start
			began := time.Now()
			conns[i], errs[i] = net.DialTimeout("tcp", hello.Addr, time.Minute)
			took[i] = time.Since(began)
		})
	}
	close(start)
	group.Wait()
	for i := range conns {
		if errs[i] != nil {
			return nil, errs[i]
		}
		conns[i].Close()
	}
	slices.Sort(took)
	return took, server.stop()
}

// refuserChild listens, accepts nothing for a while from the first connection on, and
// then everything.
func refuserChild(args []string) error {
	wait, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(listening{Addr: ln.Addr().String()}); err != nil {
		return err
	}
	go func() {
		for first := true; ; first = false {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if first {
				time.Sleep(wait)
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}()
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin) // until the one who has started this is done
	return err
}
