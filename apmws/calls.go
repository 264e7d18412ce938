package apmws

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// CallStats counts outbound HTTP requests through Transport.
type CallStats struct {
	// Name is the registered name of the message that they belong to, or _OTHER;
	// CONNECT for calls of the handshake, and none for those of neither.
	Name string
	// Address is the host that they went to, without the port; _OTHER for those
	// beyond the first 100 hosts and ports of the agent, and beyond its first 2,000
	// combinations of route, name and host.
	Address string
	Count   int64
}

// callKey says whose calls they are, beside the route.
type callKey struct{ name, address string }

// callStats are the calls of a route, sorted.
func (r *route) callStats() (all []CallStats) {
	for key, n := range r.calls.all() {
		all = append(all, CallStats{key.name, key.address, n.Load()})
	}
	slices.SortFunc(all, func(x, y CallStats) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Address, y.Address))
	})
	return all
}

// caller names what a call under the scope belongs to.
func (s *scope) caller() string {
	switch {
	case s.event == semconv.EventMessage:
		return s.message.name
	case s.conn.inHandshake():
		return semconv.Handshake
	default:
		return semconv.None
	}
}

// inHandshake reports whether CONNECT has not ended, recorded or not.
func (c *Conn) inHandshake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == connecting || c.state == open && c.held
}

const (
	// maxDestinations bounds the hosts that are told apart: some applications call
	// hosts that their users choose.
	maxDestinations = 100
	// maxCallKeys bounds the combinations of route, message name and host, each of
	// which is a series in the back ends.
	maxCallKeys = 2000
)

// destinations are those that an agent's connections have called. Look-ups take no
// lock.
type destinations struct {
	mu    sync.Mutex
	known atomic.Pointer[map[destinationKey]*destination]
	keys  atomic.Int64 // of all routes, without those of _OTHER
}

type destinationKey struct{ host, port string }

func (d *destinations) all() map[destinationKey]*destination {
	if known := d.known.Load(); known != nil {
		return *known
	}
	return nil
}

// destination is what is told of a URL.
type destination struct {
	address string // the host
	name    string // host:port
}

var otherDestination = &destination{address: semconv.Other, name: semconv.Other}

// of returns the destination of a URL. One beyond the limit is counted in beyond.
func (d *destinations) of(u *url.URL, beyond *atomic.Int64) *destination {
	key := destinationKey{strings.ToLower(u.Hostname()), u.Port()}
	if key.port == "" {
		key.port = defaultPort(u.Scheme)
	}
	if known := d.all()[key]; known != nil {
		return known
	}
	if !validHost(key.host) {
		return otherDestination
	}
	if to := d.add(key); to != nil {
		return to
	}
	beyond.Add(1)
	return otherDestination
}

// add returns the destination of a key, or nil for one beyond the limit.
func (d *destinations) add(key destinationKey) *destination {
	if known := d.all(); len(known) >= maxDestinations {
		return known[key] // of somebody else, meanwhile
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.all()
	if to := known[key]; to != nil || len(known) >= maxDestinations {
		return to
	}
	key = destinationKey{strings.Clone(key.host), strings.Clone(key.port)} // not the whole URL
	to := &destination{address: key.host, name: key.host}
	if key.port != "" {
		to.name = net.JoinHostPort(key.host, key.port)
	}
	grown := make(map[destinationKey]*destination, len(known)+1)
	maps.Copy(grown, known)
	grown[key] = to
	d.known.Store(&grown)
	return to
}

// count counts a call. One beyond the limit of combinations is counted in beyond, too.
func (d *destinations) count(r *route, name string, to *destination, beyond *atomic.Int64) {
	key := callKey{name, to.address}
	n := r.calls.all()[key]
	if n == nil {
		if to != otherDestination && !d.admit(r, key) {
			beyond.Add(1)
			key.address = semconv.Other
		}
		n = r.calls.get(key)
	}
	n.Add(1)
}

// admit adds a combination, unless there are too many.
func (d *destinations) admit(r *route, key callKey) bool {
	if d.keys.Load() >= maxCallKeys {
		return r.calls.all()[key] != nil // by somebody else, meanwhile
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.calls.all()[key] != nil {
		return true
	}
	if d.keys.Load() >= maxCallKeys {
		return false
	}
	r.calls.get(key)
	d.keys.Add(1) // all that are counted can be found
	return true
}

// defaultPort is that of the scheme (RFC 9110, sections 4.2.1 and 4.2.2).
func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	default:
		return ""
	}
}

// maxHost bounds a host's name (RFC 1035, section 2.3.4).
const maxHost = 253 // bytes, in the usual notation

// validHost reports whether a host is fit for a label and a metric's name. It is no
// check of names: of what is left the base transport tells.
func validHost(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	for _, c := range []byte(host) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte(".-_:", c) >= 0:
		default:
			return false // an international one has to be given as net/http sends it, or is _OTHER
		}
	}
	return true
}
