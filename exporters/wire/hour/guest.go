package hour

import (
	"math"
	"math/rand/v2"
	"time"
)

// Routes of the servers.
const (
	routeRooms  = "/ws/rooms/{room}"
	routeNotify = "/ws/notify"
	routeQuotes = "/ws/quotes"
)

// guest is somebody who comes, stays for a while, and leaves, perhaps over several
// connections.
type guest struct {
	seed    uint64 // of all that is left to chance with this guest
	service string
	node    string // the first
	route   string
	room    string
	user    string
	address string
	origin  string
	agent   string // the User-Agent

	at     time.Time
	stay   time.Duration
	ending ending
	refuse refusal

	// busyFrom is when the guest begins to say anything: the day before is silent.
	busyFrom time.Time
	// quiet guests say nothing at all.
	quiet bool
	// stall is for how long the guest stops reading once. 0: never.
	stall time.Duration
	// late guests ask once for what takes too long.
	late bool
	// malformed is where a trace context that is none comes: nowhere if empty.
	malformed malformed
}

type malformed string

const (
	inHandshake malformed = "handshake"
	inMessage   malformed = "message"
)

// ending is how a guest leaves when nobody sends it away before.
type ending string

const (
	endNormal   ending = "1000"
	endAway     ending = "1001"
	endNoCode   ending = "1005"
	endVanish   ending = "vanish"
	endSilence  ending = "silence"
	endProtocol ending = "protocol"
	endTooBig   ending = "too big"
	endKicked   ending = "kicked" // by the application
	endBroken   ending = "broken" // by a handler that gives up
	endPanic    ending = "panic"  // of a handler
	endUnread   ending = "unread" // by a write that nobody reads
	endStays    ending = "stays"  // beyond the hour
)

const (
	// heartbeat is how often a server pings its clients, patience for how long it
	// waits for the last answer.
	heartbeat = 30 * time.Second
	patience  = 70 * time.Second
	// writeTimeout is how long a server waits for a client to read.
	writeTimeout = 15 * time.Second
)

// refusal is why a guest is not let in.
type refusal string

const (
	admitted        refusal = ""
	unauthenticated refusal = "unauthenticated"
	forbidden       refusal = "forbidden"
	wrongOrigin     refusal = "origin"
	badHandshake    refusal = "bad_handshake"
	upgradeFailed   refusal = "upgrade_failed"
	overQuota       refusal = "quota"
	draining        refusal = "draining"
)

func (r refusal) status() int {
	switch r {
	case unauthenticated:
		return 401
	case forbidden, wrongOrigin:
		return 403
	case badHandshake:
		return 400
	case upgradeFailed:
		return 500
	case overQuota:
		return 429
	case draining:
		return 503
	default:
		return 101
	}
}

// chance is a source of chance that gives the same each time.
type chance struct{ *rand.Rand }

func newChance(seed, stream uint64) chance { return chance{rand.New(rand.NewPCG(seed, stream))} }

// lasts draws a duration from a log-normal distribution.
func (c chance) lasts(median time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(sigma*c.NormFloat64()))
}

// waits draws the time until something happens that happens at that mean distance.
func (c chance) waits(mean time.Duration) time.Duration {
	return time.Duration(float64(mean) * c.ExpFloat64())
}

// between draws evenly.
func (c chance) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.Float64()*float64(most-least))
}

func (c chance) happens(probability float64) bool { return c.Float64() < probability }

// one draws one of several.
func one[T any](c chance, of ...T) T { return of[c.IntN(len(of))] }
