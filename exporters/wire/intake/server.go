package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/elastic/apm-data/input/elasticapm"
	"golang.org/x/sync/semaphore"
)

const (
	// MaxEventSize is how long one event may be, in bytes: APM Server's default
	// max_event_size.
	MaxEventSize = 300 << 10

	// MaxBodySize is how long a request may be, in bytes after decompression. APM
	// Server has no such limit; the agent ends its requests at about 750 KB of
	// compressed data.
	MaxBodySize = 64 << 20

	// version makes the agent treat the server as the newest.
	version = "9.5.2"

	// decoders is how many requests APM Server decodes at once.
	decoders = 200

	// batchSize is how many events APM Server handles at a time.
	batchSize = 10
)

// Server is an http.Handler that takes the place of an APM Server: serve it with
// net/http/httptest, and give the agent its URL. Its exported fields are to be set
// before the first request; everything else is safe for concurrent use.
type Server struct {
	// DropBodies keeps nothing for Sent. For tests of millions of messages.
	DropBodies bool

	// Keep, if not nil, says for a data stream, such as traces-apm-default, whether
	// Documents is to have what goes there. The rest is decoded and aggregated, and
	// then forgotten, which saves most of the time and memory. It is called
	// concurrently.
	Keep func(stream string) bool

	decoder *elasticapm.Processor

	mu         sync.Mutex
	documents  []Document
	rejected   []error
	sent       bytes.Buffer
	aggregates aggregator
}

// New returns a server that keeps everything.
func New() *Server {
	return &Server{decoder: elasticapm.NewProcessor(elasticapm.Config{
		MaxEventSize: MaxEventSize, Semaphore: semaphore.NewWeighted(decoders),
	})}
}

// Documents returns what Elasticsearch would have indexed, in order of arrival,
// without what the server derives itself, see Aggregates. They are copies.
func (s *Server) Documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	documents := make([]Document, len(s.documents))
	for i, d := range s.documents {
		documents[i] = d.clone()
	}
	return documents
}

// Rejected returns why events, or whole requests, were not taken.
func (s *Server) Rejected() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rejected)
}

// Sent returns every body, decompressed, one after the other. Bodies that arrive
// at once are mixed, a piece of each at a time.
func (s *Server) Sent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String()
}

// sentWriter appends to what was sent.
type sentWriter struct{ server *Server }

// Write implements io.Writer.
func (s *sentWriter) Write(piece []byte) (int, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.server.sent.Write(piece)
}

// ServeHTTP implements http.Handler: GET / tells the version, POST
// /intake/v2/events takes events, anything else is forbidden, as are requests for
// the agents' configuration where no Kibana is set up.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		answer(w, http.StatusOK, map[string]any{"version": version, "publish_ready": true})
	case r.Method == http.MethodPost && r.URL.Path == "/intake/v2/events":
		s.take(w, r)
	default:
		http.Error(w, "forbidden request", http.StatusForbidden)
	}
}

// take answers as APM Server does: 202 and nothing, or, when there were errors, the
// status of the worst and what they were, with the number of events that were
// accepted nevertheless.
func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	result, err := s.decode(r)
	failures := slices.Clone(result.Errors)
	if err != nil {
		failures = append(failures, err)
	}
	if len(failures) == 0 {
		if r.URL.Query().Has("verbose") {
			answer(w, http.StatusAccepted, map[string]any{"accepted": result.Accepted})
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.mu.Lock()
	s.rejected = append(s.rejected, failures...)
	s.mu.Unlock()
	status := http.StatusAccepted
	details := make([]map[string]string, 0, len(failures))
	for _, failure := range failures {
		status = max(status, statusOf(failure))
		detail := map[string]string{"message": failure.Error()}
		var invalid *elasticapm.InvalidInputError
		if errors.As(failure, &invalid) && invalid.Document != "" {
			detail["document"] = invalid.Document
		}
		details = append(details, detail)
	}
	answer(w, status, map[string]any{"accepted": result.Accepted, "errors": details})
}

// statusOf is how APM Server answers an error.
func statusOf(err error) int {
	var invalid *elasticapm.InvalidInputError
	ok := errors.As(err, &invalid)
	switch {
	case errors.Is(err, ErrBodyTooLarge), ok && invalid.TooLarge:
		return http.StatusRequestEntityTooLarge
	case ok, errors.Is(err, ErrBody):
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		return // the agent has gone
	}
}
