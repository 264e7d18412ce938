package hour

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// partner is what servers ask another service for, by HTTP through the library's
// Transport.
type partner struct{ method, host string }

var (
	billing   = partner{http.MethodGet, "api.billing.example"}
	fileStore = partner{http.MethodPut, "files.example"}
	market    = partner{http.MethodGet, "market.example"}
	pushes    = partner{http.MethodPost, "push.example"}
)

// httpsPort is where all partners listen.
const httpsPort = "443"

// answer is what is to become of a request.
type answer struct {
	from   string // whose request it is, as the telemetry is to say
	takes  time.Duration
	status int
}

// answerKey finds the answer to a request in its context.
type answerKey struct{}

// ask asks a partner, and returns whether the answer is good.
func (n *node) ask(ctx context.Context, whom partner, a answer) (good bool) {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, answerKey{}, a), whom.method, "https://"+whom.host+"/v1?token=secret", http.NoBody)
	if err != nil {
		return false
	}
	res, err := n.calls.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode < http.StatusBadRequest
}

// askBilling asks the billing service for somebody's plan. In the incident, that is
// slow, and fails now and then, which lets nobody stand outside.
func (n *node) askBilling(ctx context.Context, v *visit, from string) {
	a := answer{from, v.server.lasts(45*time.Millisecond, 0.35), http.StatusOK}
	if n.script.inIncident(time.Now()) {
		a.takes *= 3
		if v.server.happens(0.04) {
			a.status = http.StatusServiceUnavailable
		}
	}
	n.ask(ctx, billing, a)
}

// partners are where requests arrive, of which they note what the telemetry is to say.
type partners struct{ book *book }

// RoundTrip implements http.RoundTripper.
func (p partners) RoundTrip(r *http.Request) (*http.Response, error) {
	v, a := visitOf(r.Context()), r.Context().Value(answerKey{}).(answer)
	c := Call{
		Place: v.place, At: time.Now(), Name: r.Method + " " + r.URL.Host, Destination: net.JoinHostPort(r.URL.Host, httpsPort),
		Host: r.URL.Host, Took: a.takes, Outcome: apmws.OutcomeSuccess, From: a.from,
	}
	if a.status >= http.StatusBadRequest {
		c.Outcome = apmws.OutcomeFailure
	}
	note(p.book, &p.book.calls, c)
	time.Sleep(a.takes)
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
		Body: io.NopCloser(strings.NewReader("{}")), Request: r,
	}, nil
}
