package apmws

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// seen is what a parser reports of a stream.
type seen struct {
	Messages, Bytes int64
	Controls        []string
}

func (s *seen) ping(payload uint64) { s.Controls = append(s.Controls, "ping "+hash(payload)) }

func (s *seen) pong(payload uint64) { s.Controls = append(s.Controls, "pong "+hash(payload)) }

func (s *seen) close(code int, reason string) {
	s.Controls = append(s.Controls, closeText(code, reason))
}

func hash(n uint64) string { return strconv.FormatUint(n, 16) }

func closeText(code int, reason string) string {
	return "close " + strconv.Itoa(code) + " " + reason
}

// reference reads frames as RFC 6455, section 5.2, describes them, from a whole
// stream and with nothing in common with frameParser.
func reference(stream []byte) seen {
	var s seen
	r := bytes.NewReader(stream)
	began := false
	for {
		var h [2]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return s
		}
		length := uint64(h[1] & 0x7f)
		switch length {
		case 126:
			var n uint16
			if binary.Read(r, binary.BigEndian, &n) != nil {
				return s
			}
			length = uint64(n)
		case 127:
			if binary.Read(r, binary.BigEndian, &length) != nil {
				return s
			}
			length &= 1<<63 - 1
		}
		var mask [4]byte
		if h[1]&0x80 != 0 {
			if _, err := io.ReadFull(r, mask[:]); err != nil {
				return s
			}
		}
		whole := uint64(r.Len()) >= length
		payload := make([]byte, min(length, uint64(r.Len())))
		_, _ = io.ReadFull(r, payload)
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		op, fin := h[0]&0xf, h[0]&0x80 != 0
		if op == 1 || op == 2 {
			began = true
		}
		if op <= 2 {
			s.Bytes += int64(len(payload))
		}
		if !whole {
			return s
		}
		sum := fnv.New64a()
		sum.Write(payload)
		switch {
		case op <= 2 && fin && began:
			s.Messages++
			began = false
		case op == 8 && len(payload) < 2:
			s.Controls = append(s.Controls, closeText(1005, ""))
		case op == 8:
			s.Controls = append(s.Controls, closeText(int(payload[0])<<8|int(payload[1]), string(payload[2:min(len(payload), 125)])))
		case op == 9:
			s.Controls = append(s.Controls, "ping "+hash(sum.Sum64()))
		case op == 10:
			s.Controls = append(s.Controls, "pong "+hash(sum.Sum64()))
		}
	}
}

// parse feeds a stream in pieces whose sizes come from cuts.
func parse(stream []byte, cuts []byte) seen {
	var s seen
	var p frameParser
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)]))
		}
		if n == 0 {
			p.feed(nil, &s)
			n = min(1, len(stream))
		}
		passed := p.feed(stream[:n], &s)
		s.Messages += passed.messages
		s.Bytes += passed.bytes
		stream = stream[n:]
	}
	return s
}

// frame builds one frame; mask nil means unmasked.
func frame(fin bool, op byte, mask, payload []byte) []byte {
	first := op
	if fin {
		first |= 0x80
	}
	b := []byte{first}
	var masked byte
	if mask != nil {
		masked = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, masked|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(n))
	}
	b = append(b, mask...)
	for i, x := range payload {
		if mask != nil {
			x ^= mask[i%4]
		}
		b = append(b, x)
	}
	return b
}

func TestFrameParser(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	big := bytes.Repeat([]byte("x"), 70_000)
	closing := append([]byte{0x03, 0xE9}, "bye"...) // 1001
	tests := []struct {
		name   string
		stream [][]byte
		want   seen
	}{
		{"nothing", nil, seen{}},
		{"empty message", [][]byte{frame(true, 1, mask, nil)}, seen{Messages: 1}},
		{"lengths", [][]byte{
			frame(true, 2, mask, big[:125]), frame(true, 2, mask, big[:126]), frame(true, 2, mask, big[:65535]),
			frame(true, 2, mask, big[:65536]), frame(true, 2, nil, big),
		}, seen{Messages: 5, Bytes: 125 + 126 + 65535 + 65536 + 70_000}},
		{"fragments around a ping", [][]byte{
			frame(false, 1, mask, []byte("ab")), frame(true, 9, mask, []byte("p")), frame(false, 0, mask, []byte("c")), frame(true, 0, mask, nil),
		}, seen{Messages: 1, Bytes: 3, Controls: []string{"ping " + hash(fnv64("p"))}}},
		{"continuation of nothing", [][]byte{frame(true, 0, mask, []byte("ab"))}, seen{Bytes: 2}},
		{"reserved opcode", [][]byte{frame(true, 5, mask, []byte("ab")), frame(true, 1, mask, []byte("c"))}, seen{Messages: 1, Bytes: 1}},
		{"close masked", [][]byte{frame(true, 8, mask, closing)}, seen{Controls: []string{closeText(1001, "bye")}}},
		{"close unmasked", [][]byte{frame(true, 8, nil, closing)}, seen{Controls: []string{closeText(1001, "bye")}}},
		{"close without code", [][]byte{frame(true, 8, mask, nil)}, seen{Controls: []string{closeText(1005, "")}}},
		{"close of one byte", [][]byte{frame(true, 8, mask, []byte{3})}, seen{Controls: []string{closeText(1005, "")}}},
		{"pong", [][]byte{frame(true, 10, mask, []byte("hello"))}, seen{Controls: []string{"pong " + hash(fnv64("hello"))}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stream := bytes.Join(test.stream, nil)
			for _, cuts := range [][]byte{nil, {1}, {2, 3}, {7, 0, 255}} {
				if got := parse(stream, cuts); !reflect.DeepEqual(got, test.want) {
					t.Errorf("cut by %v: got %+v, want %+v", cuts, got, test.want)
				}
			}
			if got := reference(stream); !reflect.DeepEqual(got, test.want) {
				t.Errorf("reference: got %+v, want %+v", got, test.want)
			}
		})
	}
}

func fnv64(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// TestFrameParserRandom parses long streams of valid frames, cut at random.
func TestFrameParserRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		for range 20 {
			ops := []byte{0, 1, 2, 2, 1, 8, 9, 10}
			op := ops[rnd.IntN(len(ops))]
			n := rnd.IntN(300)
			if op < 8 && rnd.IntN(10) == 0 {
				n = rnd.IntN(100_000)
			}
			if op >= 8 {
				n = rnd.IntN(126)
			}
			payload := make([]byte, 0, n+8)
			for len(payload) < n {
				payload = binary.LittleEndian.AppendUint64(payload, rnd.Uint64())
			}
			payload = payload[:n]
			var mask []byte
			if rnd.IntN(2) == 0 {
				mask = binary.BigEndian.AppendUint32(nil, rnd.Uint32())
			}
			stream = append(stream, frame(rnd.IntN(2) == 0, op, mask, payload)...)
		}
		stream = stream[:len(stream)-rnd.IntN(50)] // the end may be lost
		cuts := make([]byte, 1+rnd.IntN(5))
		for i := range cuts {
			cuts[i] = byte(rnd.Uint32())
		}
		if got, want := parse(stream, cuts), reference(stream); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
		}
	}
}

// FuzzFrameParser compares the parser with the reference on any bytes, cut
// anywhere, and what it takes for whole frames with what it follows.
func FuzzFrameParser(f *testing.F) {
	f.Add(frame(true, 1, []byte{1, 2, 3, 4}, []byte("hello")), []byte{3})
	f.Add(frame(true, 8, nil, []byte{0x03, 0xE8, 'x'}), []byte{1})
	f.Add(append(frame(false, 2, nil, make([]byte, 200)), frame(true, 0, nil, make([]byte, 70_000))...), []byte{255, 1})
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, []byte{2})
	f.Add(slices.Concat(frame(true, 1, []byte{1, 2, 3, 4}, []byte("hello")), frame(true, 2, nil, make([]byte, 126)), frame(true, 9, nil, nil)), []byte{})
	f.Add(frame(true, 2, nil, frame(true, 1, nil, []byte("in another one"))), []byte{2, 255})
	f.Add(append(frame(false, 1, nil, []byte("begun")), frame(true, 1, nil, []byte("and again"))...), []byte{})
	f.Add([]byte{0x82, 0x81, 2, 'a', 'b', 'c', 'x'}, []byte{1, 255}) // but for the first byte it is another frame
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if got, want := parse(stream, cuts), reference(stream); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		for _, p := range []frameParser{{}, {fromPeer: true}, {fromCalled: true}} {
			compareWhole(t, p, stream, cuts)
		}
	})
}

// compareWhole follows a stream in pieces and byte by byte, when no frame can be whole,
// and compares what is known after each piece.
func compareWhole(t *testing.T, p frameParser, stream, cuts []byte) {
	var atOnce, byByte seen
	q := p
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, max(1, int(cuts[i%len(cuts)])))
		}
		passed := p.feed(stream[:n], &atOnce)
		atOnce.Messages += passed.messages
		atOnce.Bytes += passed.bytes
		for j := range n {
			passed := q.feed(stream[j:j+1], &byByte)
			byByte.Messages += passed.messages
			byByte.Bytes += passed.bytes
		}
		stream = stream[n:]
		if !reflect.DeepEqual(atOnce, byByte) {
			t.Fatalf("%+v at once, and %+v byte by byte", atOnce, byByte)
		}
		if a, b := remembered(p), remembered(q); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v is known at once, and %+v byte by byte", a, b)
		}
	}
}

// remembered returns a parser without what is left of earlier frames and means nothing
// any more.
func remembered(p frameParser) frameParser {
	if !p.inFrame {
		p.remaining, p.hash, p.masked, p.opcode, p.fin = 0, 0, 0, 0, false
		clear(p.header[p.have:])
	}
	return p
}

func BenchmarkFrameParser(b *testing.B) {
	f := frame(true, 2, []byte{1, 2, 3, 4}, make([]byte, 64))
	var p frameParser
	var s seen
	b.ReportAllocs()
	for b.Loop() {
		p.feed(f, &s)
	}
}

// TestOversizedClose: a peer may claim a close frame to be as long as it likes.
func TestOversizedClose(t *testing.T) {
	for _, size := range []int{maxControl, maxControl + 1, 200, 70_000} {
		payload := append([]byte{0x03, 0xe8}, bytes.Repeat([]byte("x"), size-2)...)
		p := frameParser{fromPeer: true}
		sink := &closeSink{}
		p.feed(frame(true, opClose, []byte{1, 2, 3, 4}, payload), sink)
		if sink.code != 1000 || len(sink.reason) != maxControl-2 || p.violated != (size > maxControl) {
			t.Errorf("%d bytes: code %d, %d bytes of reason, violated %v", size, sink.code, len(sink.reason), p.violated)
		}
	}
}

// closeSink keeps the close frame.
type closeSink struct {
	code   int
	reason string
}

func (*closeSink) ping(uint64)                     {}
func (*closeSink) pong(uint64)                     {}
func (s *closeSink) close(code int, reason string) { s.code, s.reason = code, reason }

// TestExplicitNoStatus: 1005 must not be on the wire (RFC 6455, section 7.4.1). From
// a peer it is a violation; our own library's is taken as it is.
func TestExplicitNoStatus(t *testing.T) {
	payload := []byte{0x03, 0xed}
	p, sink := frameParser{fromPeer: true}, &closeSink{}
	p.feed(frame(true, opClose, []byte{1, 2, 3, 4}, payload), sink)
	if !p.violated || sink.code != 0 {
		t.Errorf("from a peer: violated %v, code %d", p.violated, sink.code)
	}
	p, sink = frameParser{}, &closeSink{}
	p.feed(frame(true, opClose, nil, payload), sink)
	if p.violated || sink.code != 1005 {
		t.Errorf("our own: violated %v, code %d", p.violated, sink.code)
	}
}
