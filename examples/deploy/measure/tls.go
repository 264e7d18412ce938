//go:build linux

package main

import (
	"fmt"
	"io"
	"time"
)

// measureTLS compares the processor time that a server takes for each handshake.
func measureTLS(out io.Writer, connections int) error {
	var rows [][]string
	for _, k := range []struct{ name, key string }{
		{"ws", ""}, {"wss, P-256", "P-256"}, {"wss, RSA-2048", "RSA-2048"},
	} {
		before, held, _, err := hold(connections/2, nil, []string{"-tls", k.key})
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		each := (held.CPU - before.CPU) / time.Duration(connections/2)
		rows = append(rows, []string{k.name, each.Round(time.Microsecond).String(), number(float64(time.Second) / float64(each))})
	}
	table(out, "Processor time of the server for each new connection, without session resumption:", []string{
		"", "time", "connections a second of one core",
	}, rows)
	return nil
}
