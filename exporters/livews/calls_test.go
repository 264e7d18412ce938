package livews

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// Calls are listed by host, route and message, exactly, whatever is sampled; those
// of no connection are nobody's.
func TestCallsAreWhatWasDrivenIn(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	defer api.Close()
	client := &http.Client{Transport: apmws.Transport(nil)}
	defer client.CloseIdleConnections()
	call := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL, http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	v := New(Options{})
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{v},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"pay"}},
		Sampling:  &apmws.Sampling{Rate: 0},
	})
	opts := apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) { return ctx, call(ctx) },
		Message: func(ctx context.Context, m apmws.Message) error {
			if err := call(ctx); err != nil {
				return err
			}
			return apmws.FromContext(ctx).Write(ctx, m.Type, m.Data)
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/shop", agent.Endpoint("/shop", opts))
	mux.Handle("/desk", agent.Endpoint("/desk", opts))
	mux.Handle("/debug/ws/", v)
	server := httptest.NewServer(mux)
	defer server.Close()
	if err := call(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d, _ := get(t, server.URL, 0); len(d.Calls) != 0 || d.CallsTotal != 0 {
		t.Errorf("before any connection: %+v", d.Calls)
	}
	for route, messages := range map[string]int{"/shop": 3, "/desk": 0} {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range messages {
			say(t, conn, `{"type":"pay"}`)
		}
	}
	d, _ := get(t, server.URL, 0)
	want := []Calls{
		{"127.0.0.1", "/shop", "pay", 3},
		{"127.0.0.1", "/desk", "CONNECT", 1},
		{"127.0.0.1", "/shop", "CONNECT", 1},
	}
	if !slices.Equal(d.Calls, want) || d.CallsTotal != len(want) {
		t.Errorf("the calls are %+v (of %d), want %+v", d.Calls, d.CallsTotal, want)
	}
}

func TestTheMostFrequentCallsAreListed(t *testing.T) {
	var stats apmws.Stats
	for route := range 3 {
		r := apmws.RouteStats{Route: fmt.Sprint("/", route)}
		for host := range 100 {
			r.Calls = append(r.Calls, apmws.CallStats{Name: "pay", Address: fmt.Sprint(host), Count: int64(1000*route + host)})
		}
		stats.Routes = append(stats.Routes, r)
	}
	list, total := calls(&stats)
	if total != 300 || len(list) != callsListed {
		t.Fatalf("%d of %d", len(list), total)
	}
	if first, last := list[0], list[callsListed-1]; first != (Calls{"99", "/2", "pay", 2099}) || last != (Calls{"0", "/1", "pay", 1000}) {
		t.Errorf("from %+v to %+v", first, last)
	}
}
