//go:build linux

// Command measure measures on the machine that it runs on what
// examples/deploy/TUNING.md is about: the memory and the file descriptors of idle
// connections, what TLS adds, how long clients wait when a listener's backlog is
// full, when ephemeral ports end, and how much a peer that does not read holds in
// the kernel's buffers. It prints Markdown tables:
//
//	go run ./examples/deploy/measure
//
// Everything runs over loopback. The parts that change kernel settings do so in a
// network namespace of their own, which needs root or user namespaces that are
// allowed; the rest of the machine is not touched.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// part is one of the measurements.
type part struct {
	name string
	run  func(out io.Writer, connections int) error
}

func parts() []part {
	return []part{
		{"memory", measureMemory},
		{"tls", measureTLS},
		{"buffers", measureBuffers},
		{"backlog", isolated("backlog")},
		{"ports", isolated("ports")},
	}
}

// hidden are those that this program starts itself as, in another process.
var hidden = map[string]func(args []string) error{
	"serve":   serveChild,
	"backlog": func([]string) error { return measureBacklog(os.Stdout) },
	"ports":   func([]string) error { return measurePorts(os.Stdout) },
	"refuser": refuserChild,
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == childArg {
		if err := hidden[os.Args[2]](os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	connections := flag.Int("connections", 5000, "idle connections of each server")
	only := flag.String("only", "", "the parts to run, divided by commas: memory,tls,buffers,backlog,ports (default all)")
	flag.Parse()
	for _, p := range parts() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		if err := p.run(os.Stdout, *connections); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
			os.Exit(1)
		}
	}
}
