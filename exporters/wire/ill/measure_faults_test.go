package ill

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// careless is an exporter that does with each message what an exporter must not do.
type careless struct{ with func(apmws.MessageEnd) }

func (c careless) StartConn(ctx context.Context, _ apmws.ConnStart) (context.Context, apmws.ConnSpan) {
	return ctx, c
}

func (c careless) Opened(apmws.OpenEnd) {}

func (c careless) StartMessage(ctx context.Context, _ apmws.MessageStart) (context.Context, apmws.MessageSpan) {
	return ctx, carelessMessage(c)
}

func (c careless) End(apmws.ConnEnd) {}

type carelessMessage careless

func (m carelessMessage) End(end apmws.MessageEnd) { m.with(end) }

// TestMeasure: exporters that do what they must not are found out.
func TestMeasure(t *testing.T) {
	t.Parallel() // with what takes its time, too
	well := newService(t)
	back := newBackEnd(t, newSink(elastic()), nil)
	client := &http.Client{Timeout: 20 * time.Millisecond}
	over := make(chan struct{})
	var held sync.WaitGroup
	defer held.Wait()
	defer close(over)
	var mu sync.Mutex
	var kept []slog.Attr
	for name, c := range map[string]struct {
		careless
		fault string
	}{
		"it waits for a back end that is silent": {careless{func(apmws.MessageEnd) {
			if resp, err := client.Get("http://" + back.address); err == nil {
				resp.Body.Close()
			}
		}}, "a message takes longer"},
		"it keeps what it cannot send": {careless{func(end apmws.MessageEnd) {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, end.Attrs...)
		}}, "bytes more are in use"},
		"it tries to send each on a goroutine": {careless{func(apmws.MessageEnd) {
			held.Go(func() { <-over })
		}}, "goroutines more"},
	} {
		t.Run(name, func(t *testing.T) {
			back.fall(t, silent)
			mine, companion := newService(t, c.careless).dial(t, "/load", peersInRound), well.dial(t, "/load", peersInRound)
			var m measured
			if m.compare(mine, companion); !m.slower() { // else the rest would take long
				m = measure(mine, companion)
			}
			mine.hangUp()
			companion.hangUp()
			if faults := m.faults(); !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.fault) }) {
				t.Errorf("faults %q, want one with %q", faults, c.fault)
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if len(kept) == 0 {
		t.Error("nothing was kept")
	}
}
