package apmws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestTransportOutcomes: how a request has ended is how its span ends.
func TestTransportOutcomes(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/missing":
			http.NotFound(w, r)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		case "/torn":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half of")
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		case "/away":
			panic(http.ErrAbortHandler)
		}
	})
	base := errors.New("no route to host")
	type end struct {
		outcome Outcome
		status  any // nil: none
	}
	tests := []struct {
		name string
		to   string
		base http.RoundTripper
		use  func(*http.Response, error) error
		want end
	}{
		{"read", "/", p, read, end{OutcomeSuccess, int64(200)}},
		{"no body", "/none", p, nothing, end{OutcomeSuccess, int64(204)}},
		{"not read, but closed", "/long", p, closeUnread, end{OutcomeSuccess, int64(200)}},
		{"a status of the client's", "/missing", p, read, end{OutcomeFailure, int64(404)}},
		{"a status of the server's", "/broken", p, closeUnread, end{OutcomeFailure, int64(502)}},
		{"a torn body", "/torn", p, wantError(io.ErrUnexpectedEOF), end{OutcomeFailure, int64(200)}},
		{"no answer", "/away", p, wantError(io.EOF), end{OutcomeFailure, nil}},
		{"an error", "/", roundTripper(func(*http.Request) (*http.Response, error) { return nil, base }), wantSame(base), end{OutcomeFailure, nil}},
		{"neither", "/", roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }), nothing, end{OutcomeFailure, nil}},
		{"no body at all", "/", roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK}, nil
		}), nothing, end{OutcomeSuccess, int64(200)}},
	}
	agent, rec := inMessage(t, func(ctx context.Context) {
		for _, test := range tests {
			if err := test.use(Transport(test.base).RoundTrip(requestOf(ctx, t, "http://billing.example"+test.to))); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
	ends := rec.all("span-end")
	if len(ends) != len(tests) {
		t.Fatalf("%d spans have ended, want %d", len(ends), len(tests))
	}
	for i, test := range tests {
		if got := (end{ends[i].outcome, ends[i].attrs[semconv.StatusCode]}); got != test.want {
			t.Errorf("%s: the span ends with %v, want %v", test.name, got, test.want)
		}
	}
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": int64(len(tests))})
}

func read(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

func closeUnread(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// nothing leaves the answer alone, which has no body that would have to be closed.
func nothing(_ *http.Response, err error) error { return err }

func wantError(want error) func(*http.Response, error) error {
	return func(res *http.Response, err error) error {
		if err = read(res, err); !errors.Is(err, want) {
			return fmt.Errorf("the error is %w, want %w", err, want)
		}
		return nil
	}
}

func wantSame(want error) func(*http.Response, error) error {
	return func(_ *http.Response, err error) error {
		if err != want { // not even wrapped
			return fmt.Errorf("the error is %w, want %w itself", err, want)
		}
		return nil
	}
}

// TestTransportEnd: the span ends with the body, once, and not before.
func TestTransportEnd(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "answer") })
	rec := newRecorder()
	ended := func(want int) {
		t.Helper()
		if got := len(rec.all("span-end")); got != want {
			t.Errorf("%d spans have ended, want %d", got, want)
		}
	}
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	res, err := Transport(p).RoundTrip(requestOf(c.scope, t, "http://billing.example/"))
	if err != nil {
		t.Fatal(err)
	}
	ended(0)
	if _, err := io.ReadFull(res.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	ended(0)
	if rest, err := io.ReadAll(res.Body); string(rest) != "wer" || err != nil {
		t.Fatalf("the rest is %q, %v", rest, err)
	}
	ended(1)
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a closed body is read: %d, %v", n, err)
	}
	ended(1)
	if end := rec.all("span-end")[0]; end.outcome != OutcomeSuccess {
		t.Errorf("the span ends with %s", end.outcome)
	}
}

// TestTransportBodies: a body keeps what it can do beside being read.
func TestTransportBodies(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	c := agent.connect(agent.route("/ws"), upgradeRequest())
	roundTrip := func(status int, body io.ReadCloser) io.ReadCloser {
		t.Helper()
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body}, nil
		})
		res, err := Transport(base).RoundTrip(requestOf(c.scope, t, "http://billing.example/"))
		if err != nil {
			t.Fatal(err)
		}
		return res.Body
	}
	if roundTrip(204, http.NoBody) != http.NoBody {
		t.Error("no body has become one")
	}
	one, other := net.Pipe()
	defer one.Close()
	if roundTrip(101, one) != io.ReadCloser(one) {
		t.Error("a connection has become another")
	}
	if got := len(rec.all("span-end")); got != 2 {
		t.Errorf("%d spans have ended, want those without a body", got)
	}
	body := roundTrip(200, io.NopCloser(bytes.NewReader([]byte("answer")))) // which can write itself
	to, ok := body.(io.WriterTo)
	if !ok {
		t.Fatal("the body cannot write itself any more")
	}
	other.Close()
	if _, err := to.WriteTo(one); err == nil {
		t.Error("a pipe that nobody reads takes an answer")
	}
	if got := len(rec.all("span-end")); got != 2 { // which is not the fault of what is called
		t.Errorf("%d spans have ended", got)
	}
	body.Close()
	whole := roundTrip(200, io.NopCloser(strings.NewReader("answer"))).(io.WriterTo)
	var got bytes.Buffer
	if n, err := whole.WriteTo(&got); n != 6 || err != nil || got.String() != "answer" {
		t.Errorf("%d bytes are written, %q, %v", n, &got, err)
	}
	ends := rec.all("span-end")
	if len(ends) != 4 || ends[2].outcome != OutcomeSuccess || ends[3].outcome != OutcomeSuccess {
		t.Errorf("the spans end as %+v", ends)
	}
}

// TestTransportUpgrade: a connection that is upgraded is the application's, and its
// span is over.
func TestTransportUpgrade(t *testing.T) {
	p := newPartner(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		fmt.Fprint(conn, line)
	})
	_, rec := inMessage(t, func(ctx context.Context) {
		req := requestOf(ctx, t, "http://billing.example/")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		res, err := Transport(p).RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		conn, ok := res.Body.(io.ReadWriteCloser)
		if !ok || res.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("the answer is %d with a body of %T", res.StatusCode, res.Body)
			return
		}
		fmt.Fprint(conn, "ping\n")
		if answer, err := io.ReadAll(conn); string(answer) != "ping\n" || err != nil {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	})
	if ends := rec.all("span-end"); len(ends) != 1 || ends[0].outcome != OutcomeSuccess || ends[0].attrs[semconv.StatusCode] != int64(101) {
		t.Errorf("the spans end as %+v", ends)
	}
}

// TestTransportCancelled: who gives up a request gets its error as it is.
func TestTransportCancelled(t *testing.T) {
	arrived := make(chan struct{}, 2)
	p := newPartner(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	_, rec := inMessage(t, func(ctx context.Context) {
		client := &http.Client{Transport: Transport(p)}
		waiting, cancel := context.WithCancel(ctx)
		go func() { <-arrived; cancel() }()
		if err := read(client.Do(requestOf(waiting, t, "http://billing.example/"))); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		reading, cancel := context.WithCancel(ctx)
		go func() { <-arrived; cancel() }()
		if err := read(client.Do(requestOf(reading, t, "http://billing.example/begun"))); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
	for _, end := range rec.wait(t, "span-end", 2) {
		if end.outcome != OutcomeFailure {
			t.Errorf("a span ends as %+v", end)
		}
	}
}

// TestTransportPanics: a panic of the base transport goes on as it is, after the
// span has failed.
func TestTransportPanics(t *testing.T) {
	agent, rec := inMessage(t, func(ctx context.Context) {
		defer func() {
			if p := recover(); p != "base panics" {
				t.Errorf("the panic is %v", p)
			}
		}()
		_, _ = Transport(roundTripper(func(*http.Request) (*http.Response, error) { panic("base panics") })).
			RoundTrip(requestOf(ctx, t, "http://billing.example/"))
	})
	if ends := rec.all("span-end"); len(ends) != 1 || ends[0].outcome != OutcomeFailure || len(ends[0].attrs) != 0 {
		t.Errorf("the spans end as %+v", ends)
	}
	wantCalls(t, agent, map[string]int64{"/ws order.pay billing.example": 1})
}
