package hour

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"
)

// wire notes what passes the server's end of a connection, by the frames (RFC 6455,
// section 5.2) that follow the head of the handshake.
type wire struct {
	place Place

	mu        sync.Mutex
	in, out   frames
	transfers []Transfer
	writes    []Write
	pings     []Ping   // all that were sent
	words     []string // their payloads
	settled   int      // how many of the first need no answer any more
	closed    time.Time
}

func (w *wire) read(b []byte, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	passed := w.in.pass(b, func(opcode byte, payload []byte) {
		if opcode == opPong {
			w.answered(string(payload), now)
		}
	})
	w.passed(passed, true, now)
}

// answered notes an answer to a ping. Those before it are settled too.
func (w *wire) answered(word string, now time.Time) {
	for i := len(w.pings) - 1; i >= w.settled; i-- {
		if w.words[i] == word {
			w.pings[i].Answered, w.pings[i].RTT = true, now.Sub(w.pings[i].At)
			w.settled = i + 1
			return
		}
	}
}

// written notes a call of Write, of which n bytes were written.
func (w *wire) written(b []byte, n int, begun, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	opened, pings := w.out.open, len(w.pings)
	// A ping counts from when its sender began to write it.
	passed := w.out.pass(b[:n], func(opcode byte, payload []byte) {
		if opcode == opPing {
			w.pings = append(w.pings, Ping{Place: w.place, At: begun})
			w.words = append(w.words, string(payload))
		}
	})
	// Those that the library sends by itself are no writes of the application's.
	if own := w.place.Route == routeNews && len(w.pings) > pings; opened && !own {
		w.writes = append(w.writes, Write{Place: w.place, At: now, Blocked: now.Sub(begun)})
	}
	w.passed(passed, false, now)
}

func (w *wire) passed(a amount, received bool, now time.Time) {
	if a == (amount{}) {
		return
	}
	// How much one call reads of what arrives at once is left to the scheduler.
	for i := len(w.transfers) - 1; i >= 0 && w.transfers[i].At.Equal(now); i-- {
		if t := &w.transfers[i]; t.Received == received {
			t.Messages += a.messages
			t.Bytes += a.bytes
			return
		}
	}
	w.transfers = append(w.transfers, Transfer{Place: w.place, At: now, Received: received, Messages: a.messages, Bytes: a.bytes})
}

// close notes when the server has first closed the connection.
func (w *wire) close(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.IsZero() {
		w.closed = now
	}
}

// end returns when the connection was closed, and the pings that were sent.
func (w *wire) end() (closed time.Time, pings []Ping) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := w.settled; i < len(w.pings) && !w.closed.IsZero(); i++ {
		w.pings[i].Lost, w.pings[i].Ended = true, w.closed
	}
	return w.closed, w.pings
}

// Opcodes.
const (
	opBinary = 2
	opPing   = 9
	opPong   = 10
)

// frames follows one direction of a connection.
type frames struct {
	open    bool   // the head has passed, of a handshake that was accepted
	refused bool   // the head has passed, and no frames follow
	pending []byte // of the head, or of a frame's header or a control frame
	left    uint64 // bytes of a data frame's payload that are still to come
	final   bool   // that frame is the last of its message
}

// amount is what passed of data messages.
type amount struct{ messages, bytes int64 }

// pass follows what passes. control is called with each control frame.
func (f *frames) pass(b []byte, control func(opcode byte, payload []byte)) (passed amount) {
	for len(b) > 0 && !f.refused {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)))
			f.left -= n
			passed.bytes += int64(n)
			b = b[n:]
			f.ended(&passed)
			continue
		}
		f.pending = append(f.pending, b[0])
		b = b[1:]
		if !f.open {
			f.head()
			continue
		}
		f.header(&passed, control)
	}
	return passed
}

// head looks whether the head of a request or an answer is complete.
func (f *frames) head() {
	if !bytes.HasSuffix(f.pending, []byte("\r\n\r\n")) {
		return
	}
	f.refused = bytes.HasPrefix(f.pending, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(f.pending, []byte("HTTP/1.1 101 "))
	f.open = !f.refused
	f.pending = nil
}

func (f *frames) ended(passed *amount) {
	if f.left == 0 && f.final {
		passed.messages++
	}
}

// header looks whether a frame's header is complete, or a whole control frame.
func (f *frames) header(passed *amount, control func(opcode byte, payload []byte)) {
	const final, masked, lengthBits, opcodeBits, isControl = 0x80, 0x80, 0x7f, 0x0f, 0x08
	b := f.pending
	if len(b) < 2 {
		return
	}
	head, length := 2, uint64(b[1]&lengthBits)
	switch length {
	case 126:
		head += 2
	case 127:
		head += 8
	}
	mask := head
	if b[1]&masked != 0 {
		head += 4
	}
	if len(b) < head {
		return
	}
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		length = binary.BigEndian.Uint64(b[2:])
	}
	opcode := b[0] & opcodeBits
	if opcode&isControl == 0 {
		// Reserved opcodes are no data; this script sends one without a payload.
		f.pending, f.left, f.final = f.pending[:0], length, b[0]&final != 0 && opcode <= opBinary
		f.ended(passed)
		return
	}
	if uint64(len(b)) < uint64(head)+length {
		return
	}
	payload := bytes.Clone(b[head:])
	if mask != head {
		for i := range payload {
			payload[i] ^= b[mask+i%4]
		}
	}
	f.pending = f.pending[:0]
	control(opcode, payload)
}
