package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/internal/alone"
	"github.com/apmws/go-apmws/exporters/newrelicws"
)

// newRelic is what is measured with New Relic: its agent hands a transaction
// over by a blocking send, so its caller waits when the agent cannot keep up.
type newRelic struct {
	app   *newrelic.Application
	agent *apmws.Agent
}

func startNewRelic() (*newRelic, error) {
	app, err := newrelic.NewApplication(func(cfg *newrelic.Config) {
		cfg.AppName = "budgets"
		cfg.License = strings.Repeat("0", 40)
		cfg.Transport = slowCollector{}
		alone.NewRelic(cfg)
	})
	if err != nil {
		return nil, err
	}
	agent := apmws.New(apmws.Options{
		Messages: messageOptions(), Exporters: []apmws.Exporter{newrelicws.New(app)},
	})
	return &newRelic{app: app, agent: agent}, app.WaitForConnection(time.Minute)
}

// slowCollector is New Relic's collector, as a transport. It connects at once
// and takes its time over everything else. The agent is to send its events each
// second, so that this is felt.
type slowCollector struct{}

// RoundTrip implements http.RoundTripper.
func (slowCollector) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	status, body := http.StatusAccepted, ""
	switch r.URL.Query().Get("method") {
	case "preconnect":
		status, body = http.StatusOK, `{"return_value":{"redirect_host":"`+r.URL.Host+`"}}`
	case "connect":
		status, body = http.StatusOK, `{"return_value":{"agent_run_id":"1","event_harvest_config":{"report_period_ms":1000,`+
			`"harvest_limits":{"analytic_event_data":1000,"custom_event_data":1000,"error_event_data":100,"span_event_data":1000}}}}`
	default:
		select {
		case <-time.After(2 * time.Second):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// stalls are the times from one message of a connection to the next.
type stalls struct {
	Median, P99, Max time.Duration
}

// Messages come in bursts, as they do in practice: without pauses it would be
// the cores that are waited for. New Relic's agent has room for 200 transactions.
const (
	stallLoops = 4 // connections that are read at the same time
	stallBurst = 250
	stallPause = 10 * time.Millisecond
)

// The variants of a loop whose stalls are measured.
const (
	stallPlain  = "plain"
	stallByHand = "by hand"
	stallServe  = "Serve"
)

// request measures the variant over so many messages on each connection.
func (n *newRelic) request(r request) (a answer, err error) {
	wrap := func(h http.Handler) http.Handler { return h }
	if r.Variant == stallServe {
		wrap = func(h http.Handler) http.Handler { return n.agent.Handler(route, h) }
	}
	type result struct {
		gaps []time.Duration
		err  error
	}
	results := make(chan result)
	for range stallLoops {
		go func() {
			gaps := make([]time.Duration, 0, r.Count)
			last := time.Now()
			mark := func() {
				gaps = append(gaps, time.Since(last))
				if len(gaps)%stallBurst == 0 {
					time.Sleep(stallPause)
				}
				last = time.Now()
			}
			err := overMemory(wrap, r.Count, r.Size, func(ctx context.Context, conn *websocket.Conn) {
				last = time.Now()
				n.loop(ctx, conn, r.Variant, mark)
			})
			results <- result{gaps, err}
		}()
	}
	var gaps []time.Duration
	for range stallLoops {
		result := <-results
		gaps = append(gaps, result.gaps...)
		err = errors.Join(err, result.err)
	}
	if err == nil && len(gaps) != stallLoops*r.Count {
		err = fmt.Errorf("%d messages were handled, %d sent", len(gaps), stallLoops*r.Count)
	}
	if err != nil {
		return a, err
	}
	slices.Sort(gaps)
	a.Stalls = stalls{Median: gaps[len(gaps)/2], P99: gaps[len(gaps)*99/100], Max: gaps[len(gaps)-1]}
	return a, nil
}

// loop reads messages and calls mark for each, where its handler would be.
func (n *newRelic) loop(ctx context.Context, conn *websocket.Conn, name string, mark func()) {
	switch name {
	case stallServe:
		_ = apmws.Serve(ctx, conn, func(context.Context, apmws.Message) error {
			mark()
			return nil
		})
	case stallByHand:
		readPooled(conn, func(text []byte) {
			tx := n.app.StartTransaction("Message/"+eventName, newrelic.WithoutCodeLevelMetrics())
			tx.AddAttribute("websocket.event", "message")
			tx.AddAttribute("websocket.connection.id", "0123456789abcdef")
			tx.AddAttribute("http.route", route)
			tx.AddAttribute("websocket.message.type", "text")
			tx.AddAttribute("websocket.message.length", len(text))
			tx.AddAttribute("websocket.message.direction", "inbound")
			// In place of the link that New Relic does not have.
			tx.AddAttribute("websocket.connection.trace_id", "0123456789abcdef0123456789abcdef")
			tx.AddAttribute("websocket.connection.span_id", "0123456789abcdef")
			mark()
			tx.AddAttribute("result", "ok")
			tx.AddAttribute("event.outcome", "success")
			tx.End()
		})
	default:
		readPooled(conn, func([]byte) { mark() })
	}
}

// stallFigures compares the stalls of read loops.
func stallFigures(ctx context.Context, s settings, t *table) error {
	m, err := startChild(ctx, childSpec{Role: newRelicRole})
	if err != nil {
		return err
	}
	defer m.stop()
	variants := []string{stallPlain, stallByHand, stallServe}
	type figures struct{ median, p99, longest samples }
	measured := make(map[string]figures)
	for round := range s.rounds + 1 {
		for i := range variants {
			name := variants[(i+round)%len(variants)]
			a, err := m.ask(request{Variant: name, Count: s.loop / 10, Size: messageSize})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if round > 0 {
				f := measured[name]
				f.median = append(f.median, float64(a.Stalls.Median))
				f.p99 = append(f.p99, float64(a.Stalls.P99))
				f.longest = append(f.longest, float64(a.Stalls.Max))
				measured[name] = f
			}
		}
	}
	for _, v := range []struct{ variant, name string }{
		{stallPlain, "pooled loops"}, {stallByHand, "New Relic by hand"}, {stallServe, "Serve with New Relic"},
	} {
		t.add(
			median(v.name+": from message to message, median", measured[v.variant].median, nanoseconds, noLimit),
			median(v.name+": 99th percentile", measured[v.variant].p99, nanoseconds, noLimit),
			median(v.name+": longest of a round", measured[v.variant].longest, nanoseconds, noLimit),
		)
	}
	t.note("New Relic: %d loops over memory at once, in bursts of %d messages with pauses of %v, and a collector that answers after two seconds.",
		stallLoops, stallBurst, stallPause)
	return nil
}
