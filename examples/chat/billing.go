package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

const billingWait = 3 * time.Second

// billing is a client of the billing API, and that API too: a service that a
// chat would call elsewhere listens here, on a loopback port of its own.
type billing struct {
	client http.Client
	url    string
	api    *http.Server
	served chan error
}

func newBilling() (*billing, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	b := &billing{
		client: http.Client{Transport: &spanTransport{base: &http.Transport{}, destination: "billing"}},
		url:    "http://" + ln.Addr().String() + "/status",
		api:    &http.Server{Handler: billingAPI(), ReadHeaderTimeout: billingWait},
		served: make(chan error, 1),
	}
	go func() { b.served <- b.api.Serve(ln) }()
	return b, nil
}

// billingAPI answers after a little while, as services do, so that it shows in
// a waterfall.
func billingAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(15 * time.Millisecond)
		writeJSON(w, http.StatusOK, billingStatus{Plan: "free", State: "active"})
	})
	return mux
}

// billingStatus is the API's answer, and with a type the chat's.
type billingStatus struct {
	Type  string `json:"type,omitempty"`
	Plan  string `json:"plan"`
	State string `json:"state"`
}

// status asks the API about a user. The name travels in a header: URLs end up
// in logs.
func (b *billing) status(ctx context.Context, user string) (answer any, err error) {
	ctx, cancel := context.WithTimeout(ctx, billingWait)
	defer cancel()
	status, err := b.get(ctx, user)
	if err != nil {
		return nil, &problem{text: "billing does not answer, try again later", cause: err}
	}
	status.Type = typeBilling
	return status, nil
}

func (b *billing) get(ctx context.Context, user string) (status billingStatus, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, http.NoBody)
	if err != nil {
		return status, err
	}
	req.Header.Set("X-User", user)
	res, err := b.client.Do(req)
	if err != nil {
		return status, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return status, fmt.Errorf("billing answered %d", res.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(res.Body, maxMessage)).Decode(&status)
	return status, err
}

// close ends the API, with a grace for requests in hand.
func (b *billing) close() error {
	b.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), partGrace)
	defer cancel()
	err := b.api.Shutdown(ctx)
	if served := <-b.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// spanTransport makes each request a span of the message that is being handled,
// in every exporter at once. It ends when the head of the answer is there.
type spanTransport struct {
	base        *http.Transport
	destination string // a bounded name of the service, never a host that varies
}

// RoundTrip implements http.RoundTripper.
func (t *spanTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := apmws.StartSpan(req.Context(), req.Method+" "+t.destination, apmws.SpanOptions{
		Type: "external.http", Destination: t.destination,
	})
	res, err := t.base.RoundTrip(req.WithContext(ctx))
	failure := err
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		failure = errors.New(res.Status)
	}
	span.End(failure)
	return res, err
}

// CloseIdleConnections lets http.Client reach the transport below.
func (t *spanTransport) CloseIdleConnections() { t.base.CloseIdleConnections() }
