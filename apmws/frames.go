package apmws

import (
	"encoding/binary"
	"math"
)

// Opcodes (RFC 6455, section 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	finBit     = 0x80
	maskBit    = 0x80
	maxHeader  = 14  // bytes: 2, 8 of extended length, 4 of mask
	maxControl = 125 // bytes of a control frame's payload
)

// frameCount is what passed: whole messages, and payload bytes of data frames.
type frameCount struct{ messages, bytes int64 }

// frameSink receives the control frames that passed. Payloads are given as a
// hash, except that of a close frame.
type frameSink interface {
	ping(payload uint64)
	pong(payload uint64)
	close(code int, reason string)
}

// frameParser follows the frames of one direction through a byte stream that
// may be cut anywhere. It looks at headers and control payloads and skips the
// rest. Whatever a peer sends, it keeps at most a header and a close frame.
type frameParser struct {
	remaining  int64             // payload bytes of this frame still to come
	hash       uint64            // of the control payload so far
	closing    *[maxControl]byte // payload of a close frame so far; nil: there was none
	header     [maxHeader]byte
	have       uint8 // header bytes held
	closes     uint8 // bytes of closing
	masked     uint8 // position in the mask
	opcode     uint8
	fin        bool
	inFrame    bool
	inMessage  bool // a data message has begun and not ended
	fromPeer   bool // frames of a peer that has called: they must be masked (RFC 6455, section 5.1)
	fromCalled bool // frames of a server that a Dialer has called: they must not be
	violated   bool // a frame that no library accepts has passed
}

// FNV-1a, 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// whole returns the length of the frame that b begins with, and of its payload, when it
// is nothing but a message of less than 64 KiB and all of it is there: most are, and
// need not be followed. Else it returns 0.
func (p *frameParser) whole(b []byte) (frame, payload int) {
	if p.inFrame || p.inMessage || p.have > 0 || len(b) < 4 {
		return 0, 0
	}
	if op := b[0] & 0xF; b[0]&finBit == 0 || op != opText && op != opBinary {
		return 0, 0
	}
	masked := b[1]&maskBit != 0
	if p.fromPeer && !masked || p.fromCalled && masked {
		return 0, 0
	}
	frame, payload = 2, int(b[1]&^maskBit)
	switch payload {
	case 126:
		frame, payload = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 0, 0
	}
	if masked {
		frame += 4
	}
	if frame += payload; frame > len(b) {
		return 0, 0
	}
	return frame, payload
}

// feed follows b.
func (p *frameParser) feed(b []byte, sink frameSink) (passed frameCount) {
	for {
		if frame, payload := p.whole(b); frame > 0 {
			passed.messages++
			passed.bytes += int64(payload)
			if b = b[frame:]; len(b) == 0 {
				return passed
			}
			continue
		}
		if p.inFrame {
			n := min(int64(len(b)), p.remaining)
			switch p.opcode {
			case opText, opBinary, opContinuation:
				passed.bytes += n
			case opClose, opPing, opPong:
				p.control(b[:n])
			}
			b = b[n:]
			p.remaining -= n
			if p.remaining > 0 {
				return passed
			}
			if p.endFrame(sink) {
				passed.messages++
			}
		}
		if len(b) == 0 {
			return passed
		}
		b = p.readHeader(b)
	}
}

// readHeader consumes header bytes; when the header is complete a frame begins.
func (p *frameParser) readHeader(b []byte) (rest []byte) {
	need := 2
	if p.have >= 2 {
		need = headerLen(p.header[1])
	}
	for {
		n := copy(p.header[p.have:need], b)
		p.have += uint8(n)
		b = b[n:]
		if int(p.have) < need {
			return b
		}
		if full := headerLen(p.header[1]); full > need {
			need = full
			continue
		}
		p.beginFrame()
		return b
	}
}

func headerLen(second byte) int {
	n := 2
	switch second &^ maskBit {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if second&maskBit != 0 {
		n += 4
	}
	return n
}

func (p *frameParser) beginFrame() {
	p.have = 0
	p.inFrame = true
	p.fin = p.header[0]&finBit != 0
	p.opcode = p.header[0] & 0xF
	mask := 2
	switch length := p.header[1] &^ maskBit; length {
	case 126:
		p.remaining = int64(binary.BigEndian.Uint16(p.header[2:]))
		mask += 2
	case 127:
		// The most significant bit must be 0; no library reads on when it is not.
		length := binary.BigEndian.Uint64(p.header[2:])
		p.violated = p.violated || length > math.MaxInt64
		p.remaining = int64(length & math.MaxInt64)
		mask += 8
	default:
		p.remaining = int64(length)
	}
	p.violated = p.violated || p.violates()
	// The mask moves to the front, for control.
	p.masked = 0
	if p.header[1]&maskBit != 0 {
		copy(p.header[2:6], p.header[mask:mask+4])
	} else {
		clear(p.header[2:6])
	}
	switch p.opcode {
	case opText, opBinary:
		p.inMessage = true
	case opClose, opPing, opPong:
		p.hash = fnvOffset
		p.closes = 0
	}
}

// violates reports whether the header breaks a rule of RFC 6455, section 5,
// that does not depend on what came before or was negotiated.
func (p *frameParser) violates() bool {
	masked := p.header[1]&maskBit != 0
	badMask := p.fromPeer && !masked || p.fromCalled && masked
	switch p.opcode {
	case opText, opBinary, opContinuation:
		return badMask
	case opClose, opPing, opPong:
		return badMask || !p.fin || p.remaining > maxControl
	default:
		return true
	}
}

// control takes a part of a control frame's payload, unmasked.
func (p *frameParser) control(b []byte) {
	for _, x := range b {
		x ^= p.header[2+p.masked]
		p.masked = (p.masked + 1) & 3
		p.hash = (p.hash ^ uint64(x)) * fnvPrime
		if p.opcode == opClose && p.closes < maxControl {
			if p.closing == nil {
				p.closing = new([maxControl]byte)
			}
			p.closing[p.closes] = x
			p.closes++
		}
	}
}

// endFrame reports whether a message ended with the frame.
func (p *frameParser) endFrame(sink frameSink) (message bool) {
	p.inFrame = false
	switch p.opcode {
	case opText, opBinary, opContinuation:
		message = p.inMessage && p.fin
		if message {
			p.inMessage = false
		}
		return message
	case opPing:
		sink.ping(p.hash)
	case opPong:
		sink.pong(p.hash)
	case opClose:
		code, reason, ok := closeStatus(p.closing, p.closes)
		p.closing, p.closes = nil, 0
		if !ok && (p.fromPeer || p.fromCalled) {
			p.violated = true
			return false
		}
		sink.close(code, reason)
	}
	return false
}

// closeStatus parses a close frame's payload of n bytes. ok is false for 1005, which
// stands for no code at all and is not to be sent (RFC 6455, section 7.4.1). Half a
// code is none, as gorilla has it.
func closeStatus(payload *[maxControl]byte, n uint8) (code int, reason string, ok bool) {
	if n < 2 {
		return 1005, "", true
	}
	code, reason = int(binary.BigEndian.Uint16(payload[:])), string(payload[2:n])
	return code, reason, code != 1005
}
