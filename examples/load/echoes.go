package main

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// waiting is how many messages of one connection may wait for their echo.
const waiting = 256

// echoes knows which messages have not come back yet: the last ones alone, so
// that a chat which answers nothing costs no memory. It is safe for concurrent
// use.
type echoes struct {
	mu   sync.Mutex
	sent [waiting]struct {
		seq uint64 // 0: none
		at  time.Time
	}
}

// expect notes a message before it is sent. It reports false when another one
// was given up to make room.
func (e *echoes) expect(seq uint64, at time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	slot := &e.sent[seq%waiting]
	free := slot.seq == 0
	slot.seq, slot.at = seq, at
	return free
}

// arrived returns how long the message whose text came back has taken, and
// false where it was not waited for.
func (e *echoes) arrived(text string, at time.Time) (time.Duration, bool) {
	number, _, _ := strings.Cut(text, " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 {
		return 0, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	slot := &e.sent[seq%waiting]
	if slot.seq != seq {
		return 0, false
	}
	slot.seq = 0
	return at.Sub(slot.at), true
}

// missing returns how many are still waited for.
func (e *echoes) missing() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, slot := range e.sent {
		if slot.seq != 0 {
			n++
		}
	}
	return n
}
