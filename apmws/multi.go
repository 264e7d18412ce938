package apmws

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// An exporter with maxExporterFaults faults, each within faultWindow of the one
// before, is not called any more, but to flush, to shut down and to report what it
// dropped. A fault is a panic, or a call that does not return for a while.
const (
	maxExporterFaults = 10
	faultWindow       = time.Minute
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
	vendor   string // prefix of its fields in log lines
	plain    bool   // they need none
	gate     gate
	panics   atomic.Int64
	isOff    atomic.Bool
	skipped  atomic.Int64 // events that it did not get because it is off
	missed   atomic.Int64 // events that it did not get because it was blocked

	mu        sync.Mutex
	recent    int // faults in a row
	lastFault time.Duration
	blocks    int       // times that it was blocked
	drops     []Dropped // as it last said
}

func newMulti(exporters []Exporter, logger *zerolog.Logger) *multi {
	m := &multi{}
	seen := make(map[string]int)
	first := true
	for _, e := range exporters {
		if e == nil {
			continue
		}
		name := exporterName(e)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, seen[name])
		}
		x := &member{exporter: e, name: name, logger: logger}
		x.gate.changed = x.blocked
		if x.correlate(first) {
			first = false
		}
		m.members = append(m.members, x)
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

// off reports whether the exporter has had too many faults.
func (m *member) off() bool { return m.isOff.Load() }

// enter begins a call for an event, unless the exporter is off or blocked, which
// is then counted. leave must be deferred with the result.
func (m *member) enter(shard int) (call *atomic.Int64) {
	if m.off() {
		m.skipped.Add(1)
		return nil
	}
	if call = m.gate.enter(shard); call == nil {
		m.missed.Add(1)
	}
	return call
}

// leave is deferred around every call for an event. It contains panics.
func (m *member) leave(call *atomic.Int64) {
	call.Add(-1)
	if p := recover(); p != nil {
		m.panicked(p)
	}
}

// contain is deferred around the other calls.
func (m *member) contain() {
	if p := recover(); p != nil {
		m.panicked(p)
	}
}

func (m *member) panicked(p any) {
	n := m.panics.Add(1)
	switchedOff := m.fault(monotonic())
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

// blocked is called when a call has not returned for a while, and when all have.
func (m *member) blocked(now bool) {
	if !now {
		return
	}
	defer func() { _ = recover() }() // of the logger, on a goroutine of the runtime's
	m.mu.Lock()
	m.blocks++
	first := m.blocks == 1
	m.mu.Unlock()
	switchedOff := m.fault(monotonic())
	switch {
	case m.logger == nil:
	case switchedOff:
		m.logger.Error().Msgf("websocket exporter %s switched off: its calls have blocked again and again", m.name)
	case first:
		m.logger.Error().Msgf("websocket exporter %s blocks: it is left out until its calls have returned", m.name)
	}
}

// fault counts a fault at that time, and reports whether it is the one too many.
func (m *member) fault(now time.Duration) (switchedOff bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now-m.lastFault > faultWindow {
		m.recent = 0
	}
	m.lastFault = now
	m.recent++
	return m.recent >= maxExporterFaults && m.isOff.CompareAndSwap(false, true)
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

func (m *multi) Mask(ctx context.Context, shard int) context.Context {
	for _, x := range m.members {
		if masker, ok := x.exporter.(Masker); ok {
			ctx = x.mask(ctx, shard, masker)
		}
	}
	return ctx
}

func (m *member) mask(ctx context.Context, shard int, masker Masker) (masked context.Context) {
	masked = ctx
	if m.off() {
		return masked
	}
	call := m.gate.enter(shard)
	if call == nil {
		return masked
	}
	defer m.leave(call)
	if c := masker.Mask(ctx); c != nil {
		masked = c
	}
	return masked
}

func (m *multi) Dropped() []Dropped {
	var all []Dropped
	for _, x := range m.members {
		all = append(all, x.dropped()...)
		if n := x.panics.Load(); n > 0 {
			all = append(all, Dropped{Exporter: x.name, Reason: "panic", Count: n})
		}
		if n := x.skipped.Load(); n > 0 {
			all = append(all, Dropped{Exporter: x.name, Reason: "switched_off", Count: n})
		}
		if n := x.missed.Load(); n > 0 {
			all = append(all, Dropped{Exporter: x.name, Reason: "blocked", Count: n})
		}
	}
	return all
}

// dropped returns what the exporter itself counts, or has counted when it was
// last able to say.
func (m *member) dropped() []Dropped {
	if reporter, ok := m.exporter.(DropReporter); ok {
		if call := m.gate.enter(0); call != nil { // one that is off still counts
			m.askDropped(call, reporter)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drops
}

func (m *member) askDropped(call *atomic.Int64, reporter DropReporter) {
	defer m.leave(call)
	drops := slices.DeleteFunc(slices.Clone(reporter.Dropped()), func(d Dropped) bool { return d.Count == 0 })
	for i := range drops {
		drops[i].Exporter = m.name
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drops = drops
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

func (m *multi) StartConn(ctx context.Context, shard int, start *ConnStart) (context.Context, *multiConn) {
	if m.empty() {
		return ctx, nil
	}
	c := &multiConn{spans: make([]memberConn, 0, len(m.members)), shard: shard}
	for _, x := range m.members {
		call := x.enter(shard)
		if call == nil {
			if !x.off() {
				c.spans = append(c.spans, memberConn{member: x})
			}
			continue
		}
		var span ConnSpan
		if ctx, span = x.startConn(ctx, call, start); span != nil {
			c.spans = append(c.spans, memberConn{member: x, span: span})
		}
	}
	if len(c.spans) == 0 {
		return ctx, nil
	}
	return ctx, c
}

// StartBroadcast starts a broadcast with all that record those, below their own
// handles in below, which may be nil.
func (m *multi) StartBroadcast(ctx context.Context, start *MessageStart, below spanParent, h *handles) {
	for _, x := range m.members {
		broadcaster, ok := x.exporter.(Broadcaster)
		if !ok {
			continue
		}
		var parent any
		if below != nil {
			parent = below.handleOf(x)
		}
		if call := x.enter(h.shard); call != nil {
			x.startBroadcast(ctx, call, broadcaster, parent, start, h)
		}
	}
}

func (m *member) startBroadcast(ctx context.Context, call *atomic.Int64, b Broadcaster, parent any, start *MessageStart, h *handles) {
	defer m.leave(call)
	if span := b.StartBroadcast(ctx, parent, *start); span != nil {
		h.add(m, span)
	}
}

func (m *member) startConn(ctx context.Context, call *atomic.Int64, start *ConnStart) (derived context.Context, span ConnSpan) {
	derived = ctx
	defer m.leave(call)
	c, s := m.exporter.StartConn(ctx, *start)
	if c != nil {
		derived = c
	}
	return derived, s
}
