package hour

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// backEnd takes what the agents send. It is decoded outside of the bubble, while the
// simulation goes on: that is most of the work, and the agents need not wait for it.
type backEnd struct {
	intake *intake.Server
	end    time.Time // what is sent from then on is of no interest

	mu       sync.Mutex
	requests []Request // with bodies as they came, until they are decoded
	decoded  int       // how many of the first have been taken for that
	finished bool      // there will be no more
	failed   error     // the first
}

func newBackEnd(end time.Time) *backEnd {
	b := &backEnd{intake: intake.New(), end: end}
	b.intake.DropBodies = true
	return b
}

// tracer returns the agent of a node.
func (b *backEnd) tracer(t *testing.T, of nodeSpec) (*apm.Tracer, error) {
	t.Helper()
	t.Setenv("ELASTIC_APM_SERVICE_NODE_NAME", of.name) // there is no option for it
	sender, err := transport.NewHTTPTransport(transport.HTTPTransportOptions{
		ServerURLs: []*url.URL{{Scheme: "http", Host: "apm.example:8200"}},
	})
	if err != nil {
		return nil, err
	}
	sender.Client = &http.Client{Transport: &sending{backEnd: b, node: of.name}}
	return apm.NewTracerOptions(apm.TracerOptions{
		ServiceName: of.service, ServiceVersion: of.version, ServiceEnvironment: of.environment, Transport: sender,
	})
}

// sending is the way from a node to the back end.
type sending struct {
	backEnd *backEnd
	node    string
}

// RoundTrip implements http.RoundTripper.
func (s *sending) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	if r.Method != http.MethodPost || r.URL.Path != "/intake/v2/events" {
		s.backEnd.intake.ServeHTTP(answer, r)
		return answer.Result(), nil
	}
	defer r.Body.Close()
	if encoding := r.Header.Get("Content-Encoding"); encoding != "deflate" {
		return nil, fmt.Errorf("hour: a body that is encoded as %q", encoding)
	}
	at := time.Now()
	body, err := io.ReadAll(r.Body) // as long as the agent has something to add
	if err != nil {
		return nil, err
	}
	if len(body) > 0 && at.Before(s.backEnd.end) { // without a body, the agent is being closed
		s.backEnd.mu.Lock()
		s.backEnd.requests = append(s.backEnd.requests, Request{Node: s.node, At: at, Body: body})
		s.backEnd.mu.Unlock()
	}
	answer.WriteHeader(http.StatusAccepted)
	return answer.Result(), nil
}

// work decodes until there is nothing more. It must run outside of the bubble, whose
// clock it does not hold up: it looks for requests now and then.
func (b *backEnd) work() {
	for {
		i, request, finished := b.take()
		switch {
		case i >= 0:
			body, err := unpack(request.Body)
			if len(body) == 0 && err == nil { // closed before the first line
				b.keep(i, nil, nil)
				continue
			}
			if err == nil {
				body, err = asOfNode(body, request.Node)
			}
			if err == nil {
				b.intake.ServeHTTP(httptest.NewRecorder(),
					httptest.NewRequest(http.MethodPost, "/intake/v2/events", bytes.NewReader(body)))
			}
			b.keep(i, body, err)
		case finished:
			return
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// take returns a request that is to be decoded, or a negative index.
func (b *backEnd) take() (i int, r Request, finished bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.decoded == len(b.requests) {
		return -1, r, b.finished
	}
	b.decoded++
	return b.decoded - 1, b.requests[b.decoded-1], false
}

func (b *backEnd) keep(i int, body []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[i].Body = body
	if err != nil && b.failed == nil {
		b.failed = fmt.Errorf("hour: a request of %s: %w", b.requests[i].Node, err)
	}
}

// during decodes while the simulation runs, and until all is decoded.
func (b *backEnd) during(simulate func()) {
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(b.work)
	}
	defer workers.Wait()
	defer func() { // also where the test has failed
		b.mu.Lock()
		defer b.mu.Unlock()
		b.finished = true
	}()
	simulate()
}

func unpack(body []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(body))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	unpacked, err := io.ReadAll(r)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// The agent was closed meanwhile, which does not end what it has begun. An APM
		// Server takes the lines before that, too.
		unpacked, err = unpacked[:bytes.LastIndexByte(unpacked, '\n')+1], nil
	}
	return unpacked, err
}

var errNoMetadata = errors.New("the first line tells nothing of the service")

// asOfNode gives a node a machine and a process of its own. All share those of this
// test, whose names and arguments are nobody's business.
func asOfNode(body []byte, node string) ([]byte, error) {
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	var line map[string]map[string]any
	if err := json.Unmarshal(first, &line); err != nil {
		return nil, err
	}
	metadata := line["metadata"]
	if metadata == nil {
		return nil, errNoMetadata
	}
	metadata["system"] = map[string]any{"architecture": "amd64", "hostname": node + ".example", "platform": "linux"}
	metadata["process"] = map[string]any{"pid": 1, "ppid": 0, "title": "server", "argv": []string{"/server"}}
	first, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	return slices.Concat(first, []byte("\n"), rest), nil
}
