package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// TestMain is main where the test starts itself as a child.
func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		exit(runChild(spec, os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestQuick: every figure is there and makes sense; what was sent is what was
// counted, see checkHandled, and each load compares what comes back.
func TestQuick(t *testing.T) {
	figures := [len(budgets)][]string{
		{
			"time.Now, to judge the machine by",
			"64 B, ReadMessage",
			"64 B, NextReader into a pooled buffer",
			"the tap, beyond the pooled loop",
			"Serve without exporter or logger, beyond the tapped loop",
			"Serve, sampled none, all counters, beyond the pooled loop",
			"  the same with messages that are not named",
			"Serve, an exporter that does nothing, beyond the pooled loop",
			"allocations, Serve without exporter",
			"allocations, Serve, sampled none",
			"allocations, Serve with an exporter",
			"1 KiB, speed of Serve against ReadMessage",
			"1 KiB, speed of Serve, sampled none against ReadMessage",
			"64 KiB, speed of Serve against ReadMessage",
			"64 KiB, speed of Serve, sampled none against ReadMessage",
		},
		{
			"plain: messages per second",
			"plain: CPU per message",
			"plain again: throughput against plain",
			"plain again: CPU per message against plain",
			"Serve and Conn.Write: throughput against plain",
			"Serve and Conn.Write: CPU per message against plain",
			"Endpoint: throughput against plain",
			"Endpoint: CPU per message against plain",
			"two cores: messages per second",
			"  messages",
			"  chosen",
			"  chosen, but not received by the APM Server",
			"  dropped by Elastic's agent",
			"everything chosen, at most 500 per second: messages per second",
			"  recorded",
			"  counted as beyond the cap",
			"  recorded, but not received by the APM Server",
			"  dropped by Elastic's agent",
		},
		{
			"plain: messages per second",
			"plain: CPU per message",
			"transaction by hand: throughput against plain",
			"transaction by hand: CPU per message against plain",
			"Serve: throughput against plain",
			"Serve: CPU per message against plain",
			"transaction and span by hand: throughput against plain",
			"transaction and span by hand: CPU per message against plain",
			"Serve and Conn.Write, which is a span: throughput against plain",
			"Serve and Conn.Write, which is a span: CPU per message against plain",
			"caller's time, transaction by hand, beyond the pooled loop",
			"caller's time, Serve, beyond the transaction by hand",
			"allocations, transaction by hand, beyond the pooled loop",
			"allocations, Serve, beyond the transaction by hand",
			"pooled loops: from message to message, median",
			"pooled loops: 99th percentile",
			"pooled loops: longest of a round",
			"New Relic by hand: from message to message, median",
			"New Relic by hand: 99th percentile",
			"New Relic by hand: longest of a round",
			"Serve with New Relic: from message to message, median",
			"Serve with New Relic: 99th percentile",
			"Serve with New Relic: longest of a round",
		},
		{
			"plain gorilla",
			"Agent.Handler, beyond plain",
			"Agent.Endpoint",
			"plain gorilla, after a message",
			"Agent.Handler, after a message, beyond plain",
			"Agent.Endpoint, after a message",
		},
		{
			"the schedule, before the first ping: heap",
			"a ping each 10ms, and its pong, by a loop over plain connections: CPU",
			"a ping each 10ms, and its pong, by heartbeats, beyond that",
			"a ping each 100ms, and its pong, by a loop over plain connections: CPU",
			"a ping each 100ms, and its pong, by heartbeats, beyond that",
		},
		{
			"WritePreparedMessage to plain connections",
			"the tap, beyond that",
			"Broadcast, beyond WritePreparedMessage to the same connections",
			"Broadcast, beyond WritePreparedMessage to plain connections",
			"Broadcast: allocations",
			"Broadcast to connections with a send queue: the caller's time",
			"Broadcast to connections with a send queue: allocations",
		},
	}
	for i, b := range budgets {
		t.Run(strconv.Itoa(b.number), func(t *testing.T) {
			t.Parallel()
			table, err := b.measure(t.Context(), quickSettings())
			if err != nil {
				t.Fatal(err)
			}
			checkTable(t, table, figures[i])
		})
	}
}

// checkTable looks for the figures, by the beginnings of their names.
func checkTable(t *testing.T, table *table, wanted []string) {
	t.Helper()
	var out bytes.Buffer
	if err := table.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, f := range table.Figures {
		for _, v := range []float64{f.Low, f.Value, f.High} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v <= 0 && !f.Signed {
				t.Errorf("%s: %+v", f.What, f)
			}
		}
		if !strings.Contains(out.String(), f.What) {
			t.Errorf("%q is not in the table:\n%s", f.What, out.String())
		}
	}
	for _, want := range wanted {
		if !slices.ContainsFunc(table.Figures, func(f figure) bool { return strings.HasPrefix(f.What, want) }) {
			t.Errorf("%q is missing in the table:\n%s", want, out.String())
		}
	}
}

// TestLossAddsUp: the APM Server gets what was chosen, and the cap holds.
func TestLossAddsUp(t *testing.T) {
	s := quickSettings()
	for _, sampling := range []*apmws.Sampling{production(), {Rate: 1, MaxPerSecond: lossCap}, {Rate: 0}} {
		l, err := loseNothing(t.Context(), s, sampling)
		if err != nil {
			t.Fatal(err)
		}
		if l.lost != 0 || l.dropped != 0 || l.received != l.chosen {
			t.Errorf("%+v: %+v", *sampling, l)
		}
		if some := sampling.Rate > 0; (l.chosen > 0) != some || l.messages < 1000 {
			t.Errorf("%+v: %+v", *sampling, l)
		}
		if sampling.MaxPerSecond > 0 && l.chosen+l.beyond != l.messages {
			t.Errorf("%v recorded and %v beyond the cap of %v messages", l.chosen, l.beyond, l.messages)
		}
	}
}

// TestLoadCompares: an echo that is none is noticed.
func TestLoadCompares(t *testing.T) {
	server := httptest.NewServer(upgrading(func(_ context.Context, conn *websocket.Conn) {
		for {
			typ, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			text[20]++
			if err := conn.WriteMessage(typ, text); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	l, err := dialLoad(t.Context(), server.Listener.Addr().String(), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if _, err := l.closedLoop(1); err == nil || !strings.Contains(err.Error(), "got") {
		t.Errorf("the error is %v", err)
	}
}

// TestIntakeCounts: messages alone are counted.
func TestIntakeCounts(t *testing.T) {
	i, err := newIntake()
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "none")
	t.Setenv("ELASTIC_APM_CENTRAL_CONFIG", "false")
	tracer, err := newTracer(i.address)
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	h := connectByHand(tracer)
	for range 3 {
		tx, start := h.start(messageSize)
		tx.Context.SetLabel("note", `"type":"Message"`)
		h.end(tx, start)
	}
	tracer.Flush(nil)
	tracer.Flush(nil)
	if a, err := i.request(request{Do: doCounts}); err != nil || a.Received != 3 {
		t.Errorf("%d messages, error %v", a.Received, err)
	}
}

// TestChildFailures: what goes wrong in a child is told.
func TestChildFailures(t *testing.T) {
	c, err := startChild(t.Context(), childSpec{Role: memoryRole})
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	if _, err := c.ask(request{Do: doMeasure, Variant: "none"}); err == nil || !strings.Contains(err.Error(), "unknown request") {
		t.Errorf("the error is %v", err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(request{Do: doMeasure, Variant: pooled, Count: 1, Size: messageSize}); err == nil {
		t.Error("a child that has been killed answers")
	}
	var out bytes.Buffer
	for _, spec := range []childSpec{{Role: "other"}, {Role: serverRole, Server: serverSpec{Echo: "other"}}} {
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := runChild(string(text), strings.NewReader(""), &out); err == nil || out.Len() > 0 {
			t.Errorf("%+v: error %v, output %q", spec, err, &out)
		}
	}
}

func TestArguments(t *testing.T) {
	var out, messages bytes.Buffer
	for _, args := range [][]string{{"-budget", "7"}, {"-budget", "-1"}, {"-budget", "1", "more"}, {"-unknown"}} {
		if err := run(t.Context(), args, &out, &messages); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if err := run(t.Context(), []string{"-help"}, &out, &messages); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
	if got := messages.String(); !strings.Contains(got, "-rounds") || out.Len() > 0 {
		t.Errorf("the usage is\n%s", got)
	}
	if err := run(t.Context(), []string{"-quick", "-budget", "1", "-rounds", "1"}, &out, &messages); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "Budget 1:") || strings.Contains(got, "Budget 2:") {
		t.Errorf("the output is\n%s", got)
	}
}
