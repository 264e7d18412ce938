package apmws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// scripted is a connection whose calls are scripted.

type scripted struct {
	net.Conn
	read  func([]byte) (int, error)
	write func([]byte) (int, error)
}

func (s *scripted) Read(b []byte) (int, error) { return s.read(b) }

func (s *scripted) Write(b []byte) (int, error) { return s.write(b) }

func (s *scripted) Close() error { return nil }

func (s *scripted) SetDeadline(time.Time) error { return nil }

func (s *scripted) SetReadDeadline(time.Time) error { return nil }

func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

func tapOf(s *scripted, rec Exporter) *tap {
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), handshakeReq())
	t := &tap{Conn: s, conn: c, in: frameParser{fromPeer: true}}
	t.open()
	c.accepted()
	return t
}

type timeoutError struct{}

func (timeoutError) Error() string { return "timeout" }

func (timeoutError) Timeout() bool { return true }

func (timeoutError) Temporary() bool { return true }

// TestCloseWithSilentPeer: a peer that does not answer the close frame does not hold
// Serve.
func TestCloseWithSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		conn := servePipes(t, New(Options{}).Handler("/ws", serving(func(ctx context.Context, _ Message) error {
			return FromContext(ctx).Close(1001, "bye")
		}, result)))()
		br := upgradePipe(t, conn)
		begin := time.Now()
		if _, err := conn.Write(frame(true, opText, anyMask, []byte("x"))); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, br) }() // the close frame is never answered
		if err := receive(t, result); err == nil {
			t.Error("Serve returned no error")
		}
		if held := time.Since(begin); held != closeTimeout {
			t.Errorf("the peer has held Serve for %s", held)
		}
	})
}

// TestSecondCloseFrameFails: the first one was sent, and is the cause.
func TestSecondCloseFrameFails(t *testing.T) {
	rec := newRecorder()
	ok := true
	tp := tapOf(&scripted{write: func(b []byte) (int, error) {
		if ok {
			return len(b), nil
		}
		return 0, errors.New("broken pipe")
	}}, rec)
	closeFrame := []byte{0x88, 2, 0x03, 0xE9} // 1001
	_, _ = tp.Write(closeFrame)
	ok = false
	_, _ = tp.Write(closeFrame)
	tp.Close()
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "going_away" {
		t.Errorf("1001 was sent; cause %s %s, code %v, initiator %v", e.result, e.outcome, e.attrs["websocket.close.code"], e.attrs["websocket.close.initiator"])
	}
}

// TestHeartbeatThenWriteTimeout: the farewell that a vanished peer does not take is no
// cause.
func TestHeartbeatThenWriteTimeout(t *testing.T) {
	rec := newRecorder()
	ok := true
	tp := tapOf(&scripted{
		read: func([]byte) (int, error) { return 0, os.ErrDeadlineExceeded },
		write: func(b []byte) (int, error) {
			if ok {
				return len(b), nil
			}
			return 0, os.ErrDeadlineExceeded
		},
	}, rec)
	_, _ = tp.Write([]byte{0x89, 0}) // ping
	ok = false                       // the phone is gone, the send buffer full
	_, _ = tp.Read(make([]byte, 10))
	_, _ = tp.Write([]byte{0x88, 2, 0x03, 0xE9}) // the handler's farewell
	tp.Close()
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "heartbeat_timeout" {
		t.Errorf("cause %s, outcome %s, failure %v", e.result, e.outcome, e.failure)
	}
}

// TestPanicBeforeAnswer: a panic between hijack and answer is recorded.
func TestPanicBeforeAnswer(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		panic("boom")
	})))
	_, _, _ = websocket.DefaultDialer.Dial(url, nil)
	if e := rec.wait(t, "opened", 1)[0]; e.failure == nil {
		t.Errorf("the panic is recorded nowhere: %+v", e)
	}
}

// TestLenientLibrary: a library that accepts what it should not has the last word.
func TestLenientLibrary(t *testing.T) {
	rec := newRecorder()
	frames := [][]byte{{0x81, 1, 'x'} /* unmasked */, {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8} /* 1000 */}
	tp := tapOf(&scripted{read: func(b []byte) (int, error) {
		if len(frames) == 0 {
			return 0, io.EOF
		}
		n := copy(b, frames[0])
		frames = frames[1:]
		return n, nil
	}, write: func(b []byte) (int, error) { return len(b), nil }}, rec)
	_, _ = tp.Read(make([]byte, 10))
	_, _ = tp.Write([]byte{0x81, 1, 'y'}) // it was accepted and answered
	_, _ = tp.Read(make([]byte, 10))
	tp.Close()
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "normal" {
		t.Errorf("cause %s code %v initiator %v", e.result, e.attrs["websocket.close.code"], e.attrs["websocket.close.initiator"])
	}
}

// TestPanicAfterLongAnswer: an answer that net/http has flushed by itself was sent.
func TestPanicAfterLongAnswer(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<10))
		panic("boom")
	})))
	_, resp, _ := websocket.DefaultDialer.Dial(url, nil)
	e := rec.wait(t, "opened", 1)[0]
	if resp != nil && resp.StatusCode != e.status {
		t.Errorf("the client saw %d, CONNECT says %d", resp.StatusCode, e.status)
	}
}

// TestPanicAfterClose: a panic after the end was reported is in the log at least.
func TestPanicAfterClose(t *testing.T) {
	rec := newRecorder()
	var out lockedBuffer
	logger := zerolog.New(&out)
	agent := New(Options{Exporters: []Exporter{rec}, Logger: &logger})
	done := make(chan struct{})
	h := agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		_, _, _ = conn.ReadMessage()
		conn.Close()
		panic("while saving the session")
	}))
	url := serveWS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	dial(t, url, nil).Close()
	<-done
	for _, e := range append(rec.all("disconnect"), rec.all("opened")...) {
		if e.failure != nil {
			return
		}
	}
	if !strings.Contains(out.String(), "saving the session") {
		t.Error("the panic is in no event and in no log line (Handler: a panic of next is recorded)")
	}
}

// TestPostponedEndWithCallsUnderWay: the end that waited for a panic counts them too.
func TestPostponedEndWithCallsUnderWay(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	inWrite, goOn := make(chan struct{}), make(chan struct{})
	sc := &scripted{write: func(b []byte) (int, error) { close(inWrite); <-goOn; return len(b), nil }, read: func([]byte) (int, error) { return 0, io.EOF }}
	c := agent.connect(agent.route("/ws"), handshakeReq())
	tp := &tap{Conn: sc, conn: c, in: frameParser{fromPeer: true}}
	tp.open()
	c.accepted()
	wrote := make(chan struct{})
	go func() { _, _ = tp.Write([]byte{0x81, 1, 'y'}); close(wrote) }()
	<-inWrite
	tp.closing.Store(true)
	c.mu.Lock()
	c.postponed = &postponedEnd{tap: tp, timer: time.AfterFunc(time.Hour, func() {})}
	c.mu.Unlock()
	c.handlerReturned(&responseRecorder{hijacked: true}, true, panicFailure("boom", nil))
	close(goOn)
	<-wrote
	e := rec.wait(t, "disconnect", 1)[0]
	if e.attrs["websocket.messages.sent"] != int64(1) {
		t.Errorf("DISCONNECT counts %v sent, %d were", e.attrs["websocket.messages.sent"], c.messagesSent.Load())
	}
}

// TestReadTimeoutThenWriteFails: likewise without a ping.
func TestReadTimeoutThenWriteFails(t *testing.T) {
	rec := newRecorder()
	ok := true
	tp := tapOf(&scripted{
		read: func([]byte) (int, error) { return 0, os.ErrDeadlineExceeded },
		write: func(b []byte) (int, error) {
			if ok {
				return len(b), nil
			}
			return 0, errors.New("broken pipe")
		},
	}, rec)
	ok = false
	_, _ = tp.Read(make([]byte, 10))             // idle timeout: the peer has vanished
	_, _ = tp.Write([]byte{0x88, 2, 0x03, 0xE9}) // farewell fails
	tp.Close()
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "read_error" {
		t.Errorf("cause %s, outcome %s", e.result, e.outcome)
	}
}

// TestForeignTimeout: a wrapped connection's deadline is any error with Timeout.
func TestForeignTimeout(t *testing.T) {
	rec := newRecorder()
	tp := tapOf(&scripted{
		read:  func([]byte) (int, error) { return 0, timeoutError{} },
		write: func(b []byte) (int, error) { return len(b), nil },
	}, rec)
	_, _ = tp.Write([]byte{0x89, 0}) // ping
	_, _ = tp.Read(make([]byte, 10))
	tp.Close()
	if e := rec.wait(t, "disconnect", 1)[0]; e.result != "heartbeat_timeout" {
		t.Errorf("cause %s, outcome %s", e.result, e.outcome)
	}
}
