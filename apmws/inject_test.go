package apmws

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

// deadlines is a connection that notes its write deadlines.
type deadlines struct {
	scripted
	write, read []time.Time
}

func (d *deadlines) SetDeadline(at time.Time) error {
	d.read, d.write = append(d.read, at), append(d.write, at)
	return nil
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = append(d.read, at)
	return nil
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = append(d.write, at)
	return nil
}

// tapOver returns an open connection's tap over conn.
func tapOver(t *testing.T, conn net.Conn) *tap {
	t.Helper()
	c := watched(t)
	tp := &tap{Conn: conn, conn: c, in: frameParser{fromPeer: true}}
	tp.framed.Store(true)
	c.tappedBy(tp)
	return tp
}

const abcdefgh = 0x6162636465666768

// TestInject: what is written, and what is counted of it.
func TestInject(t *testing.T) {
	ping := append([]byte{finBit | opPing, 8}, "abcdefgh"...)
	timeout := timeoutError{}
	for _, test := range []struct {
		name    string
		prepare func(tp *tap)
		write   func(b []byte) (int, error) // nil: all of it
		want    error
		wire    []byte
		counted int
	}{
		{"between frames", func(*tap) {}, nil, nil, ping, 1},
		{"in a fragmented message", func(tp *tap) { put(t, tp, frame(false, opText, nil, []byte("x"))) }, nil, nil, ping, 1},
		{"in a header", func(tp *tap) { put(t, tp, []byte{finBit | opText}) }, nil, errMidFrame, nil, 0},
		{"in a frame", func(tp *tap) { put(t, tp, []byte{finBit | opText, 2, 'x'}) }, nil, errMidFrame, nil, 0},
		{"before the 101", func(tp *tap) { tp.framed.Store(false) }, nil, errMidFrame, nil, 0},
		{"during a write", func(tp *tap) { tp.writeMu.Lock() }, nil, errBlocked, nil, 0},
		{"closed", func(tp *tap) { tp.closing.Store(true) }, nil, net.ErrClosed, nil, 0},
		{"after the last frame", func(tp *tap) { tp.mute = true }, nil, net.ErrClosed, nil, 0},
		{"after a close frame", func(tp *tap) { put(t, tp, closeFrame(1000, "", false)) }, nil, net.ErrClosed, nil, 0},
		{"of a client", func(tp *tap) { tp.in.fromPeer = false }, nil, nil, append([]byte{finBit | opPing, maskBit | 8, 0, 0, 0, 0}, "abcdefgh"...), 1},
		{"half written", func(*tap) {}, func([]byte) (int, error) { return 3, timeout }, errBroken, ping[:3], 0},
		{"timed out, in nobody knows what", func(*tap) {}, func([]byte) (int, error) { return 0, timeout }, errBroken, nil, 0},
		{"failed", func(*tap) {}, func([]byte) (int, error) { return 0, syscall.EPIPE }, syscall.EPIPE, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var wire bytes.Buffer
			conn := &scripted{write: func(b []byte) (int, error) { return len(b), nil }}
			tp := tapOver(t, conn)
			test.prepare(tp)
			conn.write = func(b []byte) (n int, err error) {
				n = len(b)
				if test.write != nil {
					n, err = test.write(b)
				}
				wire.Write(b[:n])
				return n, err
			}
			if err := tp.inject(abcdefgh, time.Second); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if !bytes.Equal(wire.Bytes(), test.wire) {
				t.Errorf("written is %x, want %x", wire.Bytes(), test.wire)
			}
			tp.conn.mu.Lock()
			defer tp.conn.mu.Unlock()
			if n := tp.conn.pings.unanswered(); n != test.counted {
				t.Errorf("%d pings are unanswered, want %d", n, test.counted)
			}
		})
	}
}

// TestOwedPing: a ping that found no place goes out in front of the next frame, and
// not within one.
func TestOwedPing(t *testing.T) {
	ping := append([]byte{finBit | opPing, 8}, "abcdefgh"...)
	text := []byte{finBit | opText, 2, 'h', 'i'}
	var wire bytes.Buffer
	fails := error(nil)
	tp := tapOver(t, &scripted{write: func(b []byte) (int, error) {
		if fails != nil {
			return 0, fails
		}
		return wire.Write(b)
	}})
	put(t, tp, text[:3])
	tp.owed.Store(abcdefgh)
	put(t, tp, text[3:])
	fails = timeoutError{}
	if n, err := tp.Write(text); n != 0 || !errors.Is(err, fails) {
		t.Errorf("%d, %v", n, err)
	}
	fails = nil
	put(t, tp, text)
	put(t, tp, text)
	if want := slices.Concat(text, ping, text, text); !bytes.Equal(wire.Bytes(), want) {
		t.Errorf("written is %x, want %x", wire.Bytes(), want)
	}
	if n := tp.conn.pings.unanswered(); n != 1 {
		t.Errorf("%d pings are unanswered", n)
	}
}

func put(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestInjectDeadline: a ping neither misses nor moves the application's write
// deadline, nor one that is set while it is written.
func TestInjectDeadline(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	never := time.Now().Add(math.MaxInt64)
	for _, test := range []struct {
		name           string
		before, during func(tp *tap) error
		want           time.Time
	}{
		{"none", nil, nil, time.Time{}},
		{"one that has passed", func(tp *tap) error { return tp.SetWriteDeadline(past) }, nil, past},
		{"one of both", func(tp *tap) error { return tp.SetDeadline(future) }, nil, future},
		{"in three hundred years", func(tp *tap) error { return tp.SetWriteDeadline(never) }, nil, processStart.Add(forever)},
		{"during the write", nil, func(tp *tap) error { return tp.SetWriteDeadline(future) }, future},
		{"of both, during the write", func(tp *tap) error { return tp.SetDeadline(past) }, func(tp *tap) error { return tp.SetDeadline(future) }, future},
		{"taken away during the write", func(tp *tap) error { return tp.SetWriteDeadline(past) }, func(tp *tap) error { return tp.SetWriteDeadline(time.Time{}) }, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := &deadlines{}
			tp := tapOver(t, conn)
			if test.before != nil {
				if err := test.before(tp); err != nil {
					t.Fatal(err)
				}
			}
			conn.scripted.write = func(b []byte) (int, error) {
				if test.during != nil {
					if err := test.during(tp); err != nil {
						t.Error(err)
					}
				}
				if at := conn.write[len(conn.write)-1]; at.Before(time.Now()) || at.After(time.Now().Add(time.Minute)) {
					t.Errorf("the ping is written with the deadline %v", at)
				}
				return len(b), nil
			}
			if err := tp.inject(abcdefgh, time.Minute); err != nil {
				t.Fatal(err)
			}
			at := conn.write[len(conn.write)-1]
			if test.want.After(future) {
				at = at.Truncate(time.Hour)
				test.want = test.want.Truncate(time.Hour)
			}
			if !at.Equal(test.want) {
				t.Errorf("the deadline is %v, want %v", at, test.want)
			}
			if test.name == "of both, during the write" && !slices.ContainsFunc(conn.read, future.Equal) {
				t.Errorf("the read deadlines are %v", conn.read)
			}
		})
	}
}

// TestCloseFrameDeadline: the application's deadlines do not move that of the agent's
// close frame, which would otherwise wait for a peer that does not read.
func TestCloseFrameDeadline(t *testing.T) {
	conn := &deadlines{}
	tp := tapOver(t, conn)
	var during time.Time
	conn.scripted.write = func(b []byte) (int, error) {
		_ = tp.SetWriteDeadline(time.Time{})
		during = conn.write[len(conn.write)-1]
		return len(b), nil
	}
	tp.writeMu.Lock()
	said := tp.lastFrame(1000, "", CauseDrain, time.Minute)
	tp.writeMu.Unlock()
	if !said || during.IsZero() || during.After(time.Now().Add(time.Minute)) {
		t.Errorf("said is %v, the deadline %v", said, during)
	}
}

// TestOneCloseFrame: whatever is known of the end, there is no second close frame.
func TestOneCloseFrame(t *testing.T) {
	var wire bytes.Buffer
	tp := tapOver(t, &scripted{write: wire.Write})
	put(t, tp, []byte{finBit | opPing, 0})
	tp.conn.readFailed(timeoutError{}) // so that the cause is the silence, and not the farewell
	farewell := closeFrame(1001, "bye", false)
	put(t, tp, farewell)
	wire.Reset()
	tp.writeMu.Lock()
	tp.lastFrame(1000, "", CauseDrain, time.Minute)
	tp.writeMu.Unlock()
	if wire.Len() > 0 {
		t.Errorf("% x follows the close frame", wire.Bytes())
	}
}

// TestInjectFull: a ping to a socket that is full is not written, and leaves
// neither the program's deadline nor its data in disorder.
func TestInjectFull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tp := tapOver(t, conn)
	filled := fill(t, conn)
	if err := tp.inject(abcdefgh, time.Minute); !errors.Is(err, errBlocked) {
		t.Fatalf("%v, want %v", err, errBlocked)
	}
	if _, err := io.CopyN(io.Discard, peer, int64(filled)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room again", func() bool { return tp.inject(abcdefgh, time.Minute) == nil })
	var got [10]byte
	if _, err := io.ReadFull(peer, got[:]); err != nil || string(got[2:]) != "abcdefgh" {
		t.Errorf("%q, %v", got, err)
	}
}

// fill writes to a connection until no more gets through, and returns how much has.
func fill(t *testing.T, conn net.Conn) (filled int) {
	t.Helper()
	for misses := 0; misses < 3; {
		_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := conn.Write(make([]byte, 1<<20))
		filled += n
		if err == nil || n > 0 {
			misses = 0
			continue
		}
		if !isNetTimeout(err) {
			t.Fatal(err)
		}
		misses++
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return filled
}

// TestWriteDeadlineAllocations: setting a deadline allocates nothing.
func TestWriteDeadlineAllocations(t *testing.T) {
	tp := tapOver(t, &scripted{})
	at := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		_ = tp.SetWriteDeadline(at)
		_ = tp.SetDeadline(at)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSameWriteDeadline: a deadline that is there is not set again, which gorilla asks
// for before each write; one that is not is.
func TestSameWriteDeadline(t *testing.T) {
	conn := &deadlines{scripted: scripted{write: func(b []byte) (int, error) { return len(b), nil }}}
	tp := tapOver(t, conn)
	soon := time.Now().Add(time.Hour)
	for i, step := range []struct {
		do  func()
		set int // how often the connection's has been set by then
	}{
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 1}, // nobody knows what there was
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 1},
		{func() { _ = tp.SetWriteDeadline(soon) }, 2},
		{func() { _ = tp.SetWriteDeadline(soon) }, 2},
		{func() { _ = tp.SetWriteDeadline(soon.Add(1)) }, 3},
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 4},
		{func() { _ = tp.SetDeadline(soon) }, 5},
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 6},
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 6},
		{func() { _ = tp.inject(abcdefgh, time.Second) }, 8}, // and given back
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 9},
		{func() { _ = tp.SetWriteDeadline(time.Time{}) }, 9},
		{func() { tp.closing.Store(true); _ = tp.SetWriteDeadline(time.Time{}) }, 10}, // it says that it is closed
	} {
		if step.do(); len(conn.write) != step.set {
			t.Errorf("step %d: the deadline has been set %d times, want %d", i, len(conn.write), step.set)
		}
	}
	if !conn.write[len(conn.write)-1].IsZero() {
		t.Error("there is a deadline")
	}
}

// TestBareWriteDeadline: once the program has the connection underneath, it may have
// given that a deadline of its own, which is replaced as it would be without the tap.
func TestBareWriteDeadline(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	for _, at := range []time.Time{{}, soon} {
		conn := &deadlines{}
		tp := tapOver(t, conn)
		_ = tp.SetWriteDeadline(at)
		_ = tp.NetConn().SetWriteDeadline(soon.Add(-2 * time.Hour))
		for range 2 {
			_ = tp.SetWriteDeadline(at)
			if now := conn.write[len(conn.write)-1]; !now.Equal(at) {
				t.Errorf("the deadline is %v, want %v", now, at)
			}
			_ = conn.SetWriteDeadline(soon.Add(-time.Hour))
		}
		_ = tp.SetDeadline(at)
		_ = conn.SetWriteDeadline(soon.Add(-time.Hour))
		if _ = tp.SetWriteDeadline(at); !conn.write[len(conn.write)-1].Equal(at) {
			t.Errorf("after one of both the deadline is %v, want %v", conn.write[len(conn.write)-1], at)
		}
	}
}
