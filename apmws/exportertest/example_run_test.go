package exportertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/exportertest"
)

// lineExporter is a small exporter: it writes one line of JSON for each
// transaction. It knows no spans and no ids.
type lineExporter struct {
	mu  sync.Mutex
	out bytes.Buffer // a file, say
}

// line is what is written of a transaction.
type line struct {
	Type, Name, Result, User string
	Outcome                  apmws.Outcome
	Start                    time.Time
	Duration                 time.Duration
	Attrs                    map[string]any
	Error, ErrorType         string `json:",omitempty"`
}

func (e *lineExporter) write(l *line, end time.Time, f *apmws.Failure, attrs []slog.Attr) {
	l.Duration = max(0, end.Sub(l.Start))
	l.Attrs = maps.Clone(l.Attrs)
	maps.Copy(l.Attrs, plainAttrs(attrs))
	if f != nil {
		l.Error, l.ErrorType = f.Message, f.Type
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = json.NewEncoder(&e.out).Encode(l) // plain values in memory
}

// plainAttrs copies strings, numbers and booleans; this exporter drops the rest.
func plainAttrs(attrs []slog.Attr) map[string]any {
	plain := make(map[string]any, len(attrs))
	for _, a := range attrs {
		switch a.Value.Kind() {
		case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindBool:
			plain[a.Key] = a.Value.Any()
		case slog.KindFloat64:
			if _, err := json.Marshal(a.Value.Float64()); err == nil { // not NaN
				plain[a.Key] = a.Value.Float64()
			}
		default:
		}
	}
	return plain
}

// StartConn implements apmws.Exporter.
func (e *lineExporter) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, &lineConn{e: e, connect: line{Type: "Connection", Name: start.Name, Start: start.Time, Attrs: plainAttrs(start.Attrs)}}
}

type lineConn struct {
	e              *lineExporter
	connect        line
	opened, closed atomic.Bool
}

// Opened implements apmws.ConnSpan.
func (c *lineConn) Opened(end apmws.OpenEnd) {
	if c.opened.CompareAndSwap(false, true) {
		l := c.connect
		l.Result, l.Outcome, l.User = end.Result, end.Outcome, end.User
		c.e.write(&l, end.Time, end.Failure, end.Attrs)
	}
}

// StartMessage implements apmws.ConnSpan.
func (c *lineConn) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return ctx, &lineMessage{e: c.e, line: line{Type: "Message", Name: start.Name, Start: start.Time, Attrs: plainAttrs(start.Attrs)}}
}

// End implements apmws.ConnSpan.
func (c *lineConn) End(end apmws.ConnEnd) {
	if c.closed.CompareAndSwap(false, true) {
		l := line{Type: "Disconnection", Name: end.Name, Start: end.Time, Result: end.Result, Outcome: end.Outcome, User: end.User, Attrs: map[string]any{}}
		c.e.write(&l, end.Time, end.Failure, end.Attrs)
	}
}

type lineMessage struct {
	e     *lineExporter
	line  line
	ended atomic.Bool
}

// End implements apmws.MessageSpan.
func (m *lineMessage) End(end apmws.MessageEnd) {
	if m.ended.CompareAndSwap(false, true) {
		m.line.Result, m.line.Outcome, m.line.User = end.Result, end.Outcome, end.User
		m.e.write(&m.line, end.Time, end.Failure, end.Attrs)
	}
}

// openLines makes a back end of an exporter: Sent reads the lines.
func openLines(testing.TB) exportertest.Backend {
	exporter := &lineExporter{}
	sent := func() (exportertest.Telemetry, error) {
		telemetry := exportertest.Telemetry{Raw: exporter.out.String()}
		for in := json.NewDecoder(&exporter.out); in.More(); {
			var l line
			if err := in.Decode(&l); err != nil {
				return telemetry, err
			}
			t := exportertest.Transaction{
				Type: l.Type, Name: l.Name, Result: l.Result, Outcome: l.Outcome, User: l.User,
				Start: l.Start, Duration: l.Duration, Attrs: l.Attrs,
			}
			if l.Error != "" {
				t.Errors = append(t.Errors, exportertest.Error{Message: l.Error, Type: l.ErrorType})
			}
			telemetry.Transactions = append(telemetry.Transactions, t)
		}
		return telemetry, nil
	}
	return exportertest.Backend{
		Exporter: exporter, Sent: sent,
		Limits: exportertest.Limits{NoIDs: true, BareErrors: true},
	}
}

// The test of an exporter that writes lines of JSON.
func ExampleRun() {
	var t *testing.T // of func TestConformance(t *testing.T)
	exportertest.Run(t, openLines)
}
