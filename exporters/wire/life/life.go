package life

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// Options configure a life. Exporters is required.
type Options struct {
	// Exporters makes those of an agent. It is called for each of the two agents
	// that a life has: that of the application, which leaves sampling to the
	// exporters, and one that samples by itself. An exporter serves one agent, so
	// each call makes its own.
	Exporters func() []apmws.Exporter

	// Log receives a copy of the log, in JSON lines. Nil: nobody does.
	Log io.Writer

	// Halfway is called in the middle, while two connections of the application's
	// agent are open and nothing happens: the place to make back ends get the
	// counters twice. Nil: nothing is.
	Halfway func(ctx context.Context, agents []*apmws.Agent) error

	// AtTheEnd is called when all connections have ended but one, which begins later
	// and is drained when the agents are shut down. Nil: nothing is.
	AtTheEnd func(ctx context.Context, agents []*apmws.Agent) error
}

// Patience bounds a life whose context has no deadline. A life takes a few seconds.
const Patience = time.Minute

// Live lets a server live, and shuts its agents down at the end; what the vendors'
// own agents hold is then still theirs to send. It returns an error when something
// did not happen as scripted: then the story would not be true.
func Live(ctx context.Context, opts Options) (story *Story, err error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	book := &logbook{also: opts.Log, more: make(chan struct{})}
	s, err := startServer(ctx, book, opts.Exporters)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, s.stop()) }()

	p := &play{ctx: ctx, server: s, story: newStory()}
	p.perform(func() {
		if opts.Halfway != nil {
			p.failIf("halfway", opts.Halfway(ctx, s.agents()))
		}
	})
	if missing := s.notes.missing(p.story.Secrets); len(missing) > 0 {
		p.failf("no request or message held %q", missing)
	}
	if p.err != nil {
		return nil, p.err
	}
	if opts.AtTheEnd != nil {
		if err := opts.AtTheEnd(ctx, s.agents()); err != nil {
			return nil, err
		}
	}
	shutDown := p.shutDown()
	for _, agent := range s.agents() {
		p.story.Stats = append(p.story.Stats, agent.Stats())
	}
	p.story.Lines = book.all()
	return p.story, shutDown
}

// notes are what the application has seen, and the ids that its connections were given.
type notes struct {
	mu    sync.Mutex
	known map[string]string // ids by User-Agent
	seen  strings.Builder   // what came with the handshakes
}

// note is called by the application with the request of each handshake.
func (n *notes) note(r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = make(map[string]string)
	}
	n.known[r.UserAgent()] = apmws.FromContext(r.Context()).ID()
	fmt.Fprintln(&n.seen, r.URL, r.Header)
}

// noteMessage is called by the application with each message to /shop and the like.
func (n *notes) noteMessage(m apmws.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen.Write(m.Data)
}

// noteCall is called by the partner with each request.
func (n *notes) noteCall(r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintln(&n.seen, r.URL, r.Header)
}

// missing returns the secrets that neither the application nor its partner has ever
// seen.
func (n *notes) missing(secrets []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return strings.Contains(n.seen.String(), s) })
}

func (n *notes) of(userAgent string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[userAgent]
}
