package apmws

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"
)

// TestGoodbyeBetweenMessages: a message that the program begins when its connection is
// already being closed is whole before the close frame goes out.
func TestGoodbyeBetweenMessages(t *testing.T) {
	begun := frame(false, opText, nil, []byte("hel"))
	whole := slices.Concat(begun, frame(true, opContinuation, nil, []byte("lo")))
	for name, n := range map[string]int{"in a header": 1, "in a frame": len(begun) - 1, "in a message": len(begun)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wire []byte
				tp := tapOver(t, &scripted{write: func(b []byte) (int, error) {
					wire = append(wire, b...)
					return len(b), nil
				}})
				r := &retirement{
					code: websocket.CloseGoingAway, cause: CauseMaxAge, began: monotonic(), nudged: make(chan struct{}, 1),
					decided: make(chan struct{}), revoked: make(chan struct{}), ended: make(chan struct{}),
				}
				close(r.decided)
				r.ready.Store(true)
				tp.conn.retiring.Store(r)
				put(t, tp, whole[:n])
				said := make(chan bool)
				go func() { said <- tp.sayGoodbye(r) }()
				synctest.Wait()
				if !bytes.Equal(wire, whole[:n]) {
					t.Fatalf("%x was written behind a part of a message", wire[n:])
				}
				put(t, tp, whole[n:])
				if want := slices.Concat(whole, closeFrame(r.code, "", false)); !<-said || !bytes.Equal(wire, want) {
					t.Errorf("%x was written, want %x", wire, want)
				}
			})
		})
	}
}
