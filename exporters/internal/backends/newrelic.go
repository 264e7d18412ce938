package backends

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/exportertest"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// NewRelic returns a newrelicws.Exporter whose agent reports to a collector of its
// own. Sent shuts the agent down, which makes it report.
func NewRelic(t testing.TB) exportertest.Backend {
	t.Helper()
	stand := new(collector)
	log := new(complaints)
	app, err := newrelic.NewApplication(func(cfg *newrelic.Config) {
		cfg.AppName = "backends"
		cfg.License = strings.Repeat("a", 40)
		cfg.Transport = stand
		cfg.Logger = log
		alone.NewRelic(cfg)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Shutdown(patience) })
	connect(t, app)
	exporter := newrelicws.New(app)
	return exportertest.Backend{
		Exporter: exporter,
		Sent: func() (exportertest.Telemetry, error) {
			if err := exporter.Flush(t.Context()); err != nil {
				return exportertest.Telemetry{}, err
			}
			app.Shutdown(patience)
			if err := log.err(); err != nil {
				return exportertest.Telemetry{}, err
			}
			return stand.telemetry()
		},
		Stall: stand.gate.stall,
		Limits: exportertest.Limits{
			NoLinks:     true,
			OwnClock:    true,
			NoLateStart: true,
			NoWeights:   true,
			MaxString:   255, // bytes
		},
	}
}

// connect waits until the agent is connected, since it drops what is recorded
// before. Its own WaitForConnection looks every 50 ms only.
func connect(t testing.TB, app *newrelic.Application) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		tx := app.StartTransaction("until there is an entity")
		connected := tx.GetLinkingMetadata().EntityGUID != ""
		tx.Ignore()
		tx.End()
		if connected {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("backends: New Relic's agent has not connected within %v", patience)
		}
	}
}

// complaints is the agent's logger. Wrong uses of New Relic's API show there alone.
type complaints struct {
	mu    sync.Mutex
	lines []error
}

// Error implements newrelic.Logger.
func (c *complaints) Error(msg string, context map[string]any) { c.complain(msg, context) }

// Warn implements newrelic.Logger.
func (c *complaints) Warn(msg string, context map[string]any) { c.complain(msg, context) }

// Info implements newrelic.Logger.
func (c *complaints) Info(string, map[string]any) {}

// Debug implements newrelic.Logger.
func (c *complaints) Debug(string, map[string]any) {}

// DebugEnabled implements newrelic.Logger.
func (c *complaints) DebugEnabled() bool { return false }

func (c *complaints) complain(msg string, context map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Errorf("backends: New Relic's agent logs %s %v", msg, context))
}

func (c *complaints) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.lines...)
}

// transaction reads a transaction; its spans and errors are not in the event.
func (e *event) transaction() exportertest.Transaction {
	name, _ := strings.CutPrefix(e.text("name"), "OtherTransaction/Go/")
	kind, name, _ := strings.Cut(name, "/")
	if kind == "MessageKept" { // a message that is recorded after the fact
		kind = semconv.TypeMessage
	}
	read := exportertest.Transaction{
		Type:     kind,
		Name:     name,
		Outcome:  e.outcome(),
		TraceID:  e.text("traceId"),
		ParentID: e.text("parentSpanId"),
		Start:    e.start(),
		Duration: e.duration(),
		Weight:   1,
		Attrs:    e.user,
	}
	read.Result, _ = e.user["result"].(string)
	read.User, _ = e.agent["enduser.id"].(string)
	if weight, ok := e.user[semconv.SamplingWeight].(float64); ok {
		read.Weight = weight
	}
	return read
}

func (e *event) span() exportertest.Span {
	read := exportertest.Span{
		Name:     e.text("name"),
		Outcome:  e.outcome(),
		SpanID:   e.text("guid"),
		ParentID: e.text("parentId"),
		Start:    e.start(),
		Duration: e.duration(),
		Attrs:    e.user,
	}
	// As the package newrelicws documents the names.
	switch part := strings.Split(read.Name, "/"); {
	case part[0] == "Custom":
		read.Name = strings.Join(part[1:], "/")
	case part[0] == "External" && len(part) > 3:
		read.Destination, read.Name = part[1], strings.Join(part[3:], "/")
	case part[0] == "Datastore" && len(part) > 3:
		read.Destination, read.Name = part[1], strings.Join(part[3:], "/")
		if instance, ok := e.agent["peer.address"].(string); ok {
			read.Destination = instance
		}
	case part[0] == "MessageBroker" && len(part) > 5:
		read.Destination, read.Name = part[1], strings.Join(part[5:], "/")
	}
	return read
}

func (e *event) error() exportertest.Error {
	read := exportertest.Error{
		Message: e.text("error.message"),
		Type:    e.text("error.class"),
		Attrs:   e.user,
	}
	read.Stack, _ = e.user["stack"].(string)
	return read
}

func (e *event) text(name string) string {
	text, _ := e.intrinsics[name].(string)
	return text
}

func (e *event) outcome() apmws.Outcome {
	outcome, _ := e.user[semconv.EventOutcome].(string)
	return apmws.Outcome(outcome)
}

func (e *event) start() time.Time {
	ms, _ := e.intrinsics["timestamp"].(float64)
	return time.UnixMilli(int64(ms))
}

func (e *event) duration() time.Duration {
	seconds, _ := e.intrinsics["duration"].(float64)
	return time.Duration(seconds * float64(time.Second))
}
