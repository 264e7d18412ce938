package exact

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// client is a peer that does not use a library: it counts what it writes by how it
// has made it, and what it reads by a reader of frames of its own.
type client struct {
	number   int
	route    int
	messages int // to send
	from     int // of the sequence
	book     *book
	fleet    *fleet
	conn     net.Conn

	expected passed // answers
	handled  map[handledKey]uint64

	mu    sync.Mutex
	heard sync.Cond // of mu: an answer has come, or the last one
	got   passed    // by what was read
	over  bool
}

// passed counts what passed in one direction.
type passed struct{ messages, bytes int64 }

// handledKey says under what a message is counted when it has been handled.
type handledKey struct {
	route, name string
	outcome     apmws.Outcome
}

// hangsUp tells which clients end the TCP connection without a close frame.
func (c *client) hangsUp() bool { return c.number%7 == 3 && !c.fleet.polite }

// run says all, and ends the connection.
func (c *client) run(dial func() (net.Conn, error)) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	c.conn = conn
	reader := bufio.NewReaderSize(conn, 16<<10)
	if err := c.shakeHands(reader, ""); err != nil {
		return err
	}
	c.heard.L = &c.mu
	answers := make(chan error, 1)
	go func() {
		err := c.read(reader)
		c.hear(passed{}, true)
		answers <- err
	}()
	err = c.write()
	if err != nil {
		conn.Close() // nothing more will come
	}
	if err := errors.Join(err, <-answers); err != nil {
		return err
	}
	if c.got.messages != c.expected.messages || !compresses(c.number) && c.got.bytes != c.expected.bytes {
		return fmt.Errorf("client %d has got %+v, asked for %+v", c.number, c.got, c.expected)
	}
	return nil
}

// shakeHands upgrades; refuse asks to be refused.
func (c *client) shakeHands(reader *bufio.Reader, refuse string) error {
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: exact.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", routes[c.route])
	if compresses(c.number) {
		head.WriteString("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
	}
	if refuse != "" {
		head.WriteString("Refuse: " + refuse + "\r\n")
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(c.conn, head.String()); err != nil {
		return err
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	want := http.StatusSwitchingProtocols
	if refuse != "" {
		want = http.StatusForbidden
	}
	if answer.StatusCode != want {
		return fmt.Errorf("the handshake was answered with %s, want %d", answer.Status, want)
	}
	if agreed := answer.Header.Get("Sec-Websocket-Extensions") != ""; refuse == "" && agreed != compresses(c.number) {
		return fmt.Errorf("compression agreed: %v", agreed)
	}
	return answer.Body.Close()
}

// hear notes what has come.
func (c *client) hear(came passed, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.messages += came.messages
	c.got.bytes += came.bytes
	c.over = over
	if over || c.got.messages >= c.expected.messages {
		c.heard.Signal()
	}
}

// say writes a piece when it is the client's turn, and waits for the answers. What is
// being sent is counted before it is, so that nobody can have received more.
func (c *client) say(piece []byte, of, answers passed) error {
	c.fleet.turns <- struct{}{}
	defer func() { <-c.fleet.turns }()
	c.mu.Lock()
	c.expected.messages += answers.messages
	c.expected.bytes += answers.bytes
	c.mu.Unlock()
	sent := &c.fleet.sent[c.route]
	sent.messages.Add(of.messages)
	sent.bytes.Add(of.bytes)
	if _, err := c.conn.Write(piece); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && c.got.messages < c.expected.messages {
		c.heard.Wait()
	}
	return nil
}

// write sends the client's part of the sequence, in large pieces.
func (c *client) write() error {
	c.handled = make(map[handledKey]uint64)
	const pieceSize = 32 << 10
	piece := make([]byte, 0, 4*pieceSize)
	var of, answers passed
	for i := range c.messages {
		n := noteAt(c.number, c.from+i)
		f := c.book.frames(n)
		piece = append(piece, f.wire...)
		of.messages++
		of.bytes += f.data
		answers.messages += int64(n.replies)
		answers.bytes += int64(n.replies) * int64(n.size)
		c.handled[handledKey{routes[c.route], n.name(), n.outcome()}]++
		if len(piece) >= pieceSize {
			if err := c.say(piece, of, answers); err != nil {
				return err
			}
			piece, of, answers = piece[:0], passed{}, passed{}
		}
	}
	if !c.hangsUp() {
		piece = appendFrame(piece, bitFinal|opClose, []byte{1000 >> 8, 1000 & 0xff, 'b', 'y', 'e'})
	}
	if err := c.say(piece, of, answers); err != nil || !c.hangsUp() {
		return err
	}
	// The peer has more to say, and must not find the connection reset.
	return c.conn.(interface{ CloseWrite() error }).CloseWrite()
}

// read counts what comes until the peer ends the connection.
func (c *client) read(r *bufio.Reader) error {
	for closed := false; ; {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) && closed != c.hangsUp() {
				return nil
			}
			return fmt.Errorf("client %d, after a close frame: %v: %w", c.number, closed, err)
		}
		length := int64(head[1])
		if extended := map[byte]int{126: 2, 127: 8}[head[1]]; extended > 0 {
			var long [8]byte
			if _, err := io.ReadFull(r, long[8-extended:]); err != nil {
				return err
			}
			length = int64(binary.BigEndian.Uint64(long[:]))
		}
		if _, err := io.CopyN(io.Discard, r, length); err != nil {
			return err
		}
		switch first := head[0]; first & 0xf {
		case opClose:
			closed = true
		case opPong:
		case opText, opBinary, opContinuation:
			came := passed{bytes: length}
			if first&bitFinal != 0 {
				came.messages = 1
			}
			c.hear(came, false)
		default:
			return fmt.Errorf("client %d got a frame %#x", c.number, first)
		}
	}
}

// fleet is the clients and what they have done.
type fleet struct {
	book book
	dial func() (net.Conn, error)
	sent []counted // by route; grows before the peer can have received it
	// turns bounds the clients that have something to say at the same time. All have
	// their connections open; with more of them a busy machine keeps goroutines waiting
	// for seconds, and the agent takes an exporter on one of them for blocked.
	turns  chan struct{}
	polite bool // all end with a close frame

	connections, messages int

	mu       sync.Mutex
	got      []passed // by route, of clients that have ended
	opened   []int64
	hungUp   []int64
	refused  []int64
	handled  map[handledKey]uint64
	problems []error
}

type counted struct{ messages, bytes atomic.Int64 }

func newFleet(dial func() (net.Conn, error)) *fleet {
	n := len(routes)
	return &fleet{
		dial: dial, sent: make([]counted, n), turns: make(chan struct{}, 8), got: make([]passed, n), opened: make([]int64, n), hungUp: make([]int64, n),
		refused: make([]int64, n), handled: make(map[handledKey]uint64),
	}
}

// tcp dials an address.
func tcp(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", address, time.Minute) }
}

// run lets so many connections say so many messages altogether, all at the same
// time, and waits for them.
func (f *fleet) run(t testing.TB, connections, messages int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range connections {
		c := &client{
			number: f.connections + i, route: i % len(routes), messages: messages / connections,
			from: f.messages, book: &f.book, fleet: f,
		}
		if i < messages%connections {
			c.messages++
		}
		all.Go(func() { f.ended(c, c.run(f.dial)) })
	}
	all.Wait()
	f.connections += connections
	f.messages += messages
	for _, problem := range f.problems {
		t.Fatal(problem)
	}
}

func (f *fleet) ended(c *client, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.problems = append(f.problems, err)
	}
	f.opened[c.route]++
	if c.hangsUp() {
		f.hungUp[c.route]++
	}
	f.got[c.route].messages += c.got.messages
	f.got[c.route].bytes += c.got.bytes
	for key, n := range c.handled {
		f.handled[key] += n
	}
}

// refuse makes so many handshakes on each route that are refused.
func (f *fleet) refuse(t testing.TB, times int) {
	t.Helper()
	for range times {
		for route := range routes {
			conn, err := f.dial()
			if err != nil {
				t.Fatal(err)
			}
			c := &client{route: route, conn: conn}
			if err := c.shakeHands(bufio.NewReader(conn), "yes"); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			f.refused[route]++
		}
	}
}

// total is the number of messages that were handled, by what the clients know.
func (f *fleet) total() (handled, failed uint64) {
	for key, n := range f.handled {
		handled += n
		if key.outcome == apmws.OutcomeFailure {
			failed += n
		}
	}
	return handled, failed
}

// compare returns in what the snapshot differs from what the clients have done.
func (f *fleet) compare(stats *apmws.Stats) (problems []string) {
	wrong := func(route, what string, got, want any) {
		if got != want {
			problems = append(problems, fmt.Sprintf("%s: %s: %v, want %v", route, what, got, want))
		}
	}
	wrong("", "routes", len(stats.Routes), len(routes))
	handled := make(map[handledKey]uint64)
	for i := range stats.Routes {
		r := &stats.Routes[i]
		for _, m := range r.Messages {
			handled[handledKey{r.Route, m.Name, m.Outcome}] = m.Duration.Count
		}
		n := -1
		for j, name := range routes {
			if name == r.Route {
				n = j
			}
		}
		if n < 0 {
			wrong(r.Route, "the route", "known", "not there")
			continue
		}
		wrong(r.Route, "received", passed{r.MessagesReceived, r.BytesReceived}, passed{f.sent[n].messages.Load(), f.sent[n].bytes.Load()})
		wrong(r.Route, "sent", passed{r.MessagesSent, r.BytesSent}, f.got[n])
		wrong(r.Route, "opened", r.ConnectionsOpened, f.opened[n])
		wrong(r.Route, "active", r.ConnectionsActive, int64(0))
		wrong(r.Route, "connection durations", r.ConnectionDuration.Count, uint64(f.opened[n]))
		closed := make(map[apmws.CloseCause]int64)
		for _, c := range r.Closed {
			closed[c.Cause] = c.Count
		}
		wrong(r.Route, "closed by a frame", closed[apmws.CauseNormal], f.opened[n]-f.hungUp[n])
		wrong(r.Route, "hung up", closed[apmws.CauseReadError], f.hungUp[n])
		var refused int64
		for _, x := range r.Refused {
			refused += x.Count
			wrong(r.Route, "status of a refusal", x.Status, http.StatusForbidden)
		}
		wrong(r.Route, "refused", refused, f.refused[n])
	}
	for key, n := range handled {
		wrong(key.route, key.name+" "+string(key.outcome), n, f.handled[key])
	}
	for key, n := range f.handled {
		if _, ok := handled[key]; !ok {
			wrong(key.route, key.name+" "+string(key.outcome), uint64(0), n)
		}
	}
	return problems
}
