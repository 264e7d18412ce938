package main

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// maskKey masks the frames of clients (RFC 6455, section 5.3).
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// clientFrame returns a text message as a client sends it, in one frame.
func clientFrame(payload []byte) []byte {
	frame := appendHead(nil, len(payload), 0x80)
	frame = append(frame, maskKey[:]...)
	for i, b := range payload {
		frame = append(frame, b^maskKey[i%4])
	}
	return frame
}

// serverFrame returns a text message as a server sends it, in one frame.
func serverFrame(payload []byte) []byte {
	return append(appendHead(nil, len(payload), 0), payload...)
}

// appendHead appends a frame's first bytes (RFC 6455, section 5.2).
func appendHead(frame []byte, size int, mask byte) []byte {
	frame = append(frame, 0x81)
	switch {
	case size < 126:
		return append(frame, mask|byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(frame, mask|126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(frame, mask|127), uint64(size))
	}
}

// eventName is the name of all messages.
const eventName = "chat.say"

// textOf returns a message of at least 40 bytes, numbered so that one is not
// taken for another.
func textOf(size, number int) []byte {
	text := fmt.Appendf(nil, `{"type":%q,"n":%09d,"text":"`, eventName, number)
	text = append(text, slices.Repeat([]byte("a"), size-len(text)-2)...)
	return append(text, `"}`...)
}
