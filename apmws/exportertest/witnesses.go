package exportertest

import (
	"context"
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// marker is an exporter that puts its mark into each context, and looks for those
// of the markers before it.
type marker struct {
	k *kit
	n int
}

// markKey is where the marker of that number puts its mark: what the context
// belongs to.
type markKey int

// wantMarks checks that the first n markers are found in a context.
func (k *kit) wantMarks(ctx context.Context, who string, n int, of string) {
	for i := range n {
		if mark := ctx.Value(markKey(i)); mark != of {
			k.errorf("%s finds the mark %v of exporter %d in the context of a %s: those between have not passed it on", who, mark, i, of)
		}
	}
}

func (m *marker) mark(ctx context.Context, of string) context.Context {
	m.k.wantMarks(ctx, "an exporter", m.n, of)
	return context.WithValue(ctx, markKey(m.n), of)
}

// StartConn implements apmws.Exporter.
func (m *marker) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return m.mark(ctx, ofConnect), markerConn{m}
}

type markerConn struct{ m *marker }

// Opened implements apmws.ConnSpan.
func (markerConn) Opened(apmws.OpenEnd) {}

// End implements apmws.ConnSpan.
func (markerConn) End(apmws.ConnEnd) {}

// StartMessage implements apmws.ConnSpan.
func (c markerConn) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return c.m.mark(ctx, ofMessage), markerMessage(c)
}

// StartSpan implements apmws.SpanStarter.
func (c markerConn) StartSpan(ctx context.Context, _ apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return c.m.mark(ctx, ofSpan), markerSpan(c)
}

type markerMessage struct{ m *marker }

// End implements apmws.MessageSpan.
func (markerMessage) End(apmws.MessageEnd) {}

// StartSpan implements apmws.SpanStarter.
func (m markerMessage) StartSpan(ctx context.Context, _ apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return m.m.mark(ctx, ofSpan), markerSpan(m)
}

type markerSpan struct{ m *marker }

// End implements apmws.ChildSpan.
func (markerSpan) End(apmws.SpanEnd) {}

// StartSpan implements apmws.SpanStarter.
func (s markerSpan) StartSpan(ctx context.Context, _ apmws.SpanStart) (context.Context, apmws.ChildSpan) {
	return s.m.mark(ctx, ofSpan), s
}

// spy stands before an exporter and notes which of its optional methods the agent
// has reached, and how they ended. Handles are the exporter's own.
type spy struct {
	apmws.Exporter

	mu       sync.Mutex
	reached  map[string]int
	panicked map[string]any
	errs     map[string]error
	over     chan struct{} // gets one for each end of Flush and Shutdown
}

func newSpy(e apmws.Exporter) *spy {
	const room = 8 // more than there are calls
	return &spy{
		Exporter: e, reached: make(map[string]int), panicked: make(map[string]any), errs: make(map[string]error),
		over: make(chan struct{}, room),
	}
}

// note is deferred around a call.
func (s *spy) note(method string) {
	p := recover()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached[method]++
	if p != nil {
		s.panicked[method] = p
	}
}

// Attach implements apmws.Attacher.
func (s *spy) Attach(agent *apmws.Agent) {
	defer s.note("Attach")
	if x, ok := s.Exporter.(apmws.Attacher); ok {
		x.Attach(agent)
	}
}

// Mask implements apmws.Masker.
func (s *spy) Mask(ctx context.Context) (masked context.Context) {
	defer s.note("Mask")
	if x, ok := s.Exporter.(apmws.Masker); ok {
		return x.Mask(ctx)
	}
	return ctx
}

// Dropped implements apmws.DropReporter.
func (s *spy) Dropped() (dropped []apmws.Dropped) {
	defer s.note("Dropped")
	if x, ok := s.Exporter.(apmws.DropReporter); ok {
		return x.Dropped()
	}
	return nil
}

// Flush implements apmws.Flusher.
func (s *spy) Flush(ctx context.Context) error {
	x, ok := s.Exporter.(apmws.Flusher)
	return s.finish("Flush", ok, func() error { return x.Flush(ctx) })
}

// Shutdown implements apmws.Shutdowner.
func (s *spy) Shutdown(ctx context.Context) error {
	x, ok := s.Exporter.(apmws.Shutdowner)
	return s.finish("Shutdown", ok, func() error { return x.Shutdown(ctx) })
}

func (s *spy) finish(method string, ok bool, call func() error) (err error) {
	defer func() { s.over <- struct{}{} }()
	defer s.note(method)
	if ok {
		err = call()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs[method] = err
	return err
}

// want checks that the agent has reached a method, and that it returned without an
// error.
func (s *spy) want(k *kit, method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.reached[method] == 0:
		k.errorf("the agent has not reached %s of %T", method, s.Exporter)
	case s.panicked[method] != nil:
		k.errorf("%s of %T panicked: %v", method, s.Exporter, s.panicked[method])
	case s.errs[method] != nil:
		k.errorf("%s of %T returns %v, want nil", method, s.Exporter, s.errs[method])
	}
}
