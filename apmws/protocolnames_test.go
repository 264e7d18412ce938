package apmws_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/apmws/go-apmws/apmws"
)

// What the tests of JSONRPC, GraphQLWS, STOMP, SocketIO and MQTT share.

// naming is a message and the name that it is to have; none is "".
type naming struct {
	about   string
	typ     apmws.MessageType
	payload string
	want    string
}

// testNamings checks the names, that each is registered, and what a NameFunc
// promises.
func testNamings(t *testing.T, name apmws.NameFunc, registered []string, namings []naming) {
	t.Helper()
	if sorted := slices.Sorted(slices.Values(registered)); len(slices.Compact(sorted)) != len(registered) {
		t.Errorf("a name is registered twice: %q", registered)
	}
	seen := make(map[string]bool)
	for _, n := range namings {
		if seen[n.about] {
			t.Errorf("two messages are called %q", n.about)
		}
		seen[n.about] = true
		t.Run(n.about, func(t *testing.T) {
			payload := []byte(n.payload)
			if got := string(name(nil, n.typ, payload)); got != n.want {
				t.Errorf("%.80q is %q, want %q", n.payload, got, n.want)
			}
			if got := string(name([]byte("kept "), n.typ, payload)); got != "kept "+n.want {
				t.Errorf("appended to %q: %q, want %q", "kept ", got, "kept "+n.want)
			}
			if n.want != "" && !slices.Contains(registered, n.want) {
				t.Errorf("%q is not among the names to register, %q", n.want, registered)
			}
			dst := make([]byte, 0, 64)
			if a := testing.AllocsPerRun(10, func() { dst = name(dst[:0], n.typ, payload) }); a != 0 {
				t.Errorf("%v allocations, want 0", a)
			}
			for end := range min(len(payload), 256) {
				name(nil, n.typ, payload[:end:end])
			}
			if string(payload) != n.payload {
				t.Errorf("the payload was changed to %.80q", payload)
			}
		})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				for _, n := range namings {
					if got := string(name(nil, n.typ, []byte(n.payload))); got != n.want {
						t.Errorf("of several goroutines, one names %.80q %q, want %q", n.payload, got, n.want)
					}
				}
			}
		})
	}
	wg.Wait()
}

// fuzzedName names a message and checks what a NameFunc promises of any.
func fuzzedName(t *testing.T, name apmws.NameFunc, typ apmws.MessageType, payload []byte) string {
	t.Helper()
	before := bytes.Clone(payload)
	// A byte that is no UTF-8 becomes the three of U+FFFD.
	limit := 64 + 3*len(payload)
	dst := append(make([]byte, 0, limit), "dst"...)
	out := name(dst, typ, payload)
	if !bytes.Equal(payload, before) {
		t.Fatalf("the payload was changed from %q to %q", before, payload)
	}
	got, ok := bytes.CutPrefix(out, []byte("dst"))
	if !ok || &out[0] != &dst[0] {
		t.Fatalf("dst was not kept, or outgrown: %q of %q", out, payload)
	}
	return string(got)
}
