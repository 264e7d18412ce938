//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// measureMemory holds idle connections to servers of several kinds, each in a process
// of its own.
func measureMemory(out io.Writer, connections int) error {
	kinds := []struct {
		name string
		env  []string
		args []string
	}{
		{"usual read loop, gorilla's defaults", nil, []string{"-kind", "usual"}},
		{"Endpoint, 512 B read buffer (its default)", nil, nil},
		{"Endpoint, 4 KiB read buffer", nil, []string{"-read-buffer", "4096"}},
		{"Endpoint, a goroutine and a queue of 256 for writing each", nil, []string{"-kind", "writer"}},
		{"Endpoint, GOGC=50", []string{"GOGC=50"}, nil},
		{"Endpoint, GOGC=off, GOMEMLIMIT=80MiB", []string{"GOGC=off", "GOMEMLIMIT=80MiB"}, nil},
		{"Endpoint, TLS", nil, []string{"-tls", "P-256"}},
		{"Endpoint, TLS, GOGC=50", []string{"GOGC=50"}, []string{"-tls", "P-256"}},
	}
	var rows [][]string
	for _, k := range kinds {
		before, held, collected, err := hold(connections, k.env, k.args)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		n := int64(connections)
		rows = append(rows, []string{
			k.name,
			number((int64(collected.Live) - int64(before.Live)) / n),
			number((int64(collected.Stacks) - int64(before.Stacks)) / n),
			number((held.RSS - before.RSS) / n),
			number((collected.RSS - before.RSS) / n),
			fmt.Sprintf("%.2f", float64(held.Descriptors-before.Descriptors)/float64(n)),
			collected.Collection.Round(time.Millisecond).String(),
		})
	}
	table(out, fmt.Sprintf("Bytes of the server's process for each of %d idle connections:", connections), []string{
		"server", "heap, live", "stack", "resident", "after a collection", "descriptors", "processor time of a collection",
	}, rows)
	return nil
}

// hold opens connections to a server and returns what that had before, with them, and
// after a garbage collection.
func hold(connections int, env, args []string) (before, held, collected taken, err error) {
	server, err := startChild(env, append([]string{"serve"}, args...)...)
	if err != nil {
		return before, held, collected, err
	}
	defer func() {
		if stopped := server.stop(); err == nil {
			err = stopped
		}
	}()
	var hello listening
	if err = server.answer(&hello); err != nil {
		return before, held, collected, err
	}
	// The first connection brings what all share.
	first, err := dialAll(hello, 1)
	if err != nil {
		return before, held, collected, err
	}
	defer closeAll(first)
	if err = server.ask("collected", &before); err != nil {
		return before, held, collected, err
	}
	all, err := dialAll(hello, connections)
	if err != nil {
		return before, held, collected, err
	}
	defer closeAll(all)
	if err = server.ask("now", &held); err != nil {
		return before, held, collected, err
	}
	err = server.ask("collected", &collected)
	return before, held, collected, err
}

// dialAll opens connections, some at a time.
func dialAll(to listening, connections int) ([]*websocket.Conn, error) {
	dialer := websocket.Dialer{
		ReadBufferSize: 512, WriteBufferPool: &sync.Pool{}, HandshakeTimeout: time.Minute,
	}
	url := "ws://" + to.Addr + "/ws"
	if to.PEM != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(to.PEM)
		dialer.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		url = "wss://" + to.Addr + "/ws"
	}
	all, errs := make([]*websocket.Conn, connections), make([]error, connections)
	var group sync.WaitGroup
	turns := make(chan struct{}, 32)
	for i := range all {
		turns <- struct{}{}
		group.Go(func() {
			all[i], _, errs[i] = dialer.Dial(url, nil)
			<-turns
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(all []*websocket.Conn) {
	for _, c := range all {
		if c != nil {
			c.Close()
		}
	}
}
