package main

import (
	"sync"
	"time"
)

// surge knows in which second the most happened, of the wall's clock. Its methods
// are safe for concurrent use.
type surge struct {
	mu     sync.Mutex
	second int64 // since 1970, that is counted
	n      int   // in it
	peak   int   // in any
}

func (s *surge) add(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := at.Unix(); second != s.second {
		s.second, s.n = second, 0
	}
	s.n++
	s.peak = max(s.peak, s.n)
}

func (s *surge) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}
