package apmws

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gorilla/websocket"
)

// run writes messages until none is left.
func (q *sendQueue) run() {
	for q.writeFirst() {
	}
}

// writeFirst writes the oldest message. It reports whether there is another one.
func (q *sendQueue) writeFirst() (more bool) {
	q.mu.Lock()
	m := q.ring[q.first]
	q.mu.Unlock()
	took, err := q.serving.writeQueued(m)

	q.mu.Lock()
	q.remove()
	if err != nil {
		q.count(-1, 1)
	} else {
		q.count(-1, 0)
	}
	if more = q.n > 0; !more {
		q.putRing()
	}
	kicked := q.kicked
	q.wake()
	q.mu.Unlock()
	m.of.done(took, err)
	if kicked {
		q.serving.sayGoodbye()
	}
	return more
}

// wake tells those who have waited for what is gone. mu is held.
func (q *sendQueue) wake() {
	gone := q.added - uint64(q.n)
	left := q.waiting[:0]
	for _, w := range q.waiting {
		if w.gone <= gone {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	if q.waiting = left; len(left) == 0 {
		q.waiting = nil
	}
}

// flushSends waits until what waits in the send queue now has been written or
// given up, or returns ctx's error. It returns at once where there is no queue.
func (c *Conn) flushSends(ctx context.Context) error {
	serving := c.currentServing()
	if serving == nil || serving.queue == nil {
		return nil
	}
	q := serving.queue
	q.mu.Lock()
	if q.n == 0 {
		q.mu.Unlock()
		return nil
	}
	w := queueWaiter{gone: q.added, done: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flushBriefly is flushSends for as long as a close frame may take.
func (c *Conn) flushBriefly() {
	if c.queueLength() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.flushSends(ctx) // what is left is given up
}

// queueLength is how many messages wait in the send queue.
func (c *Conn) queueLength() int {
	if serving := c.currentServing(); serving != nil {
		return serving.queue.length()
	}
	return 0
}

// writeQueued writes a message of the queue. A panic, as of gorilla where the
// application writes as well, ends the connection, and not the program.
func (s *servedConn) writeQueued(m queued) (took time.Duration, err error) {
	_, _ = s.turn.take(context.Background(), 0) // whoever has it is bounded, or ends with the connection
	defer func() {
		s.turn.give()
		if p := recover(); p != nil {
			err = fmt.Errorf("apmws: a write panicked: %v", p)
			s.observed.failed(CausePanic, panicFailure(p, debug.Stack()))
			s.conn.Close()
		}
	}()
	begin := monotonic()
	err = s.put(&m, s.latest(begin), true)
	return monotonic() - begin, err
}

// slow notes that the peer is given up for being slow.
func (s *servedConn) slow(why string) {
	s.observed.failed(CauseSlowConsumer, &Failure{Message: "slow consumer: " + why, Type: string(CauseSlowConsumer)})
}

// giveUpWrite closes the connection of a peer that was given up and still takes
// nothing of the message that is being written.
func (q *sendQueue) giveUpWrite() {
	if q.length() > 0 {
		q.serving.conn.Close()
	}
}

// sayGoodbye closes the connection of a peer that was given up.
func (s *servedConn) sayGoodbye() {
	if s.closeWith(websocket.CloseTryAgainLater, "slow consumer") != nil {
		s.conn.Close()
	}
}
