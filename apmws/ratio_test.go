package apmws

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// BenchmarkEcho compares an echo server under apmws with the same server without
// it, over loopback TCP: 50 connections, messages of 64 bytes, always one in
// flight on each. Both servers run at the same time and are loaded in turns, and
// what counts is the ratio of their throughputs (1.00: no difference), so that a
// busy machine disturbs both alike.
func BenchmarkEcho(b *testing.B) {
	say := []byte(`{"type":"chat.say","room":"go","text":"hello, everybody in here"}`)
	counting := New(Options{Messages: testMessages})
	exporting := New(Options{Messages: testMessages, Exporters: []Exporter{nopExporter{}}})
	serveEcho := serving(func(ctx context.Context, m Message) error {
		return FromContext(ctx).Write(ctx, m.Type, m.Data)
	}, nil)
	for _, bench := range []struct {
		name    string
		handler http.Handler
	}{
		{"none", echoLoop(&websocket.Upgrader{})}, // how far off a ratio can be
		{"Handler", counting.Handler("/ws", echoLoop(&websocket.Upgrader{}))},
		{"Handler+Serve", counting.Handler("/ws", serveEcho)},
		{"Handler+Serve+exporter", exporting.Handler("/ws", serveEcho)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			plain := newEchoLoad(b, echoLoop(&websocket.Upgrader{}), say)
			observed := newEchoLoad(b, bench.handler, say)
			var ratios []float64
			for b.Loop() {
				p, o := plain.round(), observed.round()
				ratios = append(ratios, float64(p)/float64(o))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "throughput-ratio")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N*echoConns*echoRound), "ns/message")
		})
	}
}

const (
	echoConns = 50
	echoRound = 40 // messages of each connection in a round
)

// echoLoad are connections to an echo server.
type echoLoad struct {
	b     *testing.B
	conns []*websocket.Conn
	say   []byte
}

func newEchoLoad(b *testing.B, h http.Handler, say []byte) *echoLoad {
	b.Helper()
	url := serveWS(b, h)
	l := &echoLoad{b: b, say: say}
	for range echoConns {
		l.conns = append(l.conns, dial(b, url, nil))
	}
	l.round() // buffers are warm
	return l
}

// round sends echoRound messages over each connection and waits for the echoes.
func (l *echoLoad) round() time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for _, conn := range l.conns {
		wg.Go(func() {
			for range echoRound {
				if err := conn.WriteMessage(websocket.TextMessage, l.say); err != nil {
					l.b.Error(err)
					return
				}
				if _, _, err := conn.ReadMessage(); err != nil {
					l.b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
