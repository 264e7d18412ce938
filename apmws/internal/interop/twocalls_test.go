package interop

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"

	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// TestTwoCalls: level 2 around a read loop of any library. Messages are handled
// on goroutines of their own, ended twice, and their contexts used afterwards.
func TestTwoCalls(t *testing.T) {
	t.Parallel()
	eachLibrary(t, func(t *testing.T, l library) {
		e := newElastic(t, apmws.Options{Messages: apmws.MessageOptions{Names: []string{"say", "fail"}}})
		handled := make(chan struct{})
		h := l.serve(upgrading{}, func(c wsConn, r *http.Request) {
			var handlers sync.WaitGroup
			defer close(handled)
			defer handlers.Wait()
			for {
				_, payload, err := c.receive()
				if err != nil {
					return
				}
				handlers.Go(func() {
					var m struct{ Type string }
					_ = json.Unmarshal(payload, &m)
					ctx, tx := apmws.StartMessage(r.Context(), apmws.MessageInfo{Name: m.Type, Size: len(payload)})
					var failure error
					if m.Type == "fail" {
						failure = errors.New("no")
					}
					if !setLabel(ctx, "tenant") {
						t.Error("no transaction in the message's context")
					}
					if err := e.useEverything(ctx, "in "); err != nil {
						t.Error(err)
					}
					tx.End(failure)
					tx.End(errors.New("late"))
					if apm.TransactionFromContext(ctx) != nil {
						t.Error("an ended transaction was found")
					}
					if err := e.useEverything(ctx, "after "); err != nil {
						t.Error(err)
					}
				})
			}
		})
		p := start(t, e.agent.Handler(route, h), false).upgrade(t)
		const each = 10
		for range each {
			for _, name := range []string{"say", "fail", "made up by the peer"} {
				p.send(opText, []byte(`{"Type":"`+name+`"}`))
			}
		}
		closed(1000)(p)
		e.end(t)
		receive(t, "the handlers' end", handled)
		sent := e.sent()
		names := make(map[string]int)
		for _, m := range sent.ofType(semconv.TypeMessage) {
			names[m.Name]++
			if failed := m.Outcome == "failure"; failed != (m.Name == "fail") || failed != (m.Result == "error") {
				t.Errorf("%s: result %s, outcome %s", m.Name, m.Result, m.Outcome)
			}
			spans := sent.of(m)
			for name, want := range map[string]int{"in span": 1, "in inner": 1, "in own": 1, "PUBLISH": 1, "after span": 0, "after own": 0} {
				if spans[name] != want {
					t.Errorf("%s: span %q %d times, want %d", m.Name, name, spans[name], want)
				}
			}
		}
		if len(names) != 3 || names["say"] != each || names["fail"] != each || names["_OTHER"] != each {
			t.Errorf("messages %v", names)
		}
		s := e.stats(t)
		var counted uint64
		for _, m := range s.Messages {
			counted += m.Duration.Count
		}
		if counted != 3*each || s.MessagesReceived != 3*each {
			t.Errorf("%d messages handled, %d received, want %d", counted, s.MessagesReceived, 3*each)
		}
	})
}
