package apmws

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// An exporter that has panicked maxExporterPanics times, each within panicWindow
// of the one before, is not called any more, but to flush, to shut down and to
// report what it dropped.
const (
	maxExporterPanics = 10
	panicWindow       = time.Minute
)

// multi forwards to several exporters and keeps their faults from the traffic
// and from each other. Each call is made with the context that the exporter
// before has returned, and ends are forwarded in reverse order.
type multi struct{ members []*member }

// member is one exporter with its record.
type member struct {
	exporter Exporter
	name     string
	logger   *zerolog.Logger
	panics   atomic.Int64
	isOff    atomic.Bool
	skipped  atomic.Int64 // events that it did not get because it is off

	mu        sync.Mutex
	recent    int // panics in a row
	lastPanic time.Duration
}

func newMulti(exporters []Exporter, logger *zerolog.Logger) *multi {
	m := &multi{}
	seen := make(map[string]int)
	for _, e := range exporters {
		if e == nil {
			continue
		}
		name := exporterName(e)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, seen[name])
		}
		m.members = append(m.members, &member{exporter: e, name: name, logger: logger})
	}
	return m
}

// exporterName is the name of the package that an exporter comes from.
func exporterName(e Exporter) string {
	t := reflect.TypeOf(e)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return path.Base(t.PkgPath())
}

func (m *multi) empty() bool { return len(m.members) == 0 }

// off reports whether the exporter has panicked too often.
func (m *member) off() bool { return m.isOff.Load() }

// skips is off for an event, which is then counted.
func (m *member) skips() bool {
	off := m.off()
	if off {
		m.skipped.Add(1)
	}
	return off
}

// contain is deferred around every call of an exporter.
func (m *member) contain() {
	p := recover()
	if p == nil {
		return
	}
	n := m.panics.Add(1)
	switchedOff := m.countRecent(monotonic())
	if m.logger == nil || n != 1 && !switchedOff {
		return
	}
	e := m.logger.Error().Str("error.message", fmt.Sprint(p)).Str("error.stack_trace", string(debug.Stack()))
	if switchedOff {
		e.Msgf("websocket exporter %s switched off after %d panics", m.name, n)
	} else {
		e.Msgf("websocket exporter %s panicked", m.name)
	}
}

// countRecent reports whether the panic at that time is the one too many.
func (m *member) countRecent(now time.Duration) (switchedOff bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now-m.lastPanic > panicWindow {
		m.recent = 0
	}
	m.lastPanic = now
	m.recent++
	return m.recent >= maxExporterPanics && m.isOff.CompareAndSwap(false, true)
}

func (m *multi) Attach(agent *Agent) {
	for _, x := range m.members {
		if a, ok := x.exporter.(Attacher); ok {
			func() {
				defer x.contain()
				a.Attach(agent)
			}()
		}
	}
}

func (m *multi) Mask(ctx context.Context) context.Context {
	for _, x := range m.members {
		if masker, ok := x.exporter.(Masker); ok && !x.off() {
			ctx = x.mask(ctx, masker)
		}
	}
	return ctx
}

func (m *member) mask(ctx context.Context, masker Masker) (masked context.Context) {
	masked = ctx
	defer m.contain()
	if c := masker.Mask(ctx); c != nil {
		masked = c
	}
	return masked
}

func (m *multi) Dropped() []Dropped {
	var all []Dropped
	for _, x := range m.members {
		if d, ok := x.exporter.(DropReporter); ok {
			func() {
				defer x.contain()
				for _, dropped := range d.Dropped() {
					dropped.Exporter = x.name
					all = append(all, dropped)
				}
			}()
		}
		if n := x.panics.Load(); n > 0 {
			all = append(all, Dropped{Exporter: x.name, Reason: "panic", Count: n})
		}
		if n := x.skipped.Load(); n > 0 {
			all = append(all, Dropped{Exporter: x.name, Reason: "switched_off", Count: n})
		}
	}
	return all
}

func (m *multi) Flush(ctx context.Context) error {
	return m.together(ctx, "flush", func(e Exporter) func(context.Context) error {
		if f, ok := e.(Flusher); ok {
			return f.Flush
		}
		return nil
	})
}

func (m *multi) Shutdown(ctx context.Context) error {
	return m.together(ctx, "shutdown", func(e Exporter) func(context.Context) error {
		if s, ok := e.(Shutdowner); ok {
			return s.Shutdown
		}
		return nil
	})
}

// together calls a method of all exporters that have it at the same time, so
// that one whose back end is away does not use up the others' deadline. It
// waits for none beyond that.
func (m *multi) together(ctx context.Context, what string, method func(Exporter) func(context.Context) error) error {
	results := make([]chan error, len(m.members))
	for i, x := range m.members {
		if f := method(x.exporter); f != nil {
			results[i] = make(chan error, 1)
			go func() { results[i] <- x.call(ctx, what, f) }()
		}
	}
	var errs []error
	for i, x := range m.members {
		if results[i] != nil {
			errs = append(errs, x.result(ctx, what, results[i]))
		}
	}
	return errors.Join(errs...)
}

func (m *member) result(ctx context.Context, what string, result <-chan error) error {
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-result: // just in time
		return err
	default:
		return fmt.Errorf("apmws: %s of %s: %w", what, m.name, ctx.Err())
	}
}

func (m *member) call(ctx context.Context, what string, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("apmws: %s of %s panicked: %v", what, m.name, p)
		} else if err != nil {
			err = fmt.Errorf("apmws: %s of %s: %w", what, m.name, err)
		}
	}()
	return f(ctx)
}

func (m *multi) StartConn(ctx context.Context, start ConnStart) (context.Context, *multiConn) {
	if m.empty() {
		return ctx, nil
	}
	c := &multiConn{spans: make([]memberConn, 0, len(m.members))}
	for _, x := range m.members {
		if x.skips() {
			continue
		}
		var span ConnSpan
		if ctx, span = x.startConn(ctx, start); span != nil {
			c.spans = append(c.spans, memberConn{member: x, span: span})
		}
	}
	if len(c.spans) == 0 {
		return ctx, nil
	}
	return ctx, c
}

func (m *member) startConn(ctx context.Context, start ConnStart) (derived context.Context, span ConnSpan) {
	derived = ctx
	defer m.contain()
	c, s := m.exporter.StartConn(ctx, start)
	if c != nil {
		derived = c
	}
	return derived, s
}
