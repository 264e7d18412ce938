//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the program where it has started itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == childArg {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestHold: a server of each kind holds the connections that are counted, a
// descriptor for each, and they take memory.
func TestHold(t *testing.T) {
	const connections = 100
	for name, args := range map[string][]string{
		"usual": {"-kind", "usual"}, "endpoint": nil, "writer": {"-kind", "writer"},
		"buffer": {"-read-buffer", "65536"}, "TLS": {"-tls", "P-256"}, "RSA": {"-tls", "RSA-2048"},
	} {
		before, held, collected, err := hold(connections, []string{"GOGC=50"}, args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := held.Descriptors - before.Descriptors; n != connections {
			t.Errorf("%s: %d descriptors", name, n)
		}
		live := (int64(collected.Live) - int64(before.Live)) / connections
		if live < 1000 || (name == "buffer") != (live > 65536) {
			t.Errorf("%s: %d bytes of a connection are alive", name, live)
		}
		if held.RSS < before.RSS || held.CPU <= before.CPU || collected.Collection <= 0 {
			t.Errorf("%s: %+v, and %+v before", name, held, before)
		}
	}
	if _, _, _, err := hold(1, nil, []string{"-kind"}); err == nil {
		t.Error("a server that does not start is no error")
	}
}

// TestFill: smaller buffers hold less.
func TestFill(t *testing.T) {
	small, err := fill(16<<10, 16<<10)
	if err != nil {
		t.Fatal(err)
	}
	large, err := fill(0, 0)
	if err != nil || small < 4096 || large < 2*small {
		t.Errorf("%d bytes in small buffers, %d in the kernel's own, %v", small, large, err)
	}
}

// TestDialUntilRefused: connections come from the address that is asked for, and the
// end is found, or not looked for for ever.
func TestDialUntilRefused(t *testing.T) {
	conns, err := dialUntilRefused("127.0.0.3", "127.0.0.1:1") // where nobody listens
	if len(conns) != 0 || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%d connections, %v", len(conns), err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			defer conn.Close()
		}
	}()
	conns, err = dialUntilRefused("127.0.0.3", ln.Addr().String())
	if len(conns) != 200 || err == nil {
		t.Errorf("%d connections, %v", len(conns), err)
	}
	for _, c := range conns {
		if from := c.LocalAddr().(*net.TCPAddr).IP.String(); from != "127.0.0.3" {
			t.Errorf("a connection comes from %s", from)
		}
		c.Close()
	}
}

// TestCounter: the kernel's counters are found by name.
func TestCounter(t *testing.T) {
	if n, err := overflows(); err != nil || n < 0 {
		t.Errorf("%d, %v", n, err)
	}
	if value, err := counter("TcpExt", "NoSuchCounter"); err == nil {
		t.Errorf("a counter that there is none of is %s", value)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	table(&out, "Bytes:", []string{"", "size"}, [][]string{{"a", number(1.6)}, {"b", number(uint64(3))}})
	if want := "\nBytes:\n\n|  | size |\n|---|---|\n| a | 2 |\n| b | 3 |\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}
