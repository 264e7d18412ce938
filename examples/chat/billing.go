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

	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

const billingWait = 3 * time.Second

// billing is a client of the billing API, and that API too: a service that a
// chat would call elsewhere listens here, on a loopback port of its own, and goes
// by a name as it would there.
type billing struct {
	client http.Client
	addr   string // where the API listens
	api    *http.Server
	served chan error
}

const billingURL = "http://billing/status"

func newBilling(log zerolog.Logger) (*billing, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	b := &billing{
		addr:   ln.Addr().String(),
		api:    &http.Server{Handler: billingAPI(log), ReadHeaderTimeout: billingWait},
		served: make(chan error, 1),
	}
	b.client.Transport = apmws.Transport(&http.Transport{DialContext: b.dial}) // says whose calls these are
	go func() { b.served <- b.api.Serve(ln) }()
	return b, nil
}

// dial connects to the API, whatever its name resolves to.
func (b *billing) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, b.addr)
}

// billingAPI answers after a little while, as services do, so that it shows in
// a waterfall. Its log does not know why it is asked.
func billingAPI(log zerolog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		log.Debug().Str("event.action", "billing-request").Str("user.id", cut(r.Header.Get("X-User"), 4*maxName)).Msg("billing API asked")
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, billingURL, http.NoBody)
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
