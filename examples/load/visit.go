package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

const (
	route      = "chat"
	maxMessage = 256 << 10        // bytes of a message from the chat
	goodbye    = time.Second      // for the answer to a close frame
	frozenFor  = 90 * time.Second // longer than the chat waits for a pong
	slowBuffer = 4 << 10          // bytes that the system takes for one who does not read
	slowPause  = 2 * time.Second  // between two messages that a slow one reads
)

// visit is the time from a person's coming to its going. It is one connection, and
// the next whenever that is lost: the Dialer sees to it.
type visit struct {
	person *person
	manner manner
	dialer *apmws.Dialer
	echoes echoes

	stop  <-chan struct{}      // closed when there is no more time
	over  chan struct{}        // closed when Run has returned
	err   error                // of Run; after over
	parts chan struct{}        // closed when the person is about to go
	drops atomic.Bool          // it goes without a goodbye
	last  atomic.Pointer[link] // that the chat has accepted
	open  atomic.Bool          // the chat has accepted, since the Dialer has begun to connect

	mu     sync.Mutex
	talk   talk
	lostAt time.Time // zero: nothing is lost
}

// link is one connection.
type link struct {
	conn   *apmws.Conn
	closed chan struct{} // when its last message has been taken
}

type linkKey struct{}

func newVisit(p *person, m manner) *visit {
	v := &visit{
		person: p, manner: m, over: make(chan struct{}), parts: make(chan struct{}),
		talk: talk{rng: p.rng, rooms: p.f.rooms, room: p.f.rooms[p.rng.IntN(len(p.f.rooms))]},
	}
	receive := 0
	if m.quiet() {
		receive = slowBuffer
	}
	v.dialer = p.f.agent.Dialer(route, p.f.chat.socket(), apmws.DialerOptions{
		Dialer: websocket.Dialer{
			WriteBufferPool: &p.f.writeBuffers,
			NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return p.reach(ctx, network, receive)
			},
		},
		Token:      p.credentials,
		Connect:    v.enter,
		Message:    v.hear,
		Close:      v.closed,
		State:      v.state,
		FirstDelay: p.f.cfg.firstDelay,
		MaxDelay:   p.f.cfg.maxDelay,
		ReadLimit:  maxMessage,
	})
	return v
}

// run stays until ctx ends, the fleet wants the connection replaced, or the chat
// wants none of this person. All that it started has ended when it returns.
func (v *visit) run(ctx context.Context) {
	v.stop = ctx.Done()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(v.over)
		v.err = v.dialer.Run(ctx)
	}()
	v.speak(ctx)
	cancel()
	<-v.over
	for range v.echoes.missing() {
		v.person.f.counts.add(unechoed)
	}
	if v.turnedAway() {
		v.person.f.counts.add(hopeless)
	}
}

// turnedAway reports, after run, whether the chat has made clear that there is no use
// in trying on.
func (v *visit) turnedAway() bool {
	var gaveUp *apmws.GaveUpError
	return errors.As(v.err, &gaveUp)
}

// speak sends what there is to say, and takes leave.
func (v *visit) speak(ctx context.Context) {
	next := time.NewTimer(v.pause())
	defer next.Stop()
	if v.manner.quiet() {
		next.Stop()
	}
	var frozen <-chan time.Time
	if v.manner == freezes {
		timer := time.NewTimer(frozenFor)
		defer timer.Stop()
		frozen = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			close(v.parts)
			return
		case <-v.over:
			return
		case <-v.person.f.replace:
			v.part(v.manner == vanishes || v.manner == freezes)
			return
		case <-frozen:
			v.part(true)
			return
		case <-next.C:
			v.utter(ctx)
			next.Reset(v.pause())
		}
	}
}

// pause returns the time to the next message: those of independent people, at
// the rate on average.
func (v *visit) pause() time.Duration {
	seconds := min(v.person.rng.ExpFloat64(), 5) / v.person.f.cfg.rate
	return time.Duration(seconds * float64(time.Second))
}

// utter sends the next message, if there is a connection.
func (v *visit) utter(ctx context.Context) {
	conn, err := v.dialer.Conn()
	if err != nil {
		return // it is on its way back, and has nothing to say meanwhile
	}
	v.mu.Lock()
	u, seq := v.talk.next(), v.talk.seq
	v.mu.Unlock()
	counts := &v.person.f.counts
	if u.echoes {
		counts.add(asked)
		if !v.echoes.expect(seq, time.Now()) {
			counts.add(unechoed)
		}
	}
	if conn.Write(ctx, apmws.TextMessage, u.raw) != nil {
		return // the connection has ended, which the Dialer sees, too
	}
	counts.add(sent)
	if u.unknown {
		counts.add(unknown)
	}
}

// part ends the connection: with a close frame, the answer to which is waited for a
// little, or without a word.
func (v *visit) part(wordless bool) {
	v.drops.Store(wordless)
	close(v.parts)
	last := v.last.Load()
	if last == nil {
		return
	}
	if wordless {
		if ws := last.conn.WebSocket(); ws != nil {
			ws.Close()
		}
		return
	}
	if last.conn.Close(websocket.CloseNormalClosure, "") != nil {
		return // it has ended
	}
	timer := time.NewTimer(goodbye)
	defer timer.Stop()
	select {
	case <-last.closed:
	case <-timer.C:
	}
}

// enter is the Connect hook: it goes to the room, and to the one that it has been in
// when the connection was lost.
func (v *visit) enter(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
	l := &link{conn, make(chan struct{})}
	v.person.f.counts.add(opened)
	v.open.Store(true)
	v.mu.Lock()
	hello := v.talk.enter()
	v.mu.Unlock()
	err := conn.Write(ctx, apmws.TextMessage, hello.raw)
	if err != nil {
		v.person.f.counts.add(v.end())
		return ctx, err
	}
	v.person.f.counts.add(sent)
	v.last.Store(l)
	v.back(time.Now())
	if v.manner == freezes {
		<-v.parts // until then nothing is read
	}
	return context.WithValue(ctx, linkKey{}, l), nil
}

// back notes that there is a connection again.
func (v *visit) back(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.lostAt.IsZero() {
		v.person.f.backAfter.observe(now.Sub(v.lostAt))
		v.lostAt = time.Time{}
	}
}

// closed is the Close hook.
func (v *visit) closed(ctx context.Context, conn *apmws.Conn, _ error) {
	l := ctx.Value(linkKey{}).(*link)
	how := v.end()
	if v.last.Load() != l {
		how = left // another one, with a new token, has taken its place
	}
	v.person.f.counts.add(how)
	if how == ended {
		v.mu.Lock()
		v.lostAt = time.Now()
		v.mu.Unlock()
	}
	close(l.closed)
}

// end says how a connection ends now.
func (v *visit) end() counter {
	select {
	case <-v.parts:
		if v.drops.Load() {
			return vanished
		}
		return left
	default:
	}
	select {
	case <-v.stop: // the person is about to notice
		return left
	default:
		return ended
	}
}

// state is told what the Dialer does, as are all hooks that need the person, on the
// goroutine of Run.
func (v *visit) state(s apmws.DialState) {
	switch s.Phase {
	case apmws.DialConnecting:
		v.open.Store(false)
	case apmws.DialWaiting, apmws.DialGaveUp:
		if v.end() == ended {
			v.person.setBack(s.Err, v.open.Load())
		}
	default:
	}
}

// hear takes what the chat sends, in the person's manner.
func (v *visit) hear(_ context.Context, m apmws.Message) error {
	if v.manner == freezes {
		return nil // that it is read at all is for the answer to the goodbye
	}
	v.take(m.Data, time.Now())
	if v.manner != slow {
		return nil
	}
	pause := time.NewTimer(slowPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-v.parts:
	}
	return nil
}

// take counts a message from the chat.
func (v *visit) take(raw []byte, now time.Time) {
	f := v.person.f
	f.counts.add(received)
	var m message
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	switch {
	case m.Type == typeError:
		f.counts.add(complaint)
	case m.Type == typeSaid && m.User == v.person.user:
		if took, ok := v.echoes.arrived(m.Text, now); ok {
			f.counts.add(echoed)
			f.echoTime.observe(took)
		}
	}
}
