package exportertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
)

// togetherRules are the rules of RunTogether.
func togetherRules() []rule {
	return []rule{
		{
			"together-each",
			"each of several exporters records everything once, with ids, links and spans of its own",
			checkTogetherEach,
		},
		{
			"together-contexts",
			"contexts chain through all exporters: what one has put into them the next ones and the program find",
			checkTogetherContexts,
		},
		{
			"together-neighbours",
			"exporters that panic, return nil contexts or handles, forget contexts or lack the optional interfaces take nothing from the others",
			checkTogetherNeighbours,
		},
		{
			"together-optional",
			"the optional interfaces of each exporter are reached through the agent, and do not panic",
			checkTogetherOptional,
		},
		{
			"together-flush",
			"Flush and Shutdown reach each exporter and return nil, while others fail, panic or hang, and what was recorded arrives",
			checkTogetherFlush,
		},
		{
			"together-logs",
			"the agent's log lines carry ids that are found in the back ends: those of the first exporter that has any as they are, others under their vendor's prefix",
			checkTogetherLogs,
		},
	}
}

// sessions opens all back ends.
func (k *kit) sessions() (all []*session, exporters []apmws.Exporter) {
	for _, open := range k.open {
		s := k.sessionOf(open())
		all = append(all, s)
		exporters = append(exporters, s.Exporter)
	}
	return all, exporters
}

// wantAll checks that each has what a Recorder beside them has recorded.
func wantAll(all []*session, spans []bool, reference []Transaction) []*sent {
	got := make([]*sent, len(all))
	for i, s := range all {
		got[i] = s.sent()
		got[i].wantSame(reference, spans[i])
	}
	return got
}

// spansOf asks which of them record spans.
func spansOf(all []*session) []bool {
	spans := make([]bool, len(all))
	for i, s := range all {
		spans[i] = s.startsSpans()
	}
	return spans
}

func checkTogetherEach(k *kit) {
	all, exporters := k.sessions()
	spans := spansOf(all)
	l := newLife()
	reference := k.watched(l, apmws.Options{Exporters: exporters})
	owner := make(map[string]int) // of a trace, by its id
	for i, g := range wantAll(all, spans, reference) {
		if g.Limits.NoIDs {
			continue
		}
		for j := range g.Transactions {
			t := &g.Transactions[j]
			if other, ok := owner[t.TraceID]; ok && other != i {
				g.errorf("%s %q of exporter %d is in a trace of exporter %d", t.Type, t.Name, i, other)
			}
			owner[t.TraceID] = i
			g.wantOwn(t)
			if t.Name == "chat."+commandLinked {
				g.wantLink(t, linkOf(l.shared), semconv.MessageTraceID, semconv.MessageSpanID)
			}
		}
	}
}

// wantOwn checks that a transaction is a root, and linked to the CONNECT of its
// connection in the same back end.
func (g *sent) wantOwn(t *Transaction) {
	if t.ParentID != "" {
		g.errorf("%s %q has the parent %s, want none", t.Type, t.Name, t.ParentID)
	}
	if t.Type == semconv.TypeConnection {
		return
	}
	id, _ := g.attr(t.Attrs, semconv.ConnectionID)
	text, _ := id.(string)
	if connects := g.of(semconv.TypeConnection, text); len(connects) == 1 {
		g.wantOwnConnect(t, connects[0])
	} else {
		g.errorf("%d CONNECTs have the connection's id of %s %q, want 1", len(connects), t.Type, t.Name)
	}
}

func checkTogetherContexts(k *kit) {
	all, exporters := k.sessions()
	spans := spansOf(all)
	var marked []apmws.Exporter
	for i, e := range exporters {
		marked = append(marked, &marker{k: k, n: i}, e)
	}
	n := len(exporters) + 1
	marked = append(marked, &marker{k: k, n: n - 1})
	l := newLife()
	l.look = func(ctx context.Context, of string) { k.wantMarks(ctx, "the program", n, of) }
	reference := k.watched(l, apmws.Options{Exporters: marked})
	wantAll(all, spans, reference)
}

func checkTogetherNeighbours(k *kit) {
	all, exporters := k.sessions()
	spans := spansOf(all)
	faults := []badness{badForgets, badPanics, badNoContext, badNoHandles, badNoMessages}
	var mixed []apmws.Exporter
	for i, fault := range faults {
		mixed = append(mixed, &bad{fault: fault})
		if i < len(exporters) {
			mixed = append(mixed, exporters[i])
		}
	}
	if len(exporters) > len(faults) {
		mixed = append(mixed, exporters[len(faults):]...)
	}
	mixed = append(mixed, newEnds(), &bad{fault: badForgets})
	reference := k.watched(newLife(), apmws.Options{Exporters: mixed})
	wantAll(all, spans, reference)
}

// spies puts a spy before each exporter.
func spies(exporters []apmws.Exporter) (all []*spy, spied []apmws.Exporter) {
	for _, e := range exporters {
		s := newSpy(e)
		all = append(all, s)
		spied = append(spied, s)
	}
	return all, spied
}

func checkTogetherOptional(k *kit) {
	all, exporters := k.sessions()
	spans := spansOf(all)
	watching, spied := spies(exporters)
	reference := NewRecorder()
	l := newLife()
	s := k.serve(l, apmws.Options{Exporters: append([]apmws.Exporter{reference}, spied...)})
	defer s.close()
	l.run(s)
	k.wantDrops(s.agent, exporters)
	ctx, cancel := context.WithTimeout(context.Background(), k.patience)
	defer cancel()
	_ = s.agent.Flush(ctx) // the spies tell
	_ = s.agent.Shutdown(ctx)
	for _, w := range watching {
		for _, method := range []string{"Attach", "Mask", "Dropped", "Flush", "Shutdown"} {
			w.want(k, method)
		}
	}
	told, _ := reference.Sent() // never fails
	wantAll(all, spans, told.Transactions)
}

// wantDrops checks that the agent tells of what each exporter has dropped.
func (k *kit) wantDrops(agent *apmws.Agent, exporters []apmws.Exporter) {
	own := make(map[apmws.Dropped]apmws.Exporter) // before the agent is asked: counts grow
	for _, e := range exporters {
		if reporter, ok := e.(apmws.DropReporter); ok {
			for _, d := range reporter.Dropped() {
				own[d] = e
			}
		}
	}
	told := agent.Stats().Dropped
	for d, e := range own {
		found := func(x apmws.Dropped) bool { return x.Reason == d.Reason && x.Exporter != "" && x.Count >= d.Count }
		if d.Count > 0 && !slices.ContainsFunc(told, found) {
			k.errorf("the agent does not tell of the %d that %T has dropped for the reason %q", d.Count, e, d.Reason)
		}
	}
}

func checkTogetherFlush(k *kit) {
	all, exporters := k.sessions()
	spans := spansOf(all)
	watching, spied := spies(exporters)
	meanwhile := make(chan struct{}, 1)
	reference := NewRecorder()
	mixed := []apmws.Exporter{reference, &bad{fault: badHangs, meanwhile: meanwhile}, &bad{fault: badFails}}
	mixed = append(append(mixed, spied...), &bad{fault: badExplodes})
	l := newLife()
	s := k.serve(l, apmws.Options{Exporters: mixed})
	defer s.close()
	l.run(s)

	ctx, cancel := context.WithTimeout(context.Background(), 2*k.patience)
	defer cancel()
	k.wantFinished(ctx, "Flush", s.agent.Flush, watching, meanwhile)
	k.wantFinished(ctx, "Shutdown", s.agent.Shutdown, watching, meanwhile)
	told, _ := reference.Sent() // never fails
	wantAll(all, spans, told.Transactions)
}

// wantFinished calls Flush or Shutdown of the agent, whose neighbour hangs until
// all exporters have returned.
func (k *kit) wantFinished(ctx context.Context, method string, call func(context.Context) error, watching []*spy, meanwhile chan<- struct{}) {
	result := make(chan error, 1)
	go func() { result <- call(ctx) }()
	late := time.After(k.patience)
	for _, w := range watching {
		select {
		case <-w.over:
			w.want(k, method)
		case <-late:
			k.fatalf("%s of %T has not returned after %v", method, w.Exporter, k.patience)
		}
	}
	meanwhile <- struct{}{}
	if err := <-result; !errors.Is(err, errBad) {
		k.errorf("%s of the agent returns %v, want the error of the one that failed among them", method, err)
	}
}
