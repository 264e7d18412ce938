package exact

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"sync"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// What a message is and asks for is in its first two bytes.
const (
	kindSay    = 's'
	kindTyping = 't'
	kindOther  = 'x' // is not registered
	kindFail   = 'f'
	kindSlow   = 'l'

	repliesAt = 1
)

var names = map[byte]string{
	kindSay: "note.say", kindTyping: "note.typing", kindFail: "note.fail", kindSlow: "note.slow",
}

// nameOf is an apmws.NameFunc.
func nameOf(dst []byte, _ apmws.MessageType, payload []byte) []byte {
	if len(payload) == 0 {
		return dst
	}
	return append(dst, names[payload[0]]...)
}

// note is one message of the sequence. There are few different ones, so that its
// frames need not be made each time.
type note struct {
	kind       byte
	replies    int
	size       int // of the payload
	binary     bool
	compressed bool // permessage-deflate (RFC 7692)
	fragments  int
}

// sizes holds those around which lengths are written differently (RFC 6455, section
// 5.2), the longest of them rarely.
var (
	sizes = []int{0, 1, 2, 9, 31, 64, 100, 124, 125, 126, 127, 128, 200, 256, 300, 480, 700, 1021}
	long  = []int{65534, 65535, 65536, 70001}
)

// noteAt returns a message of a connection: always the same one.
func noteAt(connection, i int) note {
	x := (uint64(connection)<<32 | uint64(i)) + 0x9E3779B97F4A7C15 // mixed as by splitmix64
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	x ^= x >> 31
	share := func(of uint64) int { // the next digit of x, in that base
		digit := x % of
		x /= of
		return int(digit)
	}
	n := note{kind: kindOther, size: sizes[share(uint64(len(sizes)))], binary: share(3) == 0, fragments: 1}
	switch p := share(1000); {
	case p < 4:
		n.kind = kindFail
	case p < 704:
		n.kind = kindSay
	case p < 904:
		n.kind = kindTyping
	}
	n.replies = max(0, share(4)-1) // none of half of them
	if n.compressed = compresses(connection) && share(3) > 0; share(5) == 0 {
		n.fragments = 2 + share(3)
	}
	switch {
	case i%1500 == 700:
		n.size = long[share(uint64(len(long)))]
		n.kind, n.replies = kindSay, 1
	case connection%6 == 0 && i == 20:
		n.kind, n.size, n.replies = kindSlow, 64, 1
	}
	switch n.size {
	case 0:
		n.kind, n.replies = kindOther, 0
	case 1:
		n.replies = 0
	}
	return n
}

// compresses tells which connections agree on compression.
func compresses(connection int) bool { return connection%compressingOneIn == 1 }

// name is that under which the message is to be counted, and outcome how it ends.
func (n *note) name() string {
	if name := names[n.kind]; name != "" {
		return name
	}
	return semconv.Other
}

func (n *note) outcome() apmws.Outcome {
	if n.kind == kindFail {
		return apmws.OutcomeFailure
	}
	return apmws.OutcomeSuccess
}

func (n *note) payload() []byte {
	b := bytes.Repeat([]byte("0123456789abcdef"), n.size/16+1)[:n.size]
	if n.size > 0 {
		b[0] = n.kind
	}
	if n.size > repliesAt {
		b[repliesAt] = '0' + byte(n.replies)
	}
	return b
}

// frames are those of a message, as a client sends them, and the payload in them.
type frames struct {
	wire []byte
	data int64
}

// book remembers the frames of messages.
type book struct {
	known sync.Map // of frames, by note
}

func (b *book) frames(n note) frames {
	if known, ok := b.known.Load(n); ok {
		return known.(frames)
	}
	f := n.frames()
	b.known.Store(n, f)
	return f
}

const (
	opContinuation, opText, opBinary = 0, 1, 2
	opClose, opPing, opPong          = 8, 9, 10
	bitFinal, bitCompressed, bitMask = 0x80, 0x40, 0x80
)

func (n *note) frames() frames {
	data, first := n.payload(), byte(opText)
	if n.binary {
		first = opBinary
	}
	if n.compressed {
		data, first = deflate(data), first|bitCompressed
	}
	var f frames
	f.data = int64(len(data))
	for i := range n.fragments {
		part := data[len(data)*i/n.fragments : len(data)*(i+1)/n.fragments]
		if i > 0 {
			first = opContinuation
			// Control frames may come in between, and are no data.
			f.wire = appendFrame(f.wire, bitFinal|opPing, []byte("between"))
		}
		if i == n.fragments-1 {
			first |= bitFinal
		}
		f.wire = appendFrame(f.wire, first, part)
	}
	return f
}

// deflate compresses a message without context takeover (RFC 7692, section 7.2.1).
func deflate(data []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		if _, err = w.Write(data); err == nil {
			err = w.Flush()
		}
	}
	if err != nil {
		panic(err) // memory does not fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// appendFrame appends a frame as a client sends it (RFC 6455, section 5.2).
func appendFrame(b []byte, first byte, payload []byte) []byte {
	const length16, length64 = 126, 127
	mask := [4]byte{0x5a, 0xc3, 0x17, 0xe8}
	b = append(b, first)
	switch n := len(payload); {
	case n < length16:
		b = append(b, bitMask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bitMask|length16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bitMask|length64), uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}
