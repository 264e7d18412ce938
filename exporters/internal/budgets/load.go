package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// load are connections to an echo server. They write frames that were made
// before, so that the client costs less than the server.
type load struct {
	conns []*loadConn
}

// messageSize is the size of a message in bytes.
const messageSize = 64

// loadTimeout bounds the exchanges of a round.
const loadTimeout = 2 * time.Minute

// loadConn sends a batch of frames and expects the same messages back.
type loadConn struct {
	net.Conn
	frames   []byte
	expected []byte
	received []byte
}

// dialLoad opens connections that send batches of so many messages.
func dialLoad(ctx context.Context, address string, conns, batch int) (*load, error) {
	l := &load{}
	for n := range conns {
		ws, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+address+route, nil)
		if err != nil {
			l.close()
			return nil, err
		}
		c := &loadConn{Conn: ws.NetConn()}
		for i := range batch {
			text := textOf(messageSize, n*batch+i)
			c.frames = append(c.frames, clientFrame(text)...)
			c.expected = append(c.expected, serverFrame(text)...)
		}
		c.received = make([]byte, len(c.expected))
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		c.Close()
	}
}

// exchange sends a batch and waits until it has come back as it was.
func (c *loadConn) exchange() error {
	if _, err := c.Write(c.frames); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, c.received); err != nil {
		return fmt.Errorf("read an echo: %w", err)
	}
	if !bytes.Equal(c.received, c.expected) {
		return fmt.Errorf("sent %q, got %q", c.expected, c.received)
	}
	return nil
}

// each runs f for all connections at once and returns how long that took, and
// the first error.
func (l *load) each(f func(c *loadConn) error) (time.Duration, error) {
	start := time.Now()
	errs := make(chan error)
	for _, c := range l.conns {
		go func() {
			if err := c.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
				errs <- err
				return
			}
			errs <- f(c)
		}()
	}
	var first error
	for range l.conns {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return time.Since(start), first
}

// closedLoop exchanges so many batches on each connection, one after the other
// has come back.
func (l *load) closedLoop(batches int) (time.Duration, error) {
	return l.each(func(c *loadConn) error {
		for range batches {
			if err := c.exchange(); err != nil {
				return err
			}
		}
		return nil
	})
}

// paced does so at most once per interval on each connection.
func (l *load) paced(batches int, interval time.Duration) (time.Duration, error) {
	return l.each(func(c *loadConn) error {
		next := time.Now()
		for range batches {
			time.Sleep(time.Until(next))
			if err := c.exchange(); err != nil {
				return err
			}
			next = next.Add(interval)
		}
		return nil
	})
}
