package livews

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// Options configure a View. The zero value works.
type Options struct {
	// Transactions is how many of the latest transactions are kept. A quarter
	// as many failures are kept beyond that, so that a failure is not swept away
	// by what succeeds after it. Default: 200.
	Transactions int

	// MaxSpans is how many spans of one transaction are kept: the first ones.
	// The others are counted. Default: 50.
	MaxSpans int

	// Connections is how many open connections are listed: the newest ones. The
	// others are counted. Default: 500.
	Connections int
}

// View is an exporter that keeps what it is told in memory, and the handler of
// the page that shows it. Give it to one Agent. It is safe for concurrent use;
// it starts no goroutine and needs no Shutdown.
type View struct {
	opts     Options
	instance string
	agent    atomic.Pointer[apmws.Agent]
	history  history
}

var (
	_ apmws.Exporter    = (*View)(nil)
	_ apmws.Broadcaster = (*View)(nil)
	_ apmws.Attacher    = (*View)(nil)
	_ apmws.SpanStarter = (*connection)(nil)
	_ apmws.SpanStarter = (*transaction)(nil)
	_ apmws.SpanStarter = (*span)(nil)
)

// New returns a View.
func New(opts Options) *View {
	setDefault(&opts.Transactions, 200)
	setDefault(&opts.MaxSpans, 50)
	setDefault(&opts.Connections, 500)
	var instance [8]byte
	rand.Read(instance[:]) // never fails: see crypto/rand
	v := &View{opts: opts, instance: hex.EncodeToString(instance[:])}
	v.history.latest = newRing(opts.Transactions)
	v.history.failures = newRing(failuresKept(opts.Transactions))
	return v
}

func setDefault(option *int, value int) {
	if *option <= 0 {
		*option = value
	}
}

// failuresKept is how many failures are kept beyond the latest transactions.
func failuresKept(transactions int) int { return max(1, transactions/4) }

// Attach implements apmws.Attacher: the connections and totals are those of
// agent.
func (v *View) Attach(agent *apmws.Agent) {
	if v != nil {
		v.agent.Store(agent)
	}
}

// StartConn implements apmws.Exporter. The context is returned as it is.
func (v *View) StartConn(ctx context.Context, start apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	if v == nil {
		return ctx, nil
	}
	c := &connection{view: v, id: start.ID, route: start.Route}
	connect := c.transaction(semconv.TypeConnection, start.Name, start.Time)
	connect.attrs.set(start.Attrs)
	connect.attrs.set(requestAttrs(start.Request))
	c.connect.Store(connect)
	v.history.begin(connect)
	return ctx, c
}

// host returns the address without the port.
func host(peer string) string {
	if h, _, err := net.SplitHostPort(peer); err == nil {
		return h
	}
	return peer
}

// requestAttrs describes the handshake by the names that log lines use.
func requestAttrs(r apmws.RequestInfo) []slog.Attr {
	attrs := make([]slog.Attr, 0, 4)
	for _, a := range []slog.Attr{
		slog.String("http.request.method", r.Method),
		slog.String("url.path", r.Path),
		slog.String(semconv.ClientAddress, cmp.Or(r.Client, host(r.Peer))),
		slog.String("user_agent.original", r.UserAgent),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
