package interop

import (
	"bytes"
	"compress/flate"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// frame is a WebSocket frame.
type frame struct {
	fin, rsv1 bool
	op        byte
	payload   []byte // unmasked
	// masked says that it came masked, or is to be written so, with mask.
	masked bool
	mask   [4]byte
}

// encode returns the frame's bytes.
func (f frame) encode() []byte {
	first := f.op
	if f.fin {
		first |= 0x80
	}
	if f.rsv1 {
		first |= 0x40
	}
	b := []byte{first}
	maskBit := byte(0)
	if f.masked {
		maskBit = 0x80
	}
	switch n := len(f.payload); {
	case n < 126:
		b = append(b, byte(n)|maskBit)
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 126|maskBit), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127|maskBit), uint64(n))
	}
	if f.masked {
		b = append(b, f.mask[:]...)
	}
	return append(b, f.xored()...)
}

func (f frame) xored() []byte {
	if !f.masked {
		return f.payload
	}
	b := make([]byte, len(f.payload))
	key := bytes.Repeat(f.mask[:], len(b)/4+1)
	subtle.XORBytes(b, f.payload, key) // fast under the race detector
	return b
}

// readFrame reads a frame.
func readFrame(r io.Reader) (f frame, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	f = frame{fin: head[0]&0x80 != 0, rsv1: head[0]&0x40 != 0, op: head[0] & 15, masked: head[1]&0x80 != 0}
	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		var n uint16
		err = binary.Read(r, binary.BigEndian, &n)
		length = uint64(n)
	case 127:
		err = binary.Read(r, binary.BigEndian, &length)
	}
	if err != nil {
		return f, unexpected(err)
	}
	if f.masked {
		if _, err = io.ReadFull(r, f.mask[:]); err != nil {
			return f, unexpected(err)
		}
	}
	f.payload = make([]byte, length)
	n, err := io.ReadFull(r, f.payload)
	f.payload = f.payload[:n]
	f.payload = f.xored()
	return f, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tally is what a recorded byte stream holds. It is the independent account
// that the agent's figures are compared with.
type tally struct {
	messages, bytes      int64 // of data frames
	pings, pongs, closes int
}

// count reads a stream that began after the handshake.
func count(stream []byte) (n tally) {
	r := bytes.NewReader(stream)
	for {
		f, err := readFrame(r)
		switch f.op {
		case opText, opBinary, opContinuation:
			n.bytes += int64(len(f.payload))
		}
		if err == io.EOF {
			return n
		}
		if err != nil {
			return n // cut off in the middle of a frame
		}
		switch f.op {
		case opPing:
			n.pings++
		case opPong:
			n.pongs++
		case opClose:
			n.closes++
		default:
			if f.fin {
				n.messages++
			}
		}
	}
}

// closePayload is the payload of a close frame; code 0: an empty one.
func closePayload(code int, reason string) []byte {
	if code == 0 {
		return nil
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// deflateTail is what RFC 7692, section 7.2.1 takes from the end of a message.
const deflateTail = "\x00\x00\xff\xff"

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte(deflateTail))
}

func inflate(b []byte) ([]byte, error) {
	const finalBlock = "\x01\x00\x00\xff\xff"
	r := flate.NewReader(io.MultiReader(bytes.NewReader(b), bytes.NewReader([]byte(deflateTail+finalBlock))))
	out, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	return out, nil
}
