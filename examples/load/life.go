package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeWait  = 10 * time.Second // for a message to be taken
	silence    = 75 * time.Second // without a message or a ping, after which the chat is taken for dead
	goodbye    = time.Second      // for the answer to a close frame
	frozenFor  = 90 * time.Second // longer than the chat waits for a pong
	slowBuffer = 4 << 10          // bytes that the system takes for one who does not read
	slowPause  = 2 * time.Second  // between two messages that a slow one reads
)

// manner is how a connection behaves.
type manner int

const (
	talks    manner = iota // speaks, reads, and says goodbye
	vanishes               // like that, but drops the connection in the end
	slow                   // listens to one message in a while
	freezes                // opens the connection and does nothing ever after
)

// manners is how many of a hundred behave how.
var manners = [...]int{talks: 80, vanishes: 12, slow: 5, freezes: 3}

func anyManner(rng *rand.Rand) manner {
	n := rng.IntN(100)
	for m, share := range manners {
		if n -= share; n < 0 {
			return manner(m)
		}
	}
	return talks
}

// life is one connection, from its opening to its end.
type life struct {
	f      *fleet
	conn   *websocket.Conn
	manner manner
	user   string
	talk   talk
	echoes echoes

	done chan struct{} // closed when run returns: nobody needs to read any more
	over chan struct{} // closed when reading has ended
	// settled is set before over is closed: a room was entered, so that the chat
	// is well.
	settled bool
}

// run lives until ctx ends, the fleet has the connection replaced, or the chat
// closes it. It reports whether the chat has answered at all. All that it
// started has ended when it returns.
func (l *life) run(ctx context.Context) (settled bool) {
	go l.read()
	l.f.counts.add(l.speak(ctx))
	close(l.done)
	l.conn.Close()
	<-l.over
	for range l.echoes.missing() {
		l.f.counts.add(unechoed)
	}
	return l.settled
}

// speak sends what there is to say, and returns how the connection ended.
func (l *life) speak(ctx context.Context) counter {
	if !l.send(l.talk.enter()) {
		return ended
	}
	next := time.NewTimer(l.pause())
	defer next.Stop()
	if l.manner == slow || l.manner == freezes {
		next.Stop() // these say no more
	}
	var frozen <-chan time.Time
	if l.manner == freezes {
		timer := time.NewTimer(frozenFor)
		defer timer.Stop()
		frozen = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return l.leave(websocket.CloseGoingAway)
		case <-l.f.replace:
			if l.manner == talks || l.manner == slow {
				return l.leave(websocket.CloseNormalClosure)
			}
			return vanished
		case <-frozen:
			return vanished
		case <-l.over:
			return ended
		case <-next.C:
			if !l.send(l.talk.next()) {
				return ended
			}
			next.Reset(l.pause())
		}
	}
}

// pause returns the time to the next message: those of independent people, at
// the rate on average.
func (l *life) pause() time.Duration {
	seconds := min(l.talk.rng.ExpFloat64(), 5) / l.f.cfg.rate
	return time.Duration(seconds * float64(time.Second))
}

// send reports whether the message was taken.
func (l *life) send(u utterance) bool {
	now := time.Now()
	if u.echoes {
		l.f.counts.add(asked)
		if !l.echoes.expect(l.talk.seq, now) {
			l.f.counts.add(unechoed)
		}
	}
	_ = l.conn.SetWriteDeadline(now.Add(writeWait)) // fails never: see gorilla
	if l.conn.WriteMessage(websocket.TextMessage, u.raw) != nil {
		return false
	}
	l.f.counts.add(sent)
	if u.unknown {
		l.f.counts.add(unknown)
	}
	return true
}

// leave says goodbye, and waits a little for the answer.
func (l *life) leave(code int) counter {
	deadline := time.Now().Add(goodbye)
	if l.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), deadline) != nil {
		return ended // the chat was first
	}
	timer := time.NewTimer(goodbye)
	defer timer.Stop()
	select {
	case <-l.over:
	case <-timer.C:
	}
	return left
}

// read takes what the chat sends, in the connection's manner.
func (l *life) read() {
	defer close(l.over)
	if l.manner == freezes {
		<-l.done
		return
	}
	alive := func() { _ = l.conn.SetReadDeadline(time.Now().Add(silence)) } // fails when closed, which reading tells
	answer := l.conn.PingHandler()
	l.conn.SetPingHandler(func(data string) error {
		alive()
		return answer(data)
	})
	for {
		alive()
		_, raw, err := l.conn.ReadMessage()
		if err != nil {
			return
		}
		l.take(raw, time.Now())
		if l.manner != slow {
			continue
		}
		pause := time.NewTimer(slowPause)
		select {
		case <-pause.C:
		case <-l.done:
			pause.Stop()
			return
		}
	}
}

// take counts a message from the chat.
func (l *life) take(raw []byte, now time.Time) {
	l.f.counts.add(received)
	var m message
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	switch {
	case m.Type == typeJoined:
		l.settled = true
	case m.Type == typeError:
		l.f.counts.add(complaint)
	case m.Type == typeSaid && m.User == l.user:
		if took, ok := l.echoes.arrived(m.Text, now); ok {
			l.f.counts.add(echoed)
			l.f.echoTime.observe(took)
		}
	}
}
