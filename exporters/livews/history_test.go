package livews

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

func TestTheLatestAreKeptAndFailuresLonger(t *testing.T) {
	v := New(Options{Transactions: 8})
	c := startConn(t, v, "1")
	broken := &apmws.Failure{Message: "broken"}
	for i := range 4 {
		message(t.Context(), c, fmt.Sprint("bad", i), broken)
	}
	for i := range 20 {
		message(t.Context(), c, fmt.Sprint("good", i), nil)
	}
	d := v.document(0)
	want := []string{"bad2", "bad3", "good12", "good13", "good14", "good15", "good16", "good17", "good18", "good19"}
	if got := names(d.Transactions); !slices.Equal(got, want) {
		t.Errorf("kept %q; want %q", got, want)
	}
	if d.FinishedTotal != 24 || d.Limits.Transactions != 8 || d.Limits.Failures != 2 {
		t.Errorf("%d finished, limits %+v", d.FinishedTotal, d.Limits)
	}
}

func TestSince(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	message(t.Context(), c, "a", nil)
	message(t.Context(), c, "b", nil)
	first := v.document(0)
	if got := names(first.Transactions); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("at first %q", got)
	}
	if again := v.document(first.Seq); len(again.Transactions) != 0 || again.Seq != first.Seq || again.Transactions == nil {
		t.Errorf("nothing happened, but %q", names(again.Transactions))
	}
	message(t.Context(), c, "c", nil)
	next := v.document(first.Seq)
	if got := names(next.Transactions); !slices.Equal(got, []string{"c"}) || next.Seq <= first.Seq {
		t.Errorf("then %q, seq %d after %d; want c", got, next.Seq, first.Seq)
	}
	if next.Instance != first.Instance {
		t.Error("the instance changed")
	}
	if other := v.document(next.Seq + 1000); len(other.Transactions) != 3 {
		t.Errorf("a number of another process: %q; want all", names(other.Transactions))
	}
	if New(Options{}).document(0).Instance == first.Instance {
		t.Error("two views have the same instance")
	}
}

func TestRunning(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: "slow", User: "u"})
	_, s := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "part"})
	d := v.document(0)
	if got := names(d.Running); !slices.Equal(got, []string{"CONNECT /ws", "slow"}) || d.RunningTotal != 2 {
		t.Fatalf("running %q, %d in all", got, d.RunningTotal)
	}
	x := d.Running[1]
	if x.Duration != nil || x.Seq != 0 || x.Outcome != "" || x.User != "u" || len(x.Spans) != 1 || x.Spans[0].Duration != nil {
		t.Errorf("in progress: %+v", x)
	}
	s.End(apmws.SpanEnd{Time: t0})
	m.End(apmws.MessageEnd{Time: t0})
	c.Opened(apmws.OpenEnd{Time: t0})
	after := v.document(0)
	if len(after.Running) != 0 || after.RunningTotal != 0 {
		t.Errorf("running %q after all has ended", names(after.Running))
	}
	if got := names(after.Transactions); !slices.Equal(got, []string{"slow", "CONNECT /ws"}) || after.Transactions[0].ID != x.ID {
		t.Errorf("finished %q with ids %d, %d", got, after.Transactions[0].ID, x.ID)
	}
}

func TestMessagesThatNeverEndAreNotKeptForEver(t *testing.T) {
	v := New(Options{})
	c := startConn(t, v, "1")
	var first apmws.MessageSpan
	const n = 3 * maxRunning
	for i := range n {
		_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: fmt.Sprint(i)})
		if i == 0 {
			first = m
		}
	}
	d := v.document(0)
	if len(d.Running) != runningListed || d.RunningTotal != n+1 || d.Running[0].Name != fmt.Sprint(n-maxRunning) {
		t.Errorf("%d listed of %d, the oldest %s", len(d.Running), d.RunningTotal, d.Running[0].Name)
	}
	if v.history.listed != maxRunning {
		t.Errorf("%d kept; want %d", v.history.listed, maxRunning)
	}
	first.End(apmws.MessageEnd{Time: t0})
	if d = v.document(0); len(d.Transactions) != 1 || d.Transactions[0].Name != "0" || d.RunningTotal != n {
		t.Errorf("one that was not kept has ended: %q, %d running", names(d.Transactions), d.RunningTotal)
	}
}

func TestBoundsHoldUnderConcurrency(t *testing.T) {
	v := New(Options{Transactions: 16, MaxSpans: 4})
	const workers, messages = 8, 2000
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			var since uint64
			for {
				d := v.document(since)
				if len(d.Transactions) > 16+4 || d.Seq < since {
					t.Errorf("%d transactions, seq %d after %d", len(d.Transactions), d.Seq, since)
					return
				}
				for _, x := range d.Transactions {
					if x.Seq <= since || x.Duration == nil || len(x.Spans) > 4 {
						t.Errorf("since %d: %+v", since, x)
						return
					}
				}
				if _, err := d.encode(); err != nil {
					t.Error(err)
					return
				}
				since = d.Seq
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for w := range workers {
		writers.Go(func() {
			c := startConn(t, v, fmt.Sprint(w))
			for i := range messages {
				_, m := c.StartMessage(t.Context(), apmws.MessageStart{Time: t0, Name: "m"})
				var late []apmws.ChildSpan
				for range 6 {
					if _, s := m.(apmws.SpanStarter).StartSpan(t.Context(), apmws.SpanStart{Time: t0, Name: "s"}); s != nil {
						late = append(late, s)
					}
				}
				end := apmws.MessageEnd{Time: t0.Add(time.Second), Outcome: apmws.OutcomeSuccess}
				if i%10 == 0 {
					end.Outcome = apmws.OutcomeFailure
				}
				m.End(end)
				for _, s := range late {
					s.End(apmws.SpanEnd{Time: t0.Add(2 * time.Second)})
				}
			}
			c.Opened(apmws.OpenEnd{Time: t0})
			c.End(apmws.ConnEnd{Time: t0})
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	d := v.document(0)
	if want := uint64(workers * (messages + 2)); d.FinishedTotal != want || d.RunningTotal != 0 || v.history.listed != 0 {
		t.Errorf("%d finished, %d running; want %d, 0", d.FinishedTotal, d.RunningTotal, want)
	}
	if len(d.Transactions) < 16 || len(d.Transactions) > 20 {
		t.Errorf("%d transactions kept; want 16 and at most 4 failures", len(d.Transactions))
	}
	if v.history.first != nil || v.history.last != nil {
		t.Error("the list of those in progress is not empty")
	}
}
