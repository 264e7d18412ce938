package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// intrude tries to get in with credentials that the chat must refuse, until the
// Dialer gives up: that is after one further attempt.
func (p *person) intrude(ctx context.Context) {
	attempts := []http.Header{{}, {"Authorization": {"Bearer wrong"}}}
	if p.token.text != "" {
		attempts = append(attempts, http.Header{"Authorization": {"Bearer " + p.token.text}, "Origin": {"https://elsewhere.example"}})
	}
	header := attempts[p.rng.IntN(len(attempts))]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	counts := &p.f.counts
	err := p.f.agent.Dialer("intruder", p.f.chat.socket(), apmws.DialerOptions{
		Dialer: websocket.Dialer{
			WriteBufferPool: &p.f.writeBuffers,
			NetDialContext:  func(ctx context.Context, network, _ string) (net.Conn, error) { return p.reach(ctx, network, 0) },
		},
		Header: func(context.Context) (http.Header, error) { return header, nil },
		Connect: func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			counts.add(opened)
			counts.add(vanished)
			conn.WebSocket().Close()
			cancel()
			return ctx, nil
		},
		Message: func(context.Context, apmws.Message) error { return nil },
		State: func(s apmws.DialState) {
			if s.Phase != apmws.DialWaiting && s.Phase != apmws.DialGaveUp || ctx.Err() != nil {
				return
			}
			p.failed(s.Err)
			if no := (*apmws.RefusalError)(nil); !errors.As(s.Err, &no) || no.Status >= http.StatusInternalServerError {
				cancel() // it is not that the chat does not want it
			}
		},
		FirstDelay: p.f.cfg.firstDelay,
		MaxDelay:   p.f.cfg.maxDelay,
	}).Run(ctx)
	if gaveUp := (*apmws.GaveUpError)(nil); errors.As(err, &gaveUp) {
		counts.add(hopeless)
	}
}
