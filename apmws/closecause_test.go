package apmws

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// watched returns an open connection, without a network.
func watched(t testing.TB) *Conn {
	t.Helper()
	agent := New(Options{})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	c.accepted()
	return c
}

// how says how a connection ended.
func (c *Conn) how() (how closeSummary, failure *Failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end().summary(c.pings.unanswered() > 0), c.end().failure
}

// TestCloseCodes: the cause by the close code, of either side.
func TestCloseCodes(t *testing.T) {
	const (
		normal, away, app, big, proto, handler = CauseNormal, CauseGoingAway, CauseApplication, CauseMessageTooBig, CauseProtocolError, CauseHandlerError
	)
	tests := []struct {
		codes     []int
		peer, own CloseCause
	}{
		{[]int{1000, 1005}, normal, normal},
		{[]int{1001}, away, away},
		{[]int{1002, 1003, 1007}, proto, proto},
		{[]int{1009}, big, big},
		{[]int{1011}, away, handler},
		{[]int{1008, 1012, 1013, 1014}, away, app}, // the peer's own reasons
		// Codes that no peer may send, and those that mean nothing yet.
		{[]int{1004, 1006, 1010, 1015, 1016, 2000, 2999}, proto, app},
		{[]int{0, 1, 999, 5000, 65535}, proto, app},
		{[]int{3000, 3999, 4000, 4401, 4999}, normal, app},
	}
	for _, test := range tests {
		for _, code := range test.codes {
			for _, side := range []struct {
				name      string
				end       func(c *Conn)
				cause     CloseCause
				initiator string
			}{
				{"peer", func(c *Conn) { c.peerClosed(code, "why\n") }, test.peer, "client"},
				{"own", func(c *Conn) { c.ownClosed(code, "why\n") }, test.own, "server"},
			} {
				c := watched(t)
				side.end(c)
				got, _ := c.how()
				want := closeSummary{cause: side.cause, initiator: side.initiator, code: fmt.Sprint(code), reason: "why "}
				if got != want {
					t.Errorf("%s code %d: %+v, want %+v", side.name, code, got, want)
				}
			}
		}
	}
}

// endings are the ways in which a connection ends, and what each alone means.
var endings = []struct {
	name      string
	end       func(c *Conn)
	cause     CloseCause
	initiator string
	code      string
	err       error
}{
	{"closed", func(*Conn) {}, CauseApplication, "server", "none", nil},
	{"peer's frame", func(c *Conn) { c.peerClosed(1000, "") }, CauseNormal, "client", "1000", nil},
	{"peer's frame without a code", func(c *Conn) { c.peerClosed(1005, "") }, CauseNormal, "client", "1005", nil},
	{"peer's complaint", func(c *Conn) { c.peerClosed(1002, "") }, CauseProtocolError, "client", "1002", nil},
	{"own frame", func(c *Conn) { c.ownClosed(1001, "") }, CauseGoingAway, "server", "1001", nil},
	{"own failure", func(c *Conn) { c.ownClosed(1011, "") }, CauseHandlerError, "server", "1011", nil},
	{"end of stream", func(c *Conn) { c.readFailed(io.EOF) }, CauseReadError, "network", "none", io.EOF},
	{"reset", func(c *Conn) { c.readFailed(errReset) }, CauseReadError, "network", "none", errReset},
	{"write error", func(c *Conn) { c.writeFailed(errReset) }, CauseWriteError, "network", "none", errReset},
	{"write deadline", func(c *Conn) { c.writeFailed(os.ErrDeadlineExceeded) }, CauseWriteError, "network", "none", os.ErrDeadlineExceeded},
	{"violation", func(c *Conn) { c.peerViolated() }, CauseProtocolError, "server", "none", nil},
	{"read deadline", func(c *Conn) { c.readFailed(errDeadline) }, CauseReadError, "network", "none", errDeadline},
	{"read of a closed connection", func(c *Conn) { c.readFailed(errClosed) }, CauseApplication, "server", "none", nil},
	{"write to a closed connection", func(c *Conn) { c.writeFailed(errClosed) }, CauseApplication, "server", "none", nil},
}

// supersededBy are the signs that are no more than a guess, with what tells more.
var supersededBy = map[string]func(second string) bool{
	"closed":                       func(string) bool { return true },
	"read of a closed connection":  func(string) bool { return true },
	"write to a closed connection": func(string) bool { return true },
	"read deadline": func(second string) bool {
		return second == "end of stream" || second == "reset" || second == "violation" || strings.HasPrefix(second, "peer's ") || strings.HasPrefix(second, "own ")
	},
	"violation": func(second string) bool { return strings.HasPrefix(second, "own ") },
}

var (
	errReset    = errors.New("connection reset by peer")
	errDeadline = &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	errClosed   = &net.OpError{Op: "read", Err: net.ErrClosed}
)

// TestFirstEndingCounts: of any two signs of the end the first tells why, unless
// it is a guess.
func TestFirstEndingCounts(t *testing.T) {
	for _, first := range endings {
		for _, second := range endings {
			c := watched(t)
			first.end(c)
			second.end(c)
			want := first
			if superseded := supersededBy[first.name]; superseded != nil && superseded(second.name) {
				want = second
			}
			got, _ := c.how()
			if got.cause != want.cause || got.initiator != want.initiator || got.code != want.code || !errors.Is(got.err, want.err) {
				t.Errorf("%s, then %s: %+v, want %s by %s, code %s, %v", first.name, second.name, got, want.cause, want.initiator, want.code, want.err)
			}
		}
	}
}

// TestDeadlines: one is the end only when nothing more is read or written, and a
// lost heartbeat only while a ping is unanswered.
func TestDeadlines(t *testing.T) {
	const (
		deadline, read, ping, pong, eof    = "deadline", "read", "ping", "pong", "eof"
		lastFrame, ownFrame, missed, write = "peer's close frame", "own close frame", "write deadline", "write"
		violation, tolerated               = "violation", "read all the same"
	)
	tests := []struct {
		steps []string
		want  CloseCause
	}{
		{[]string{deadline}, CauseReadError},
		{[]string{ping, deadline}, CauseHeartbeatTimeout},
		{[]string{ping, pong, deadline}, CauseReadError},
		{[]string{ping, pong, ping, deadline}, CauseHeartbeatTimeout},
		{[]string{deadline, ping}, CauseHeartbeatTimeout},
		{[]string{deadline, read}, CauseApplication},
		{[]string{ping, deadline, read}, CauseApplication},
		{[]string{deadline, read, deadline}, CauseReadError},
		{[]string{deadline, read, lastFrame}, CauseNormal},
		{[]string{deadline, read, eof}, CauseReadError},
		{[]string{ping, deadline, deadline}, CauseHeartbeatTimeout},
		{[]string{ping, deadline, eof}, CauseReadError},
		{[]string{ping, deadline, lastFrame}, CauseNormal},
		{[]string{deadline, ownFrame}, CauseGoingAway},              // polled, then closed
		{[]string{ping, deadline, ownFrame}, CauseHeartbeatTimeout}, // told the silent peer
		{[]string{ping, pong, deadline, ownFrame}, CauseGoingAway},
		{[]string{missed}, CauseWriteError},
		{[]string{missed, write}, CauseApplication},
		{[]string{missed, write, lastFrame}, CauseNormal},
		{[]string{missed, read}, CauseWriteError},
		{[]string{deadline, write}, CauseReadError},
		{[]string{ping, deadline, missed}, CauseHeartbeatTimeout}, // could not tell the silent peer
		{[]string{violation}, CauseProtocolError},
		{[]string{violation, tolerated}, CauseApplication},
		{[]string{violation, tolerated, lastFrame}, CauseNormal},
		{[]string{deadline, violation, tolerated}, CauseApplication},
		{[]string{eof, read}, CauseReadError}, // nothing but a deadline is undone
		{[]string{lastFrame, deadline, read}, CauseNormal},
	}
	for _, test := range tests {
		c := watched(t)
		for _, step := range test.steps {
			switch step {
			case deadline:
				if !c.readFailed(errDeadline) {
					t.Error("a deadline is taken for something else")
				}
			case read:
				c.goesOn(endedByTimeout)
			case ping:
				c.pingSent(1)
			case pong:
				c.pongReceived(1)
			case violation:
				c.peerViolated()
			case tolerated:
				c.goesOn(endedByViolation)
			case missed:
				if !c.writeFailed(errDeadline) {
					t.Error("a deadline is taken for something else")
				}
			case write:
				c.goesOn(endedByWriteTimeout)
			case ownFrame:
				c.ownClosed(1001, "")
			case lastFrame:
				c.peerClosed(1000, "")
			case eof:
				if c.readFailed(io.EOF) {
					t.Error("the end of the stream is taken for a deadline")
				}
			}
		}
		if got, _ := c.how(); got.cause != test.want {
			t.Errorf("%v: %s, want %s", test.steps, got.cause, test.want)
		}
	}
}

// TestUnsentCloseFrame: a close frame that did not get out says nothing; what
// was known before it counts again, and what comes after it.
func TestUnsentCloseFrame(t *testing.T) {
	for _, other := range endings {
		for _, before := range []bool{false, true} {
			c := watched(t)
			if before {
				other.end(c)
			}
			takeBack := c.ownClosed(4000, "bye")
			failure := &Failure{Message: "boom"}
			c.failed("", failure) // the handler's reason may be known by now
			takeBack()
			if !before {
				other.end(c)
			}
			got, why := c.how()
			if got.cause != other.cause || got.initiator != other.initiator || got.code != other.code || got.reason != "" || !errors.Is(got.err, other.err) || why != failure {
				t.Errorf("%s, before %v: %+v, %v", other.name, before, got, why)
			}
		}
	}
}

// TestExplicitCause: why the handler gave up outranks what the wire shows,
// before or after it; the code and the reason of a close frame stay.
func TestExplicitCause(t *testing.T) {
	for _, cause := range []CloseCause{CausePanic, CauseHandlerError} {
		for _, other := range endings {
			for _, late := range []bool{false, true} {
				c := watched(t)
				failure := &Failure{Message: "boom"}
				if late {
					other.end(c)
				}
				c.failed(cause, failure)
				c.failed(CauseHandlerError, &Failure{Message: "and then another"})
				if !late {
					other.end(c)
				}
				got, why := c.how()
				if got.cause != cause || got.initiator != "server" || got.code != other.code || why != failure {
					t.Errorf("%s and %s, late %v: %+v, %+v", cause, other.name, late, got, why)
				}
			}
		}
	}
	var none *Conn
	none.failed(CausePanic, nil) // an unobserved connection
}

// TestOutcomes: the contract's marks, for every cause there is.
func TestOutcomes(t *testing.T) {
	failures := []CloseCause{CauseWriteError, CauseHandlerError, CausePanic, CauseSlowConsumer}
	unknown := []CloseCause{CauseHeartbeatTimeout, CauseReadError, CauseProtocolError, CauseMessageTooBig}
	success := []CloseCause{CauseNormal, CauseGoingAway, CauseApplication, CauseMaxAge, CauseDrain}
	for _, cause := range closeCauses {
		want := Outcome("")
		switch {
		case slices.Contains(failures, cause):
			want = OutcomeFailure
		case slices.Contains(unknown, cause):
			want = OutcomeUnknown
		case slices.Contains(success, cause):
			want = OutcomeSuccess
		}
		if got := cause.Outcome(); got != want {
			t.Errorf("%s: %s, want %s", cause, got, want)
		}
	}
	if n := len(failures) + len(unknown) + len(success); n != len(closeCauses) {
		t.Errorf("%d causes, %d known here", len(closeCauses), n)
	}
}

// TestCloseReason: what the peer says is cleaned and bounded.
func TestCloseReason(t *testing.T) {
	for reason, want := range map[string]string{
		"":                        "",
		"bye":                     "bye",
		"a\r\nb\x00\x1b[31m":      "a  b  [31m",
		"\xff\xfe":                "  ",
		strings.Repeat("é", 100):  strings.Repeat("é", 61), // 122 bytes: no half a letter
		strings.Repeat("x", 9999): strings.Repeat("x", 123),
	} {
		c := watched(t)
		c.peerClosed(4000, reason)
		if got, _ := c.how(); got.reason != want {
			t.Errorf("%.20q: %q, want %q", reason, got.reason, want)
		}
	}
}
