package apmws

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// SendQueue bounds what waits for the peer of a connection after Conn.Send. Where
// any of its fields is set, the connections of the Endpoint have a queue; the zero
// value is none.
type SendQueue struct {
	// Messages is how many messages may wait, that which is being written among
	// them. 0 means 256.
	Messages int

	// Bytes is how many bytes of payload may wait. A message that is larger waits
	// alone. 0 means 1 MiB.
	Bytes int

	// Policy says what is given up when there is no room. 0 means DropNewest.
	Policy SendPolicy
}

// SendPolicy says what becomes of a message for which the queue has no room.
type SendPolicy uint8

// Policies of a full queue.
const (
	// DropNewest gives up the message: Send returns ErrQueueFull.
	DropNewest SendPolicy = iota + 1
	// DropOldest gives up those that have waited longest, and keeps the message;
	// it is the one that is given up where that makes no room, since a message
	// that is being written stays.
	DropOldest
	// Disconnect gives up all that waits, and the peer: Send returns ErrQueueFull,
	// and the connection is closed with 1013 (try again later) and the cause
	// slow_consumer. A message that is being written then has 5 seconds left.
	Disconnect
)

const (
	defaultQueueMessages = 256
	defaultQueueBytes    = 1 << 20
)

// withDefaults fills in what is not set, unless nothing is.
func (q SendQueue) withDefaults() SendQueue {
	if q == (SendQueue{}) {
		return q
	}
	return SendQueue{
		Messages: max(1, cmp.Or(q.Messages, defaultQueueMessages)),
		Bytes:    max(1, cmp.Or(q.Bytes, defaultQueueBytes)),
		Policy:   cmp.Or(q.Policy, DropNewest),
	}
}

var (
	// ErrQueueFull is returned by Conn.Send for a message that is given up, since
	// the queue has no room for it.
	ErrQueueFull = errors.New("apmws: the send queue is full")
	// ErrNoSendQueue is returned by Conn.Send where EndpointOptions.SendQueue is not
	// set, as for connections of Serve. Conn.Write is the way to send then.
	ErrNoSendQueue = errors.New("apmws: the connection has no send queue")
)

// Send puts a message for the peer into the connection's queue, and never waits.
// It is written after those that were sent before; Conn.Write does not wait for
// the queue, and may overtake it. The queue has the data until the message is
// written: it must not be changed any more, but may be sent to any number of
// connections.
//
// Each write is bounded by EndpointOptions.WriteTimeout. A peer that takes nothing
// for so long is given up: the connection is closed with the cause slow_consumer.
// What still waits when a connection ends is given up; Conn.Close, and a handler
// that returns an error made by Close, let it be written first, for up to 5
// seconds. All that is given up is counted in websocket.send_queue.dropped.
//
// Under a message's transaction, of this connection or another, it is a span
// "send <name>" of what Send itself takes: when the message is written, the
// transaction may be over. That is all that ctx is for.
//
// The errors are ErrQueueFull, ErrNoSendQueue, ErrNotServing, or one that says that
// the type is not one of a message.
func (c *Conn) Send(ctx context.Context, typ MessageType, data []byte) error {
	serving := c.currentServing()
	switch {
	case serving == nil:
		return ErrNotServing
	case serving.queue == nil:
		return ErrNoSendQueue
	case !typ.valid():
		return errMessageType
	}
	span := c.startSend(ctx, Message{Type: typ, Data: data})
	err := serving.queue.add(queued{typ: typ, data: data})
	span.End(err)
	return err
}

var errMessageType = errors.New("apmws: a message is of the type text or binary")

// sendQueue holds the messages that wait for a connection, that which is being
// written first. While there are any, a goroutine writes them.
type sendQueue struct {
	serving *servedConn
	limits  *SendQueue
	work    func() // run, made once

	mu      sync.Mutex
	ring    []queued // nil while nothing waits
	one     [1]queued
	first   int // index of the oldest
	n       int
	bytes   int
	added   uint64 // since the beginning
	closed  bool   // nothing is taken any more
	kicked  bool   // the peer is given up
	waiting []queueWaiter
}

// queued is a message in a queue.
type queued struct {
	typ  MessageType
	data []byte
	of   *broadcast // that it is of, and that is told what became of it; there is no data then
}

func (m *queued) size() int {
	if m.of != nil {
		return m.of.size
	}
	return len(m.data)
}

// queueWaiter waits until so many messages are no longer in the queue.
type queueWaiter struct {
	gone uint64
	done chan struct{}
}

func newSendQueue(serving *servedConn, limits *SendQueue) *sendQueue {
	if *limits == (SendQueue{}) {
		return nil
	}
	q := &sendQueue{serving: serving, limits: limits}
	q.work = q.run
	return q
}

// smallRing is the room of a queue in which more than one message waits, from a pool:
// most queues never hold more.
const smallRing = 8

var ringPool = sync.Pool{New: func() any { return new([smallRing]queued) }}

// add puts a message into the queue.
func (q *sendQueue) add(m queued) error {
	q.mu.Lock()
	kicked, idle := q.kicked, q.n == 0
	dropped, err := q.addLocked(m)
	if kicked != q.kicked {
		q.serving.slow("the send queue is full")
		// The goroutine that writes sends the close frame.
		time.AfterFunc(closeTimeout, q.giveUpWrite)
	}
	q.mu.Unlock()
	tellDropped(dropped)
	if idle && err == nil {
		go q.work()
	}
	return err
}

// addLocked returns the broadcasts of what is given up for the message. mu is held.
func (q *sendQueue) addLocked(m queued) (dropped []*broadcast, err error) {
	size := m.size()
	switch {
	case q.kicked:
		q.count(0, 1)
		return nil, ErrQueueFull
	case q.closed:
		return nil, ErrNotServing
	case q.fits(size, q.n, q.bytes):
		q.push(m, size)
		return nil, nil
	}
	switch q.limits.Policy {
	case DropOldest:
		// That which is being written cannot be given up.
		if q.fits(size, 1, q.ring[q.first].size()) {
			for !q.fits(size, q.n, q.bytes) {
				dropped = q.giveUpOldest(dropped)
			}
			q.push(m, size)
			return dropped, nil
		}
	case Disconnect:
		q.closed, q.kicked = true, true
		dropped = q.giveUpWaiting()
	default:
	}
	q.count(0, 1)
	return dropped, ErrQueueFull
}

// fits reports whether there is room beside n messages of so many bytes.
func (q *sendQueue) fits(size, n, bytes int) bool {
	return n == 0 || n < q.limits.Messages && bytes+size <= q.limits.Bytes
}

// push appends a message. mu is held.
func (q *sendQueue) push(m queued, size int) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.n)%len(q.ring)] = m
	q.n++
	q.added++
	q.bytes += size
	q.count(1, 0)
}

// grow makes room. mu is held.
func (q *sendQueue) grow() {
	var larger []queued
	switch q.n {
	case 0:
		larger = q.one[:]
	case 1:
		larger = ringPool.Get().(*[smallRing]queued)[:]
	default:
		larger = make([]queued, 2*q.n)
	}
	n := copy(larger, q.ring[q.first:])
	copy(larger[n:], q.ring[:q.first])
	q.putRing()
	q.ring = larger
}

// putRing lets go of the ring. mu is held.
func (q *sendQueue) putRing() {
	clear(q.ring)
	if len(q.ring) == smallRing {
		ringPool.Put((*[smallRing]queued)(q.ring))
	}
	q.ring, q.first = nil, 0
}

// remove takes the oldest message out. mu is held.
func (q *sendQueue) remove() queued {
	m := q.ring[q.first]
	q.ring[q.first] = queued{}
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	q.bytes -= m.size()
	return m
}

// giveUpOldest takes out the oldest message that is not being written. It appends the
// broadcast that this is of, if any. mu is held.
func (q *sendQueue) giveUpOldest(dropped []*broadcast) []*broadcast {
	next := (q.first + 1) % len(q.ring)
	q.ring[q.first], q.ring[next] = q.ring[next], q.ring[q.first]
	q.count(-1, 1)
	if of := q.remove().of; of != nil {
		dropped = append(dropped, of)
	}
	return dropped
}

// giveUpWaiting takes out all that is not being written. mu is held.
func (q *sendQueue) giveUpWaiting() (dropped []*broadcast) {
	for q.n > 1 {
		dropped = q.giveUpOldest(dropped)
	}
	return dropped
}

// close gives up what waits, when the connection has ended.
func (q *sendQueue) close() {
	if q == nil {
		return
	}
	q.mu.Lock()
	q.closed = true
	dropped := q.giveUpWaiting()
	q.mu.Unlock()
	tellDropped(dropped)
}

// length is how many messages wait.
func (q *sendQueue) length() int {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n
}

// count counts those that wait now, and those that were given up. mu is held, so
// that what waits never seems to be less than nothing.
func (q *sendQueue) count(change, dropped int) {
	c := q.serving.observed
	shard := &c.route.counters.shards[c.shard%counterShards]
	if change != 0 {
		shard.queued.Add(int64(change))
	}
	if dropped != 0 {
		shard.queueDropped.Add(int64(dropped))
	}
}

// tellDropped must be called without mu: a transaction may end by it.
func tellDropped(dropped []*broadcast) {
	for _, b := range dropped {
		b.done(0, ErrQueueFull)
	}
}
