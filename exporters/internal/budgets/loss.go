package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

const (
	lossRate  = 200_000 // messages per second
	lossBatch = 20      // messages in a write of the client
	lossCap   = 500     // messages per second that the rate cap lets pass
)

// productionLoss looks for messages that were chosen and have not arrived.
func productionLoss(ctx context.Context, s settings, t *table) error {
	sampled, err := loseNothing(ctx, s, production())
	if err != nil {
		return err
	}
	zero := atMost(0, counted)
	t.add(
		single("two cores: messages per second", sampled.rate, perSecond, noLimit),
		single("  messages", sampled.messages, counted, noLimit),
		single("  chosen", sampled.chosen, counted, noLimit),
		signed(single("  chosen, but not received by the APM Server", sampled.lost, counted, zero)),
		signed(single("  dropped by Elastic's agent", sampled.dropped, counted, zero)),
	)
	if sampled.rate < lossRate*0.99 {
		t.note("The load is meant to be %d messages per second: the machine could not do more than what is shown.", lossRate)
	}
	capped, err := loseNothing(ctx, s, &apmws.Sampling{Rate: 1, MaxPerSecond: lossCap})
	if err != nil {
		return err
	}
	// Seconds are those of a clock, so that a load touches one more.
	seconds := math.Ceil(capped.elapsed.Seconds()) + 1
	t.add(
		single(fmt.Sprintf("everything chosen, at most %d per second: messages per second", lossCap), capped.rate, perSecond, noLimit),
		single(fmt.Sprintf("  recorded in %v", capped.elapsed.Round(10*time.Millisecond)), capped.chosen, counted, atMost(lossCap*seconds, counted)),
		single("  counted as beyond the cap", capped.beyond, counted, noLimit),
		signed(single("  recorded, but not received by the APM Server", capped.lost, counted, zero)),
		signed(single("  dropped by Elastic's agent", capped.dropped, counted, zero)),
	)
	return nil
}

// loss is what became of the messages of a load.
type loss struct {
	elapsed                                           time.Duration
	rate                                              float64
	messages, chosen, received, lost, beyond, dropped float64
}

// loseNothing loads a server on two cores.
func loseNothing(ctx context.Context, s settings, sampling *apmws.Sampling) (l loss, err error) {
	var cs children
	defer cs.stop()
	intake, err := cs.start(ctx, childSpec{Role: intakeRole})
	if err != nil {
		return l, err
	}
	server, err := cs.start(ctx, childSpec{Role: serverRole, Procs: 2, Server: serverSpec{
		Echo: echoWrite, Intake: intake.Address, Sampling: sampling, Count: true,
	}})
	if err != nil {
		return l, err
	}
	clients, err := dialLoad(ctx, server.Address, s.connections, lossBatch)
	if err != nil {
		return l, err
	}
	defer clients.close()
	perBatch := s.connections * lossBatch
	interval := time.Second * time.Duration(perBatch) / lossRate
	batches := int(s.burst / interval)
	if l.elapsed, err = clients.paced(batches, interval); err != nil {
		return l, err
	}
	clients.close()
	counts, err := server.ask(request{Do: doCounts})
	if err != nil {
		return l, err
	}
	if sent := int64(batches * perBatch); counts.Handled != sent {
		return l, fmt.Errorf("%d messages were counted, %d sent", counts.Handled, sent)
	}
	l.messages, l.chosen = float64(counts.Handled), float64(counts.Chosen)
	l.rate = l.messages / l.elapsed.Seconds()
	for what, n := range counts.Dropped {
		if what == "apmws rate_cap" {
			l.beyond += float64(n)
		} else {
			l.dropped += float64(n)
		}
	}
	received, err := awaitReceived(ctx, intake, counts.Chosen)
	l.received = float64(received)
	l.lost = l.chosen - l.received
	return l, err
}

// awaitReceived returns how many messages have been received, once these are as
// many as wanted, or after a while.
func awaitReceived(ctx context.Context, intake *child, wanted int64) (int64, error) {
	const patience, pause = 5 * time.Second, 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		a, err := intake.ask(request{Do: doCounts})
		if err != nil || a.Received >= wanted || waited >= patience {
			return a.Received, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
	}
}
