package apmws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestFailureAttributes: an error document stands alone, so it has all attributes
// of its transaction, those of the start and of the application included.
func TestFailureAttributes(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	url := serveWS(t, agent.Endpoint("/ws", EndpointOptions{
		Authenticate: func(ctx context.Context, r *http.Request) (context.Context, error) {
			FromContext(ctx).SetAttrs(slog.String("tenant", "acme"))
			if r.Header.Get("X-Panic") != "" {
				panic("in Authenticate")
			}
			return ctx, nil
		},
		Upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
		Message: func(_ context.Context, m Message) error {
			if string(m.Data) == "panic" {
				panic("in Message")
			}
			return errors.New("no")
		},
	}))
	header := http.Header{"Origin": {"https://chat.example"}, "X-Panic": {"yes"}}
	if resp, _ := handshakeWith(t, url, func(r *http.Request) { maps.Copy(r.Header, header) }); resp.StatusCode != http.StatusInternalServerError {
		t.Fatalf("answered with %d", resp.StatusCode)
	}
	header.Del("X-Panic")
	conn := dial(t, url, header)
	for _, text := range []string{"fail", "panic"} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _ = conn.ReadMessage() // answers the close
	rec.wait(t, "disconnect", 1)

	failed := 0
	for _, kind := range []string{"opened", "message-end", "disconnect"} {
		for _, e := range rec.all(kind) {
			if e.failure == nil {
				continue
			}
			failed++
			got := attrMap(e.failure.Attrs)
			delete(got, semconv.ConnectionRecent)
			if !maps.Equal(got, e.attrs) || got["tenant"] != "acme" {
				t.Errorf("the error of %s has\n%v, its transaction\n%v", e.name, got, e.attrs)
			}
			if strings.HasPrefix(e.name, "CONNECT") != (got[semconv.Origin] == "https://chat.example") {
				t.Errorf("the error of %s has the origin %v", e.name, got[semconv.Origin])
			}
		}
	}
	if failed != 4 { // CONNECT, two messages, DISCONNECT
		t.Errorf("%d errors, want 4", failed)
	}
}

// TestFailureWithoutAddresses: the port of a peer differs each time, and with it the
// message by which back ends group errors.
func TestFailureWithoutAddresses(t *testing.T) {
	const peer = "192.0.2.7:51234"
	for message, want := range map[string]string{
		"write tcp 127.0.0.1:80->192.0.2.7:51234: i/o timeout":      "write tcp: i/o timeout",
		"send: write tcp [::1]:80->192.0.2.7:51234: broken pipe":    "send: write tcp: broken pipe",
		"read tcp 192.0.2.1:4711->192.0.2.9:6379: connection reset": "read tcp 192.0.2.1:4711->192.0.2.9:6379: connection reset",
		"192.0.2.7:51234 is on the list":                            "192.0.2.7:51234 is on the list",
		"->192.0.2.7:51234":                                         "->192.0.2.7:51234",
		"":                                                          "",
	} {
		f := &Failure{Message: message}
		if f.withoutAddresses(peer); f.Message != want {
			t.Errorf("%q becomes %q, want %q", message, f.Message, want)
		}
	}
	f := &Failure{Message: "a -> b"}
	if f.withoutAddresses(""); f.Message != "a -> b" {
		t.Errorf("without a peer %q is left", f.Message)
	}
}

// TestFirstPanic: a panic that EndOnPanic has raised anew is shown where it
// happened, in both errors.
func TestFirstPanic(t *testing.T) {
	rec := newRecorder()
	agent := New(Options{Exporters: []Exporter{rec}})
	conn := dial(t, serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_, tx := StartMessage(r.Context(), MessageInfo{Name: "m"})
		defer tx.EndOnPanic()
		findTheRoom()
	}))), nil)
	_, _, _ = conn.ReadMessage()
	for _, kind := range []string{"message-end", "disconnect"} {
		e := rec.wait(t, kind, 1)[0]
		if e.failure == nil || e.result != "panic" {
			t.Fatalf("%s: %+v", kind, e)
		}
		stack := string(e.failure.Stack)
		before, _, _ := strings.Cut(stack, "findTheRoom")
		lines := strings.SplitN(stack, "\n", 4)
		if !strings.HasPrefix(lines[0], "goroutine ") || !strings.HasPrefix(lines[1], "panic(") || !strings.Contains(lines[3], "apmws.findTheRoom(") ||
			strings.Contains(before, "EndOnPanic") {
			t.Errorf("the stack of %s is\n%s", kind, stack)
		}
	}
}

//go:noinline
func findTheRoom() { panic("no such room") }

// TestFailureWithoutURLs: the path and the query of a URL that an error of net/http
// carries, and those of its causes, are nowhere in a failure.
func TestFailureWithoutURLs(t *testing.T) {
	of := func(address string) error {
		return &url.Error{Op: "Get", URL: address, Err: errors.New("connection refused")}
	}
	parsed := func(address string) error { _, err := url.Parse(address); return err }
	const address = "https://billing.example:8443/v1/secret?token=secret&\"quoted\"=secret"
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"itself":  {of(address), `Get "https://billing.example:8443": connection refused`},
		"a cause": {fmt.Errorf("ask: %w", of(address)), `ask: Get "https://billing.example:8443": connection refused`},
		"joined":  {errors.Join(errors.New("one"), of(address)), `one Get "https://billing.example:8443": connection refused`},
		"told":    {fmt.Errorf("%s: %w", address, of(address)), `https://billing.example:8443: Get "https://billing.example:8443": connection refused`},
		"no host": {of("/v1/secret?token=secret"), `Get "a URL": connection refused`},
		"a slash": {of("/"), `Get "a URL": connection refused`},
		"no URL":  {of("%zz?secret"), `Get "a URL": connection refused`},
		"a redirect": {
			fmt.Errorf("%w", &url.Error{Op: "Get", URL: address, Err: of("http://other.example/secret")}),
			`Get "https://billing.example:8443": Get "http://other.example": connection refused`,
		},
		"the beginning of another": {
			errors.Join(of("https://billing.example/v1"), of("https://billing.example/v1?token=secret")),
			`Get "https://billing.example": connection refused Get "https://billing.example": connection refused`,
		},
		"its text alone": {errors.New("ask: " + of(address).Error()), `ask: Get "https://billing.example:8443": connection refused`},
		"quoted":         {fmt.Errorf("%q", of("https://billing.example/secret").Error()), `"Get \"https://billing.example: connection refused"`},
		"a password":     {errors.New("no answer of amqp://user:secret@broker.example:5672"), "no answer of amqp://broker.example:5672"},
		"a sentence":     {errors.New("(see http://[::1]/secret.) or https://[::1], closed"), "(see http://[::1].) or https://[::1], closed"},
		"a bad port":     {parsed("https://user:secret/path@billing.example/"), `parse "a URL": invalid port`},
		"a bad escape":   {parsed("https://billing.example/%zzsecret"), `parse "a URL": invalid URL escape`},
		"a silent error": {discreet{errors.New("https://billing.example/secret")}, "billing has failed"},
		"none":           {errors.New("room is full"), "room is full"},
		"none in two":    {errors.New("a://"), "a://"},
	} {
		for kind, f := range map[string]*Failure{"an error": newFailure(test.err), "a panic": panicFailure(test.err, nil)} {
			if f.Message != test.want {
				t.Errorf("%s, %s: %q, want %q", name, kind, f.Message, test.want)
			}
			for cause := range causes(f.Err) {
				if strings.Contains(cause.Error(), "secret") {
					t.Errorf("%s, %s: exporters get %v", name, kind, cause)
				}
			}
		}
	}
	if f := newFailure(errNoRoomLeft); f.Err == nil {
		t.Error("an error without a URL loses its causes")
	}
}

// discreet keeps its cause's text to itself.
type discreet struct{ cause error }

func (discreet) Error() string   { return "billing has failed" }
func (d discreet) Unwrap() error { return d.cause }

var errNoRoomLeft = fmt.Errorf("join: %w", errors.New("no room"))
