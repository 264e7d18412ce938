package backends

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws/exportertest"
)

// intake is an APM Server: it keeps what a tracer posts.
type intake struct {
	gate     gate
	mu       sync.Mutex
	sent     bytes.Buffer // lines, decompressed
	problems []error
}

// ServeHTTP implements http.Handler.
func (i *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		w.Write([]byte(`{"version":"9.5.2"}`))
	case "/intake/v2/events":
		i.gate.pass()
		body, err := inflate(r.Body)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.sent.Write(body)
		if err != nil {
			i.problems = append(i.problems, err)
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func inflate(r io.Reader) ([]byte, error) {
	plain, err := zlib.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// document is a line of what was posted; one of the pointers is set.
type document struct {
	Metadata    *json.RawMessage   `json:"metadata"`
	Metricset   *json.RawMessage   `json:"metricset"`
	Transaction *model.Transaction `json:"transaction"`
	Span        *model.Span        `json:"span"`
	Error       *model.Error       `json:"error"`
}

// telemetry reads all that was posted.
func (i *intake) telemetry() (exportertest.Telemetry, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.problems) > 0 {
		return exportertest.Telemetry{}, errors.Join(i.problems...)
	}
	sent := exportertest.Telemetry{Raw: i.sent.String()}
	var parts []document
	index := make(map[model.SpanID]int) // of the transactions
	for line := range bytes.Lines(i.sent.Bytes()) {
		var doc document
		if err := json.Unmarshal(line, &doc); err != nil {
			return sent, fmt.Errorf("backends: %w in %s", err, line)
		}
		switch {
		case doc.Transaction != nil:
			index[doc.Transaction.ID] = len(sent.Transactions)
			sent.Transactions = append(sent.Transactions, elasticTransaction(doc.Transaction))
		case doc.Span != nil || doc.Error != nil:
			parts = append(parts, doc)
		case doc.Metadata == nil && doc.Metricset == nil:
			return sent, fmt.Errorf("backends: unknown document %s", line)
		}
	}
	for _, part := range parts {
		var id model.SpanID
		if part.Span != nil {
			id = part.Span.TransactionID
		} else {
			id = part.Error.TransactionID
		}
		at, known := index[id]
		if !known {
			return sent, fmt.Errorf("backends: transaction %x of a span or error was not sent", id)
		}
		if tx := &sent.Transactions[at]; part.Span != nil {
			tx.Spans = append(tx.Spans, elasticSpan(part.Span))
		} else {
			tx.Errors = append(tx.Errors, elasticError(part.Error))
		}
	}
	return sent, nil
}
