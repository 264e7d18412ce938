package life

import (
	"encoding/binary"
	"net"
	"sync"
)

// countedConn is a client's socket. It counts what the server must count, by the
// frames that pass (RFC 6455, section 5.2), with code of its own: gorilla tells
// nobody what compression makes of a message.
type countedConn struct {
	net.Conn
	in, out frameCounter
}

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.pass(b[:n])
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.pass(b[:n])
	return n, err
}

// frameCounter counts the data frames of one direction, after the head of the
// handshake.
type frameCounter struct {
	mu       sync.Mutex
	pending  []byte // what does not make a whole frame yet
	framed   bool   // the head has passed
	messages int64
	bytes    int64
}

func (f *frameCounter) pass(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, b...)
	if !f.framed {
		if !f.skipHead() {
			return
		}
		f.framed = true
	}
	for f.frame() {
	}
}

// skipHead drops everything up to the empty line.
func (f *frameCounter) skipHead() bool {
	for i := 0; i+4 <= len(f.pending); i++ {
		if string(f.pending[i:i+4]) == "\r\n\r\n" {
			f.pending = f.pending[i+4:]
			return true
		}
	}
	return false
}

// frame takes one whole frame away, if there is one.
func (f *frameCounter) frame() bool {
	const final, masked, lengthBits, opcodeBits = 0x80, 0x80, 0x7f, 0x0f
	b := f.pending
	if len(b) < 2 {
		return false
	}
	head, length := 2, uint64(b[1]&lengthBits)
	switch length {
	case 126:
		if head = 4; len(b) < head {
			return false
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return false
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&masked != 0 {
		head += 4
	}
	if uint64(len(b)) < uint64(head)+length {
		return false
	}
	if opcode := b[0] & opcodeBits; opcode <= 2 { // continuation, text, binary
		f.bytes += int64(length)
		if b[0]&final != 0 {
			f.messages++
		}
	}
	f.pending = b[uint64(head)+length:]
	return true
}

func (f *frameCounter) counts() (messages, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.messages, f.bytes
}
