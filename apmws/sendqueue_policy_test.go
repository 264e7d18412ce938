package apmws

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestQueueDropsNewest: what Send refuses is dropped, all else is written, in order.
func TestQueueDropsNewest(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 4}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	var taken []int
	for i := range many {
		switch err := c.Send(t.Context(), BinaryMessage, numbered(i, large)); {
		case err == nil:
			taken = append(taken, i)
		case !errors.Is(err, ErrQueueFull):
			t.Fatal(err)
		}
		if n := c.info().MessagesQueued; n > 4 {
			t.Fatalf("%d messages wait", n)
		}
	}
	if dropped := s.stats().SendQueueDropped; dropped == 0 || int(dropped) != many-len(taken) {
		t.Errorf("%d dropped, %d taken of %d", dropped, len(taken), many)
	}
	got, err := numbers(t, conn, taken[len(taken)-1])
	if err != nil || !slices.Equal(got, taken) {
		t.Errorf("read %v, %v; taken were %v", got, err, taken)
	}
	s.idle(t)
	if sent := s.stats().MessagesSent; int(sent) != len(taken) {
		t.Errorf("%d counted as sent, %d were", sent, len(taken))
	}
	leave(t, conn)
}

// TestQueueDropsOldest: the newest always comes through.
func TestQueueDropsOldest(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 4, Policy: DropOldest}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	for i := range many {
		if err := c.Send(t.Context(), BinaryMessage, numbered(i, large)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := numbers(t, conn, many-1)
	if err != nil {
		t.Fatal(err)
	}
	s.idle(t)
	if dropped := int(s.stats().SendQueueDropped); dropped == 0 || dropped+len(got) != many {
		t.Errorf("%d read and %d dropped of %d", len(got), dropped, many)
	}
	if newest := got[len(got)-3:]; !slices.Equal(newest, []int{many - 3, many - 2, many - 1}) {
		t.Errorf("the last are %v", newest)
	}
	leave(t, conn)
}

// TestQueueBytes: the bound of bytes holds, and a larger message waits alone.
func TestQueueBytes(t *testing.T) {
	for _, policy := range []SendPolicy{DropNewest, DropOldest} {
		limits := SendQueue{Bytes: 100, Policy: policy}.withDefaults()
		q := &sendQueue{serving: &servedConn{observed: New(Options{}).connect(New(Options{}).route("/ws"), handshakeReq())}, limits: &limits}
		add := func(size int) error {
			_, err := q.addLocked(queued{data: make([]byte, size)})
			return err
		}
		for _, step := range []struct {
			size, n, bytes int
			full           bool
		}{
			{1000, 1, 1000, false}, {1, 1, 1000, true}, // alone
		} {
			if err := add(step.size); errors.Is(err, ErrQueueFull) != step.full || q.n != step.n || q.bytes != step.bytes {
				t.Errorf("%d: %d bytes: %v, %d messages, %d bytes", policy, step.size, err, q.n, q.bytes)
			}
		}
		q.remove()
		for range 10 { // the first is being written
			if err := add(10); err != nil {
				t.Fatal(err)
			}
		}
		wantN, wantBytes := 10, 100
		if policy == DropOldest {
			wantN, wantBytes = 7, 95 // four of the ten go for one of 35
		}
		if err := add(35); errors.Is(err, ErrQueueFull) != (policy == DropNewest) || q.n != wantN || q.bytes != wantBytes {
			t.Errorf("%d: %v, %d messages, %d bytes", policy, err, q.n, q.bytes)
		}
		if err := add(91); !errors.Is(err, ErrQueueFull) || q.n != wantN || q.bytes != wantBytes {
			t.Errorf("%d: one that has no room beside the one that is written: %v, %d messages, %d bytes", policy, err, q.n, q.bytes)
		}
	}
}

// TestQueueDisconnects: a peer whose queue is full is told so, where it reads on.
func TestQueueDisconnects(t *testing.T) {
	s := serveQueue(t, EndpointOptions{SendQueue: SendQueue{Messages: 4, Policy: Disconnect}})
	conn := dial(t, s.url, nil)
	c := receive(t, s.conns)
	sent := 0
	for err := error(nil); err == nil; sent++ {
		err = c.Send(t.Context(), BinaryMessage, numbered(sent, large))
		if err != nil && !errors.Is(err, ErrQueueFull) {
			t.Fatal(err)
		}
	}
	if err := c.Send(t.Context(), TextMessage, []byte("more")); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Send after that: %v", err)
	}
	sent++
	got, err := numbers(t, conn, -1)
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.CloseTryAgainLater || closed.Text != "slow consumer" {
		t.Errorf("the connection ended with %v", err)
	}
	end := s.rec.wait(t, "disconnect", 1)[0]
	if end.result != string(CauseSlowConsumer) || end.outcome != OutcomeFailure || end.failure == nil ||
		end.failure.Type != "slow_consumer" || end.attrs["websocket.close.code"] != "1013" ||
		end.attrs["websocket.close.initiator"] != "server" {
		t.Errorf("DISCONNECT is %+v, with %+v", end, end.failure)
	}
	s.idle(t)
	if dropped := int(s.stats().SendQueueDropped); dropped+len(got) != sent {
		t.Errorf("%d read and %d dropped of %d", len(got), dropped, sent)
	}
	if err := c.Send(t.Context(), TextMessage, []byte("more")); !errors.Is(err, ErrNotServing) {
		t.Errorf("Send after the end: %v", err)
	}
}

// TestQueueOfSilentPeer: one that reads nothing is given up after a while.
func TestQueueOfSilentPeer(t *testing.T) {
	t.Parallel()
	s := serveQueue(t, EndpointOptions{WriteTimeout: 50 * time.Millisecond, SendQueue: SendQueue{Messages: many, Bytes: 1 << 30}})
	dial(t, s.url, nil) // and never reads
	c := receive(t, s.conns)
	sent := 0
	for err := error(nil); err == nil && sent < many; sent++ {
		if err = c.Send(t.Context(), BinaryMessage, numbered(sent, large)); err != nil {
			sent-- // it was too late already
		}
	}
	s.endsAsSlowConsumer(t, sent)
}

// TestQueueDisconnectsSilentPeer: one whose queue is full, and that takes nothing
// of what is being written either.
func TestQueueDisconnectsSilentPeer(t *testing.T) {
	t.Parallel()
	s := serveQueue(t, EndpointOptions{WriteTimeout: -1, SendQueue: SendQueue{Messages: 2, Policy: Disconnect}})
	dial(t, s.url, nil) // and never reads
	c := receive(t, s.conns)
	written := make(chan error, 1)
	go func() { written <- c.Write(t.Context(), BinaryMessage, make([]byte, many*large)) }()
	eventually(t, "a write", func() bool { return c.currentServing().turn.count.Load() == 1 })
	for i, full := range []bool{false, false, true} {
		if err := c.Send(t.Context(), BinaryMessage, numbered(i, large)); errors.Is(err, ErrQueueFull) != full {
			t.Errorf("Send: %v", err)
		}
	}
	if err := receive(t, written); err == nil {
		t.Error("the peer has taken it all")
	}
	s.endsAsSlowConsumer(t, 3)
}

// endsAsSlowConsumer: without a close frame, and with each message accounted for.
func (s *queueServer) endsAsSlowConsumer(t *testing.T, sent int) {
	t.Helper()
	end := s.rec.wait(t, "disconnect", 1)[0]
	if end.result != string(CauseSlowConsumer) || end.attrs["websocket.close.code"] != "none" {
		t.Errorf("the cause is %s, %v", end.result, end.attrs)
	}
	eventually(t, "an empty queue", func() bool { return s.stats().SendQueueMessages == 0 })
	if now := s.stats(); int(now.MessagesSent+now.SendQueueDropped) != sent {
		t.Errorf("%d written and %d dropped of %d", now.MessagesSent, now.SendQueueDropped, sent)
	}
}

// TestWriteToSlowConsumer: where there is a queue, a peer that does not take a
// Write in time is a slow consumer, unless the caller had less patience.
func TestWriteToSlowConsumer(t *testing.T) {
	t.Parallel()
	for cause, patience := range map[CloseCause]time.Duration{CauseSlowConsumer: time.Hour, CauseWriteError: 20 * time.Millisecond} {
		s := serveQueue(t, EndpointOptions{WriteTimeout: 500 * time.Millisecond, SendQueue: SendQueue{Messages: 1}})
		dial(t, s.url, nil)
		c := receive(t, s.conns)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var err error
		for err == nil || errors.Is(err, context.DeadlineExceeded) { // of which nothing has been written
			if patience < time.Second {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), patience)
			}
			err = c.Write(ctx, BinaryMessage, make([]byte, 1<<20))
		}
		cancel()
		if end := s.rec.wait(t, "disconnect", 1)[0]; end.result != string(cause) {
			t.Errorf("the cause is %s, want %s", end.result, cause)
		}
	}
}
