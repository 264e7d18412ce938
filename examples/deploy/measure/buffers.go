//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// measureBuffers writes to a peer that never reads, until a write blocks: so much do
// the kernel's buffers hold for it, on both sides of loopback.
func measureBuffers(out io.Writer, _ int) error {
	var rows [][]string
	for _, k := range []struct {
		name       string
		send, read int // bytes; 0: the kernel's own, which grow
	}{
		{"the kernel's own, tcp_wmem and tcp_rmem", 0, 0},
		{"SetWriteBuffer(64 KiB) on the server", 64 << 10, 0},
		{"SetWriteBuffer(16 KiB) on the server", 16 << 10, 0},
		{"16 KiB on both sides", 16 << 10, 16 << 10},
	} {
		size, err := fill(k.send, k.read)
		if err != nil {
			return err
		}
		rows = append(rows, []string{k.name, number(float64(size) / 1024)})
	}
	table(out, "KiB that a write to a peer that does not read put into the kernel before it blocked:", []string{
		"buffers", "KiB",
	}, rows)
	return nil
}

// fill returns how many bytes were taken in before none were for a second.
func fill(send, read int) (int, error) {
	listener := net.ListenConfig{}
	if read > 0 {
		listener.Control = receiveBuffer(read) // before the handshake, which says how much fits
	}
	ln, err := listener.Listen(background, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	peer, err := ln.Accept() // it never reads
	if err != nil {
		return 0, err
	}
	defer peer.Close()
	if send > 0 {
		if err := conn.(*net.TCPConn).SetWriteBuffer(send); err != nil {
			return 0, err
		}
	}
	chunk, total := make([]byte, 4096), 0
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			return 0, err
		}
		n, err := conn.Write(chunk)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return total, nil
		} else if err != nil {
			return 0, err
		}
	}
}
