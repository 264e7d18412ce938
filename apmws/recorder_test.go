package apmws

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// recorder is an exporter that keeps what it is told, in order.
type recorder struct {
	mu     sync.Mutex
	events []event
	counts map[string]int // by kind
	nextID byte
	spans  byte
	// changed is closed with the next event; nil: nobody waits for one. A call must
	// not take long: an exporter whose calls last is given up.
	changed chan struct{}
}

// event is one call, with its attributes copied.
type event struct {
	kind    string // connect, opened, message, message-end, span, span-end, disconnect
	name    string
	conn    string // connection id
	parent  string // of a span: the name of what it is below
	result  string
	outcome Outcome
	user    string
	status  int
	at      time.Time
	attrs   map[string]any
	failure *Failure
	remote  SpanContext
	ids     SpanContext // of a span
	cont    bool
	message MessageStart // without its attributes
	start   SpanStart
	request RequestInfo
}

// vendorKey is where a vendor would keep its transaction.
type vendorKey struct{}

type vendorTx struct {
	name  string
	ended bool
}

func newRecorder() *recorder { return &recorder{counts: make(map[string]int)} }

func attrMap(attrs []slog.Attr) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		m[a.Key] = a.Value.Any()
	}
	return m
}

func (r *recorder) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	r.counts[e.kind]++
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// next returns how many events of a kind there are, and what is closed with the next
// event of any.
func (r *recorder) next(kind string) (n int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.counts[kind], r.changed
}

func (r *recorder) all(kind string) []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []event
	for _, e := range r.events {
		if e.kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// wait returns the events of a kind once there are n. It gives up when there has been
// no further one for a while.
func (r *recorder) wait(t testing.TB, kind string, n int) []event {
	t.Helper()
	last, deadline := -1, time.NewTimer(patience)
	defer deadline.Stop()
	for {
		there, changed := r.next(kind)
		if there >= n {
			return r.all(kind)
		}
		if there > last {
			last = there
			deadline.Reset(patience)
		}
		select {
		case <-changed:
		case <-deadline.C:
			all := r.kinds()
			t.Fatalf("waited for %d %q events; there are %d, and the last of all are %v", n, kind, there, all[max(0, len(all)-50):])
		}
	}
}

func (r *recorder) id() (sc SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextID++
	sc.TraceID[0], sc.SpanID[0], sc.Flags = r.nextID, r.nextID, 1
	return sc
}

func (r *recorder) spanID() (sc SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans++
	sc.TraceID[0], sc.SpanID[7], sc.Flags, sc.State = 0xfe, r.spans, 1, "kit=1"
	return sc
}

func (r *recorder) StartConn(ctx context.Context, s ConnStart) (context.Context, ConnSpan) {
	r.add(event{kind: "connect", name: s.Name, conn: s.ID, at: s.Time, attrs: attrMap(s.Attrs), remote: s.Remote, request: s.Request})
	tx := &vendorTx{name: s.Name}
	return context.WithValue(ctx, vendorKey{}, tx), &recorderConn{r: r, tx: tx, id: s.ID, ids: r.id(), attrs: attrMap(s.Attrs)}
}

func (r *recorder) Mask(ctx context.Context) context.Context {
	return context.WithValue(ctx, vendorKey{}, (*vendorTx)(nil))
}

// vendorOf is the vendor's API: what a handler finds in its context.
func vendorOf(ctx context.Context) *vendorTx {
	tx, _ := ctx.Value(vendorKey{}).(*vendorTx)
	return tx
}

type recorderConn struct {
	r     *recorder
	tx    *vendorTx
	id    string
	ids   SpanContext
	attrs map[string]any
}

func (c *recorderConn) SpanContext() SpanContext { return c.ids }

func (c *recorderConn) Opened(e OpenEnd) {
	c.tx.ended = true
	attrs := maps.Clone(c.attrs)
	maps.Copy(attrs, attrMap(e.Attrs))
	c.r.add(event{
		kind: "opened", name: c.tx.name, conn: c.id, at: e.Time, status: e.Status, result: e.Result,
		outcome: e.Outcome, user: e.User, attrs: attrs, failure: e.Failure,
	})
}

func (c *recorderConn) End(e ConnEnd) {
	c.r.add(event{
		kind: "disconnect", name: e.Name, conn: c.id, at: e.Time, result: e.Result, outcome: e.Outcome,
		user: e.User, attrs: attrMap(e.Attrs), failure: e.Failure,
	})
}

func (c *recorderConn) StartSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	return (&recorderSpan{r: c.r, name: c.tx.name}).StartSpan(ctx, s)
}

func (c *recorderConn) StartMessage(ctx context.Context, s MessageStart) (context.Context, MessageSpan) {
	attrs := attrMap(s.Attrs)
	s.Attrs = nil
	c.r.add(event{kind: "message", message: s, name: s.Name, conn: c.id, at: s.Time, user: s.User, attrs: attrs, remote: s.Remote, cont: s.Continue})
	tx := &vendorTx{name: s.Name}
	return context.WithValue(ctx, vendorKey{}, tx), &recorderMessage{c: c, tx: tx, ids: c.r.id(), attrs: attrs}
}

type recorderMessage struct {
	c     *recorderConn
	tx    *vendorTx
	ids   SpanContext
	attrs map[string]any
}

func (m *recorderMessage) SpanContext() SpanContext { return m.ids }

func (m *recorderMessage) End(e MessageEnd) {
	m.tx.ended = true
	attrs := maps.Clone(m.attrs)
	maps.Copy(attrs, attrMap(e.Attrs))
	m.c.r.add(event{
		kind: "message-end", name: m.tx.name, conn: m.c.id, at: e.Time, result: e.Result, outcome: e.Outcome,
		user: e.User, attrs: attrs, failure: e.Failure,
	})
}

func (m *recorderMessage) StartSpan(ctx context.Context, s SpanStart) (context.Context, ChildSpan) {
	return (&recorderSpan{r: m.c.r, name: m.tx.name}).StartSpan(ctx, s)
}

type recorderSpan struct {
	r    *recorder
	name string
	ids  SpanContext
}

func (s *recorderSpan) SpanContext() SpanContext { return s.ids }

func (s *recorderSpan) StartSpan(ctx context.Context, start SpanStart) (context.Context, ChildSpan) {
	attrs := attrMap(start.Attrs)
	start.Attrs = nil
	ids := s.r.spanID()
	s.r.add(event{kind: "span", name: start.Name, parent: s.name, at: start.Time, attrs: attrs, start: start, ids: ids})
	return context.WithValue(ctx, vendorKey{}, &vendorTx{name: start.Name}), &recorderSpan{r: s.r, name: start.Name, ids: ids}
}

func (s *recorderSpan) End(e SpanEnd) {
	s.r.add(event{kind: "span-end", name: s.name, at: e.Time, outcome: e.Outcome, attrs: attrMap(e.Attrs), ids: s.ids})
}

// serveWS runs a handler under an agent and returns where to dial.
func serveWS(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

func dial(t testing.TB, url string, header http.Header) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial(url, header)
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		t.Fatalf("dial: %v (status %d)", err, status)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echoLoop is a gorilla handler as anybody has one.
func echoLoop(up *websocket.Upgrader) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			typ, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if err := conn.WriteMessage(typ, data); err != nil {
				return
			}
		}
	})
}

// serving is a handler that runs Serve with handle.
func serving(handle func(context.Context, Message) error, result chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		err = Serve(r.Context(), conn, handle)
		if result != nil {
			result <- err
		}
	})
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// nopExporter records everything and allocates nothing: what is left is the
// core's own.
type nopExporter struct{}

func (nopExporter) StartConn(ctx context.Context, _ ConnStart) (context.Context, ConnSpan) {
	return ctx, nopExporter{}
}
func (nopExporter) Opened(OpenEnd) {}
func (nopExporter) End(ConnEnd)    {}
func (nopExporter) StartMessage(ctx context.Context, _ MessageStart) (context.Context, MessageSpan) {
	return ctx, nopMessage{}
}

type nopMessage struct{}

func (nopMessage) End(MessageEnd) {}
