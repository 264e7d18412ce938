package main

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// memory runs read loops over memory: what is measured is the caller's time and
// what is allocated, without a network.
type memory struct {
	variants map[string]variant
}

// variant is a read loop and what surrounds its handler.
type variant struct {
	wrap func(http.Handler) http.Handler
	loop func(context.Context, *websocket.Conn)
}

// The variants.
const (
	readMessage    = "ReadMessage"               // the loop of most programs
	pooled         = "pooled"                    // NextReader into a buffer that is used again, as Serve reads
	pooledTapped   = "pooled, tapped"            // the same below Agent.Handler
	serveNothing   = "Serve"                     // no exporter
	serveNop       = "Serve, exporter"           // one that does nothing
	serveUnsampled = "Serve, no sample"          // the same, and no message is chosen
	serveUnnamed   = "Serve, no sample, no name" // nor is one named
	elasticByHand  = "Elastic by hand"           // in the pooled loop
	elasticServe   = "Elastic, Serve"
)

func newMemory() (*memory, error) {
	tracer, err := discardingTracer()
	if err != nil {
		return nil, err
	}
	named, never := messageOptions(), &apmws.Sampling{}
	nop := []apmws.Exporter{nopExporter{}}
	below := func(opts apmws.Options) func(http.Handler) http.Handler {
		agent := apmws.New(opts)
		return func(h http.Handler) http.Handler { return agent.Handler(route, h) }
	}
	bare := func(h http.Handler) http.Handler { return h }
	counting := below(apmws.Options{Messages: named})
	return &memory{variants: map[string]variant{
		readMessage:    {bare, usualLoop},
		pooled:         {bare, pooledLoop},
		pooledTapped:   {counting, pooledLoop},
		serveNothing:   {counting, serveLoop},
		serveNop:       {below(apmws.Options{Messages: named, Exporters: nop}), serveLoop},
		serveUnsampled: {below(apmws.Options{Messages: named, Exporters: nop, Sampling: never}), serveLoop},
		serveUnnamed:   {below(apmws.Options{Exporters: nop, Sampling: never}), serveLoop},
		elasticByHand:  {bare, parts{tracer: tracer}.readByHand},
		elasticServe:   {below(apmws.Options{Messages: named, Exporters: elasticExporters(tracer)}), serveLoop},
	}}, nil
}

func (m *memory) request(r request) (answer, error) {
	v, ok := m.variants[r.Variant]
	if r.Do != doMeasure || !ok {
		return answer{}, unknownRequest(r)
	}
	return v.measure(r.Count, r.Size)
}

// measure runs the loop over so many messages of that size in bytes. The upgrade
// is not measured.
func (v variant) measure(count, size int) (a answer, err error) {
	runtime.LockOSThread() // for callerTime
	defer runtime.UnlockOSThread()
	runtime.GC()
	var before, after runtime.MemStats
	var start, end time.Duration
	var startErr, endErr error
	err = overMemory(v.wrap, count, size, func(ctx context.Context, conn *websocket.Conn) {
		runtime.ReadMemStats(&before)
		start, startErr = callerTime()
		v.loop(ctx, conn)
		end, endErr = callerTime()
		runtime.ReadMemStats(&after)
	})
	a.Elapsed, a.Allocs = end-start, after.Mallocs-before.Mallocs
	return a, errors.Join(err, startErr, endErr)
}
