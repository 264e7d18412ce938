package interop

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/apmws/go-apmws/apmws"
)

// recorder is an exporter that keeps what it is given.
type recorder struct {
	mu       sync.Mutex
	opened   []openEvent
	ended    []endEvent
	messages []messageEvent
	// stray are calls that the seam forbids.
	stray []string
}

type openEvent struct {
	id    string
	end   apmws.OpenEnd
	attrs map[string]any
}

type endEvent struct {
	id    string
	end   apmws.ConnEnd
	attrs map[string]any
}

type messageEvent struct {
	name string
	end  apmws.MessageEnd
}

func (r *recorder) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, &recordedConn{rec: r, id: start.ID, start: attrMap(start.Attrs)}
}

func (r *recorder) opens() []openEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.opened)
}

func (r *recorder) ends() []endEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

func (r *recorder) strays() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.stray)
}

type recordedConn struct {
	rec           *recorder
	id            string
	start         map[string]any
	opened, ended bool
}

func (c *recordedConn) Opened(end apmws.OpenEnd) {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	if c.opened {
		c.rec.stray = append(c.rec.stray, "second Opened of "+c.id)
	}
	c.opened = true
	attrs := maps.Clone(c.start)
	maps.Copy(attrs, attrMap(end.Attrs))
	c.rec.opened = append(c.rec.opened, openEvent{c.id, end, attrs})
}

func (c *recordedConn) StartMessage(ctx context.Context, start apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return ctx, &recordedMessage{c.rec, start.Name}
}

func (c *recordedConn) End(end apmws.ConnEnd) {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	if !c.opened || c.ended {
		c.rec.stray = append(c.rec.stray, "End of "+c.id+" that is not open")
	}
	c.ended = true
	c.rec.ended = append(c.rec.ended, endEvent{c.id, end, attrMap(end.Attrs)})
}

type recordedMessage struct {
	rec  *recorder
	name string
}

func (m *recordedMessage) End(end apmws.MessageEnd) {
	m.rec.mu.Lock()
	defer m.rec.mu.Unlock()
	m.rec.messages = append(m.rec.messages, messageEvent{m.name, end})
}

func attrMap(attrs []slog.Attr) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		m[a.Key] = a.Value.Any()
	}
	return m
}
