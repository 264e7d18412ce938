package interop

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// scene is played twice, without the agent and with it. What the client and the
// handler see must be the same.
type scene struct {
	name string
	// handler may note what it sees, with n.
	handler func(n *notes) http.Handler
	// client returns what it saw beside the bytes it read.
	client func(p *peer) string
	// outer is what stands outside the agent, if anything.
	outer func(http.Handler) http.Handler
	// tcpOnly: not over TLS.
	tcpOnly bool
	// logs is how many lines of net/http's log to wait for.
	logs int
}

// notes is what a handler saw.
type notes struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	// step is for the handler to tell the client something, by closing it.
	step chan struct{}
	// done is closed when the outermost handler has returned or panicked.
	done chan struct{}
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// seen is what one performance showed.
type seen struct {
	bytes, client string
	handler       []string
	errorLog      []string
}

func (s scene) play(t *testing.T, watched, withTLS bool) seen {
	t.Helper()
	n := &notes{t: t, step: make(chan struct{}), done: make(chan struct{})}
	h := s.handler(n)
	if watched {
		h = newWatch(apmws.Options{}).agent.Handler(route, h)
	}
	if s.outer != nil {
		h = s.outer(h)
	}
	srv := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			select {
			case <-n.done: // another request on the connection
			default:
				close(n.done)
			}
		}()
		h.ServeHTTP(w, r)
	}), withTLS)
	p := srv.connect(t)
	p.step = n.step
	client := s.client(p)
	receive(t, "the handler's end", n.done)
	_ = p.conn.Close()
	eventually(t, "the server's log", func() bool { return len(errorLines(srv.errors.String())) >= s.logs })
	return seen{masked(p.read.String()), client, n.lines, errorLines(srv.errors.String())}
}

var (
	dates     = regexp.MustCompile(`Date: [^\r\n]*`)
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	callers   = regexp.MustCompile(`from github.com.*`)
)

// masked hides what differs from one performance to the next.
func masked(s string) string {
	s = dates.ReplaceAllString(s, "Date: *")
	s = callers.ReplaceAllString(s, "from *")
	return addresses.ReplaceAllString(s, "127.0.0.1:*")
}

// errorLines returns the server's log without stack traces.
func errorLines(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "http: ") {
			lines = append(lines, masked(line))
		}
	}
	return lines
}

func (s scene) run(t *testing.T) {
	t.Run(s.name, func(t *testing.T) {
		t.Parallel()
		for _, withTLS := range []bool{false, true} {
			if withTLS && s.tcpOnly {
				continue
			}
			t.Run(fmt.Sprintf("tls=%t", withTLS), func(t *testing.T) {
				t.Parallel()
				want := s.play(t, false, withTLS)
				got := s.play(t, true, withTLS)
				if got.bytes != want.bytes {
					t.Errorf("the client reads\n%q\nwithout the agent\n%q", short(got.bytes), short(want.bytes))
				}
				if got.client != want.client {
					t.Errorf("the client sees %s, without the agent %s", got.client, want.client)
				}
				if !slices.Equal(got.handler, want.handler) {
					t.Errorf("the handler sees\n%q\nwithout the agent\n%q", got.handler, want.handler)
				}
				if !slices.Equal(got.errorLog, want.errorLog) {
					t.Errorf("the server logs\n%q\nwithout the agent\n%q", got.errorLog, want.errorLog)
				}
				if want.bytes == "" && want.client == "" && len(want.handler) == 0 {
					t.Error("the scene shows nothing")
				}
			})
		}
	})
}

func short(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

// handle makes a handler of a function that takes notes.
func handle(f func(n *notes, w http.ResponseWriter, r *http.Request)) func(n *notes) http.Handler {
	return func(n *notes) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(n, w, r) })
	}
}

// asks sends a request and reads until the connection ends.
func asks(request string) func(p *peer) string {
	return func(p *peer) string {
		p.write([]byte(request))
		return p.rest()
	}
}

// asksOnce reads one whole answer, and does not wait for the connection's end.
func asksOnce(request string) func(p *peer) string {
	return func(p *peer) string {
		r := p.ask(request)
		defer r.Body.Close()
		_, err := io.Copy(io.Discard, r.Body)
		return fmt.Sprint(r.Status, " ", ending(err))
	}
}
