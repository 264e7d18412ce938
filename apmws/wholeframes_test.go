package apmws

import (
	"bytes"
	"slices"
	"testing"
)

// TestWholeFrames: only what is one message and all there is not followed.
func TestWholeFrames(t *testing.T) {
	mask := []byte{1, 2, 3, 4}
	long := bytes.Repeat([]byte("x"), 1000)
	for what, test := range map[string]struct {
		parser  frameParser
		stream  []byte
		payload int
		whole   bool
	}{
		"text":                         {frameParser{}, frame(true, opText, nil, []byte("abc")), 3, true},
		"binary, masked":               {frameParser{fromPeer: true}, frame(true, opBinary, mask, []byte("abc")), 3, true},
		"126 bytes and more":           {frameParser{}, frame(true, opText, nil, long), len(long), true},
		"the first of two":             {frameParser{}, append(frame(true, opText, nil, []byte("abc")), 0x81, 1, 'x'), 3, true},
		"64 KiB":                       {frameParser{}, frame(true, opText, nil, make([]byte, 1<<16)), 0, false},
		"all but a byte":               {frameParser{}, frame(true, opText, nil, long)[:1003], 0, false},
		"a header":                     {frameParser{}, []byte{0x81, 126, 0}, 0, false},
		"nothing":                      {frameParser{}, nil, 0, false},
		"a fragment":                   {frameParser{}, frame(false, opText, nil, []byte("abc")), 0, false},
		"a continuation":               {frameParser{}, frame(true, opContinuation, nil, []byte("abc")), 0, false},
		"a ping":                       {frameParser{}, frame(true, opPing, nil, []byte("abc")), 0, false},
		"a reserved opcode":            {frameParser{}, frame(true, 3, nil, []byte("abc")), 0, false},
		"in a message":                 {frameParser{inMessage: true}, frame(true, opText, nil, []byte("abc")), 0, false},
		"in a frame":                   {frameParser{inFrame: true}, frame(true, opText, nil, []byte("abc")), 0, false},
		"in a header":                  {frameParser{have: 1}, frame(true, opText, nil, []byte("abc")), 0, false},
		"a client's that is not":       {frameParser{fromPeer: true}, frame(true, opText, nil, []byte("abc")), 0, false},
		"a server's that is masked":    {frameParser{fromCalled: true}, frame(true, opText, mask, []byte("abc")), 0, false},
		"a server's, as it has to be":  {frameParser{fromCalled: true}, frame(true, opText, nil, []byte("abc")), 3, true},
		"an empty one that is masked":  {frameParser{fromPeer: true}, frame(true, opText, mask, nil), 0, true},
		"compressed, by its first bit": {frameParser{}, append([]byte{0xC1, 3}, "abc"...), 3, true},
	} {
		if n, payload := test.parser.whole(test.stream); (n > 0) != test.whole || payload != test.payload {
			t.Errorf("%s: %d bytes, of them %d payload", what, n, payload)
		}
	}
}

// TestWholeFramePartlyWritten: what of a frame has been written is counted, wherever it
// is cut, and the rest when that follows.
func TestWholeFramePartlyWritten(t *testing.T) {
	for _, message := range [][]byte{
		frame(true, opText, nil, nil), frame(true, opText, nil, []byte("a")), frame(true, opBinary, nil, []byte("abc")),
		frame(true, opText, nil, make([]byte, 126)), append(frame(true, opText, nil, []byte("ab")), frame(true, opText, nil, []byte("cd"))...),
	} {
		for cut := range len(message) {
			first := true
			tp := tapOver(t, &scripted{write: func(b []byte) (int, error) {
				if first {
					first = false
					return cut, timeoutError{}
				}
				return len(b), nil
			}})
			if n, err := tp.Write(message); n != cut || err == nil {
				t.Fatalf("%d, %v", n, err)
			}
			want := reference(message[:cut])
			if sent, n := tp.conn.messagesSent.Load(), tp.conn.bytesSent.Load(); sent != want.Messages || n != want.Bytes {
				t.Errorf("%d of %d bytes: %d messages of %d bytes, want %d of %d", cut, len(message), sent, n, want.Messages, want.Bytes)
			}
			put(t, tp, message[cut:])
			put(t, tp, message)
			want = reference(slices.Concat(message, message))
			if sent, n := tp.conn.messagesSent.Load(), tp.conn.bytesSent.Load(); sent != want.Messages || n != want.Bytes {
				t.Errorf("%d and the rest of %d bytes: %d messages of %d bytes, want %d of %d", cut, len(message), sent, n, want.Messages, want.Bytes)
			}
		}
	}
}

// TestEmptyWrite: what is no frame is no message.
func TestEmptyWrite(t *testing.T) {
	tp := tapOver(t, &scripted{write: func(b []byte) (int, error) { return len(b), nil }})
	put(t, tp, nil)
	if sent := tp.conn.messagesSent.Load(); sent != 0 {
		t.Errorf("%d messages have been sent", sent)
	}
	put(t, tp, frame(true, opText, nil, []byte("abc")))
	if sent, n := tp.conn.messagesSent.Load(), tp.conn.bytesSent.Load(); sent != 1 || n != 3 {
		t.Errorf("%d messages of %d bytes have been sent", sent, n)
	}
}

// TestLikelyName: a message is called what its content says, whatever the one before was.
func TestLikelyName(t *testing.T) {
	names := newMessageNames([]string{"a", "b"})
	a := names.lookupString("a")
	for given, want := range map[string]string{"a": "a", "b": "b", "c": "_OTHER", "": "_OTHER"} {
		for _, likely := range []*messageName{nil, a, names.other} {
			if got := names.lookup([]byte(given), likely); got.name != want {
				t.Errorf("%q is called %s", given, got.name)
			}
		}
	}
}
