package main

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// intake stands in for Elastic's APM Server.
type intake struct {
	*httptest.Server

	mu     sync.Mutex
	raw    bytes.Buffer // all that was sent, headers included, uncompressed
	events []event
	more   chan struct{}
}

// event is what Elastic's agents send of a transaction, span, error or metric.
type event struct {
	kind string         // transaction, span, error, metricset, metadata
	all  map[string]any // all there is

	ID            string `json:"id"`
	TraceID       string `json:"trace_id"`
	ParentID      string `json:"parent_id"`
	TransactionID string `json:"transaction_id"`
	Name          string `json:"name"`
	Type          string `json:"type"`
	Subtype       string `json:"subtype"`
	Action        string `json:"action"`
	Result        string `json:"result"`
	Outcome       string `json:"outcome"`
	Links         []struct {
		TraceID string `json:"trace_id"`
		SpanID  string `json:"span_id"`
	} `json:"links"`
	Context struct {
		Tags map[string]any `json:"tags"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
		Destination struct {
			Service struct {
				Resource string `json:"resource"`
			} `json:"service"`
		} `json:"destination"`
	} `json:"context"`
	Exception struct {
		Message string `json:"message"`
	} `json:"exception"`
	Samples map[string]sample `json:"samples"`
	Tags    map[string]any    `json:"tags"` // of a metricset
}

// sample is a metric's value, or its histogram.
type sample struct {
	Value  *float64  `json:"value"`
	Values []float64 `json:"values"`
	Counts []float64 `json:"counts"`
}

func startIntake(t *testing.T) *intake {
	t.Helper()
	in := &intake{more: make(chan struct{})}
	in.Server = httptest.NewServer(http.HandlerFunc(in.serve))
	t.Cleanup(in.Close)
	return in
}

func (in *intake) serve(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	fmt.Fprintf(&in.raw, "%s %s %v\n", r.Method, r.URL, r.Header)
	in.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		_, _ = io.WriteString(w, `{"version":"9.5.2"}`)
	case "POST /intake/v2/events":
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "deflate" {
			inflated, err := zlib.NewReader(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			body = inflated
		}
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			in.add(lines.Bytes())
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func (in *intake) add(line []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.raw.Write(line)
	in.raw.WriteByte('\n')
	var kinds map[string]json.RawMessage
	if json.Unmarshal(line, &kinds) != nil {
		return // the test finds that something is missing, and prints all
	}
	for kind, body := range kinds {
		e := event{kind: kind}
		if kind == "metadata" || json.Unmarshal(body, &e) == nil && json.Unmarshal(body, &e.all) == nil {
			in.events = append(in.events, e)
		}
	}
	close(in.more)
	in.more = make(chan struct{})
}

func (in *intake) sent() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.raw.String()
}

// all returns the events of a kind and name, and a channel that closes with
// the next event.
func (in *intake) all(kind, name string) ([]event, <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var found []event
	for _, e := range in.events {
		if e.kind == kind && (name == "" || e.Name == name) {
			found = append(found, e)
		}
	}
	return found, in.more
}

// wait waits for an event.
func (in *intake) wait(t *testing.T, kind, name string) event {
	t.Helper()
	deadline := time.After(patience)
	for {
		found, more := in.all(kind, name)
		if len(found) > 0 {
			return found[0]
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("no %s %s in\n%s", kind, name, in.sent())
		}
	}
}
