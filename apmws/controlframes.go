package apmws

// inbound receives the control frames of the peer.
type inbound struct{ tap *tap }

func (inbound) ping(uint64)           {}
func (s inbound) pong(payload uint64) { s.tap.conn.pongReceived(payload) }

func (s inbound) close(code int, reason string) {
	s.tap.conn.peerClosed(code, reason)
	s.tap.answeredClose(code, reason)
}

// outbound counts the control frames of this side, so that those that did not get
// through can be taken back.
type outbound struct {
	pings, closes int32
	notClosed     func() // takes the first close frame back
}

func (*outbound) pong(uint64)         {}
func (s *outbound) ping(uint64)       { s.pings++ }
func (s *outbound) close(int, string) { s.closes++ }

// leaving receives the control frames of this side.
type leaving struct{ tap *tap }

func (leaving) pong(uint64) {}

func (s leaving) ping(payload uint64) {
	s.tap.writing.pings++
	s.tap.conn.pingSent(payload)
}

func (s leaving) close(code int, reason string) {
	w := &s.tap.writing
	w.closes++
	if takeBack := s.tap.conn.ownClosed(code, reason); w.notClosed == nil {
		w.notClosed = takeBack
	}
}

// takeBack undoes what is not in through.
func (t *tap) takeBack(through *outbound) {
	for range t.writing.pings - through.pings {
		t.conn.pingNotSent()
	}
	if t.writing.closes > 0 && through.closes == 0 {
		t.writing.notClosed()
	}
}
