package backends

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/exporters/livews"
)

// Live returns a livews.View, read as its page does.
func Live(t testing.TB) exportertest.Backend {
	t.Helper()
	view := livews.New(livews.Options{Transactions: 10_000})
	return exportertest.Backend{
		Exporter: view,
		Sent: func() (exportertest.Telemetry, error) {
			w := httptest.NewRecorder()
			view.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/ws/data.json", http.NoBody))
			sent := exportertest.Telemetry{Raw: w.Body.String()}
			var doc livews.Document
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				return sent, fmt.Errorf("backends: %w in %s", err, sent.Raw)
			}
			for i := range doc.Transactions {
				tx := &doc.Transactions[i]
				if tx.SpansDropped > 0 {
					return sent, fmt.Errorf("backends: %d spans of %s were dropped", tx.SpansDropped, tx.Name)
				}
				sent.Transactions = append(sent.Transactions, liveTransaction(tx))
			}
			return sent, nil
		},
		Limits: exportertest.Limits{NoIDs: true, BareErrors: true, MaxString: 256},
	}
}

// liveTransaction reads a transaction that has ended.
func liveTransaction(tx *livews.Transaction) exportertest.Transaction {
	start := time.UnixMilli(tx.Start)
	// The numbers of spans are unique in their transaction, which is number 0.
	id := func(number int) string { return fmt.Sprintf("%08x%08x", tx.ID, number) }
	read := exportertest.Transaction{
		Type:     tx.Type,
		Name:     tx.Name,
		Result:   tx.Result,
		Outcome:  apmws.Outcome(tx.Outcome),
		SpanID:   id(0),
		Start:    start,
		Duration: time.Duration(*tx.Duration),
		Weight:   1,
		User:     tx.User,
		Attrs:    liveAttrs(tx.Attrs),
	}
	for _, s := range tx.Spans {
		if s.Duration == nil {
			continue // shown as in progress
		}
		span := exportertest.Span{
			Name:        s.Name,
			Destination: s.Destination,
			Outcome:     apmws.Outcome(s.Outcome),
			SpanID:      id(s.Number),
			ParentID:    id(s.Parent),
			Start:       start.Add(time.Duration(s.Offset)),
			Duration:    time.Duration(*s.Duration),
			// Those of its transaction are not repeated.
			Attrs: maps.Clone(read.Attrs),
		}
		maps.Copy(span.Attrs, liveAttrs(s.Attrs))
		read.Spans = append(read.Spans, span)
	}
	if tx.Error != nil {
		read.Errors = []exportertest.Error{{Message: tx.Error.Message, Type: tx.Error.Type, Attrs: read.Attrs}}
	}
	return read
}

func liveAttrs(attrs livews.Attributes) map[string]any {
	all := make(map[string]any, len(attrs))
	for _, attr := range attrs {
		all[attr.Name] = attr.Value
	}
	return all
}
