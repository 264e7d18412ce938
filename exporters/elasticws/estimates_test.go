package elasticws

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
)

// slowFrom is a bound of the core's buckets, so that its histograms tell how many
// messages were slow: 2^12 µs.
const slowFrom = 4096 * time.Microsecond

// population is the traffic of one message name.
type population struct {
	name  string // registered, or _OTHER
	typ   string // as the client writes it
	rate  float64
	share float64 // of all messages
	fails float64 // share of its messages that fail
}

var populations = []population{
	{"chat.say", "chat.say", 0.01, 0.7, 0.01},
	{"chat.typing", "chat.typing", 0.1, 0.2, 0.06},
	{"_OTHER", "surprise", 0.01, 0.1, 0.02},
}

// What a message asks for is a letter at workAt of its text.
const (
	workAt    = len(`{"w":"`)
	workNone  = 'n'
	workSome  = 's'
	workMuch  = 'm'
	workFail  = 'f' // those that fail take longer, as they do where they time out
	workSlow  = 'l'
	slowShare = 0.0002 // of chat.typing
)

// paced makes work take longer under the race detector, which slows down all else.
func paced(d time.Duration) time.Duration {
	if raceEnabled {
		d *= 4
	}
	return d
}

// work takes as long as the text asks for.
func work(_ context.Context, m apmws.Message) error {
	begin := time.Now()
	spin := func(d time.Duration) {
		for time.Since(begin) < d {
		}
	}
	switch m.Data[workAt] {
	case workSome:
		spin(paced(5 * time.Microsecond))
	case workMuch:
		spin(paced(20 * time.Microsecond))
	case workFail:
		spin(paced(40 * time.Microsecond))
		return errNoRoom
	case workSlow:
		spin(slowFrom)
	}
	return nil
}

// script makes the messages of all connections, always the same ones.
type script struct {
	random *rand.Rand
	usual  map[string][]byte // frames by their text
	counts map[string]*asked // by name
	slow   int
}

// asked is what was asked for by a name's messages.
type asked struct{ total, failing int }

func newScript() *script {
	s := &script{
		random: rand.New(rand.NewPCG(1, 2)), usual: make(map[string][]byte), counts: make(map[string]*asked),
	}
	for _, p := range populations {
		s.counts[p.name] = &asked{}
	}
	return s
}

// connection returns the frames of one connection. Those of messages that must be
// kept are as long as no other of the connection.
func (s *script) connection(messages int) (frames [][]byte) {
	length := 200
	for range messages {
		p := s.population()
		kind := s.kind(p)
		text := fmt.Sprintf(`{"w":"%c","type":"%s"}`, kind, p.typ)
		s.counts[p.name].total++
		if kind != workFail && kind != workSlow {
			if s.usual[text] == nil {
				s.usual[text] = textFrame([]byte(text))
			}
			frames = append(frames, s.usual[text])
			continue
		}
		if kind == workFail {
			s.counts[p.name].failing++
		} else {
			s.slow++
		}
		frames = append(frames, textFrame(fmt.Appendf(nil, "%-*s", length, text)))
		length++
	}
	return frames
}

func (s *script) population() *population {
	x := s.random.Float64()
	for i := range populations {
		if x -= populations[i].share; x < 0 {
			return &populations[i]
		}
	}
	return &populations[0]
}

func (s *script) kind(p *population) byte {
	switch x := s.random.Float64(); {
	case x < p.fails:
		return workFail
	case p.name == "chat.typing" && x < p.fails+slowShare:
		return workSlow
	case x < 0.35:
		return workNone
	case x < 0.87:
		return workSome
	default:
		return workMuch
	}
}

// record is a message as the back end knows it. It counts weight times.
type record struct {
	name   string
	failed bool
	d      time.Duration
	weight float64
}

// records returns the transactions of messages with the weight that the APM
// Server gives them, representative_count: 1 divided by the sampling rate, and 0
// when that is 0.
func records(t *testing.T, docs *documents) (all []record) {
	t.Helper()
	for i := range docs.transactions {
		tx := &docs.transactions[i]
		if tx.Type != "Message" {
			continue
		}
		if tx.SampleRate == nil {
			t.Fatalf("%s has no sampling rate", tx.Name)
		}
		r := record{
			name: tx.Name, failed: tx.Outcome == "failure",
			d: time.Duration(math.Round(tx.Duration * float64(time.Millisecond))),
		}
		if *tx.SampleRate > 0 {
			r.weight = 1 / *tx.SampleRate
		}
		all = append(all, r)
	}
	return all
}

// weighted returns the records of a name with other weights.
func weighted(all []record, weight func(r record) float64) []record {
	all = slices.Clone(all)
	for i := range all {
		all[i].weight = weight(all[i])
	}
	return all
}

// truth is what really happened to the messages of a name, after the core's exact
// counters and histograms.
type truth struct {
	total, failed uint64
	sum           time.Duration
	buckets       []apmws.Bucket // of all
	successes     []apmws.Bucket
}

func truths(agent *apmws.Agent) map[string]*truth {
	all := make(map[string]*truth)
	for _, m := range agent.Stats().Routes[0].Messages {
		x := all[m.Name]
		if x == nil {
			x = &truth{}
			all[m.Name] = x
		}
		x.total += m.Duration.Count
		x.sum += m.Duration.Sum
		if m.Outcome == apmws.OutcomeFailure {
			x.failed += m.Duration.Count
		} else {
			x.successes = append(x.successes, m.Duration.Buckets...)
		}
		x.buckets = append(x.buckets, m.Duration.Buckets...)
	}
	return all
}

// mean returns the mean of the durations in nanoseconds.
func (x *truth) mean() float64 { return float64(x.sum) / float64(x.total) }

// spread returns an upper bound of the sum of the squares by which durations
// differ from the mean, and of the largest difference.
func (x *truth) spread() (squares, largest float64) {
	mean := x.mean()
	for _, b := range x.buckets {
		off := max(math.Abs(float64(b.Lower)-mean), math.Abs(float64(b.Upper)-mean))
		squares += float64(b.Count) * off * off
		largest = max(largest, off)
	}
	return squares, largest
}

// around returns which shares of the durations are surely shorter than d, and not
// longer, as far as buckets tell.
func (x *truth) around(d time.Duration) (shorter, notLonger float64) {
	for _, b := range x.buckets {
		if b.Upper <= d {
			shorter += float64(b.Count)
		}
		if b.Lower <= d {
			notLonger += float64(b.Count)
		}
	}
	return shorter / float64(x.total), notLonger / float64(x.total)
}

// tolerance is what an estimate may be off by: five standard deviations of it.
//
// Of N messages each was chosen with the probability r and then counts w = 1/r
// times. So the sum of w·y over those chosen estimates the sum of all y, without
// bias and with the variance (1-r)/r · Σy². For a throughput y is 1; for a failure
// rate or a mean, which are ratios of two such sums, y is the difference between a
// message's value and the true ratio (in first order), divided by N.
//
// Sums of few are not normal: by Bernstein's inequality a further w·max|y|·25/6
// makes up for that.
func tolerance(r, squares, largest float64) float64 {
	return 5*math.Sqrt((1-r)/r*squares) + 25.0/6*largest/r
}

// compare returns in what the estimates that a back end makes of the records
// differ from the truth by more than sampling explains.
func compare(p population, x *truth, all []record) (problems []string) {
	n, mean := float64(x.total), x.mean()
	squares, largest := x.spread()
	failing := float64(x.failed) / n
	var total, failed, sum float64
	var mine []record
	for _, r := range all {
		if r.name != p.name {
			continue
		}
		mine = append(mine, r)
		total += r.weight
		sum += r.weight * float64(r.d)
		if r.failed {
			failed += r.weight
		}
	}
	check := func(what string, got, want, tolerated float64) {
		if !(math.Abs(got-want) <= tolerated) { // NaN too
			problems = append(problems, fmt.Sprintf("%s: %s is estimated at %.6g, it was %.6g ± %.2g", p.name, what, got, want, tolerated))
		}
	}
	check("throughput", total, n, tolerance(p.rate, n, 1))
	check("failure rate", failed/total, failing, tolerance(p.rate, n*failing*(1-failing), 1)/n)
	check("mean latency in ns", sum/total, mean, tolerance(p.rate, squares, largest)/n)

	slices.SortFunc(mine, func(a, b record) int { return cmp.Compare(a.d, b.d) })
	for _, q := range []float64{0.5, 0.95} {
		// The estimate is a duration, and is judged by the share of all messages that
		// truly took no longer.
		got := percentile(mine, q*total)
		shorter, notLonger := x.around(got)
		tolerated := tolerance(p.rate, n*q*(1-q), 1) / n
		if shorter > q+tolerated || notLonger < q-tolerated {
			problems = append(problems, fmt.Sprintf("%s: p%v is estimated at %v, but %.4f were shorter, and %.4f not longer; tolerated %.2g",
				p.name, 100*q, got, shorter, notLonger, tolerated))
		}
	}
	return problems
}

// percentile returns the duration at which the sorted records weigh that much.
func percentile(sorted []record, weight float64) (d time.Duration) {
	for _, r := range sorted {
		if r.weight > 0 {
			if d = r.d; weight <= r.weight {
				break
			}
			weight -= r.weight
		}
	}
	return d
}

// TestEstimates: of a million messages few become transactions, from which the
// back end estimates their number, their failure rate and their latencies right;
// what failed or was slow is all there.
func TestEstimates(t *testing.T) {
	messages := 1_000_000
	if raceEnabled {
		messages = 120_000
	}
	// The tracer has room for a thousand events, and a machine may be busy: between
	// rounds it may catch up.
	const perConnection, perRound = 1250, 4
	i := newIntake(t)
	tracer := i.tracer(t)
	agent := apmws.New(apmws.Options{
		Exporters: []apmws.Exporter{New(tracer)},
		Messages:  apmws.MessageOptions{Name: apmws.JSONField("type"), Names: []string{"chat.say", "chat.typing"}},
		Sampling:  &apmws.Sampling{Rate: 0.01, Names: map[string]float64{"chat.typing": 0.1}, Slow: slowFrom},
	})
	h := agent.Handler("/ws", serve(t, work))
	s := newScript()
	for range messages / perConnection / perRound {
		var all sync.WaitGroup
		for range perRound {
			frames := s.connection(perConnection)
			all.Go(func() {
				p := &peer{next: func() (frame []byte) {
					if len(frames) > 0 {
						frame, frames = frames[0], frames[1:]
					}
					return frame
				}}
				p.connect(h)
			})
		}
		all.Wait()
		flush(t, tracer)
	}
	docs, stats := i.documents(t), agent.Stats()
	exact, sent := truths(agent), records(t, docs)

	t.Run("counters are exact", func(t *testing.T) {
		if r := stats.Routes[0]; r.MessagesReceived != int64(messages) || r.ConnectionsOpened != int64(messages/perConnection) {
			t.Errorf("%d messages of %d connections, want %d of %d", r.MessagesReceived, r.ConnectionsOpened, messages, messages/perConnection)
		}
		for name, want := range s.counts {
			if got := exact[name]; got.total != uint64(want.total) || got.failed != uint64(want.failing) {
				t.Errorf("%s: %d messages, %d failed, want %+v", name, got.total, got.failed, want)
			}
		}
	})
	t.Run("nothing chosen is dropped", func(t *testing.T) {
		got := tracer.Stats()
		if got.TransactionsDropped != 0 || got.SpansDropped != 0 || got.ErrorsDropped != 0 || got.Errors.SendStream != 0 {
			t.Errorf("%+v", got)
		}
		for _, d := range stats.Dropped {
			if d.Count != 0 {
				t.Errorf("%+v", d)
			}
		}
	})
	t.Run("every failure and every slow message is there", func(t *testing.T) { everyKept(t, docs, s, exact) })
	t.Run("estimates", func(t *testing.T) {
		for _, p := range populations {
			for _, problem := range compare(p, exact[p.name], sent) {
				t.Error(problem)
			}
		}
		t.Logf("%d of %d messages were sent", len(sent), messages)
	})

	// What the comparison is for.
	for what, weight := range map[string]func(r record) float64{
		"no weights":                        func(record) float64 { return 1 },
		"those that are kept count too":     func(r record) float64 { return max(1, r.weight) },
		"and as those that were chosen":     func(r record) float64 { return cmp.Or(r.weight, 1/rateOf(r.name)) },
		"the rates of others":               func(r record) float64 { return min(r.weight, 10) },
		"those chosen that fail do not":     func(r record) float64 { return unless(r.failed, r.weight) },
		"those chosen that are fast do not": func(r record) float64 { return unless(r.d < paced(5*time.Microsecond), r.weight) },
	} {
		t.Run("noticed: "+what, func(t *testing.T) {
			wrong := weighted(sent, weight)
			var problems []string
			for _, p := range populations {
				problems = append(problems, compare(p, exact[p.name], wrong)...)
			}
			if len(problems) == 0 {
				t.Error("not noticed")
			}
			t.Log(problems)
		})
	}
}

func rateOf(name string) float64 {
	return populations[slices.IndexFunc(populations, func(p population) bool { return p.name == name })].rate
}

func unless(condition bool, weight float64) float64 {
	if condition {
		return 0
	}
	return weight
}

// everyKept checks that what must be kept was sent once, and nothing else besides
// what was chosen.
func everyKept(t *testing.T, docs *documents, s *script, exact map[string]*truth) {
	t.Helper()
	type key struct {
		connection any
		length     any
	}
	kept := make(map[key]model.SpanID) // by what is a message's own
	failed, slow := make(map[string]uint64), make(map[string]uint64)
	long := 0
	for i := range docs.transactions {
		tx := &docs.transactions[i]
		if tx.Type != "Message" {
			continue
		}
		labels := labelMap(tx.Context.Tags)
		isSlow := tx.Duration >= slowFrom.Seconds()*1000
		switch failure := tx.Outcome == "failure"; {
		case failure:
			failed[tx.Name]++
		case isSlow:
			slow[tx.Name]++
		case *tx.SampleRate == 0:
			t.Errorf("%s, %s after %v ms, was kept for nothing", tx.Name, tx.Outcome, tx.Duration)
		}
		if want := rateOf(tx.Name); *tx.SampleRate != 0 && *tx.SampleRate != want {
			t.Errorf("%s has the rate %v, want %v", tx.Name, *tx.SampleRate, want)
		}
		k := key{labels["websocket_connection_id"], labels["websocket_message_length"]}
		if length := k.length.(float64); length < 200 {
			continue
		}
		long++
		if _, twice := kept[k]; twice {
			t.Errorf("message %v was sent twice", k)
		}
		kept[k] = tx.ID
	}
	failing := 0
	for name, want := range s.counts {
		failing += want.failing
		if failed[name] != uint64(want.failing) {
			t.Errorf("%s: %d failures were sent of %d", name, failed[name], want.failing)
		}
		var wantSlow uint64
		for _, b := range exact[name].successes {
			if b.Lower >= slowFrom {
				wantSlow += b.Count
			}
		}
		if slow[name] != wantSlow {
			t.Errorf("%s: %d slow ones were sent of %d", name, slow[name], wantSlow)
		}
	}
	if want := failing + s.slow; long != want || s.slow == 0 {
		t.Errorf("%d messages that must be kept were sent, want %d, %d of them slow", long, want, s.slow)
	}
	if len(docs.errors) != failing {
		t.Errorf("%d error documents of %d failures", len(docs.errors), failing)
	}
	of := make(map[model.SpanID]bool)
	for i := range docs.errors {
		doc := &docs.errors[i]
		labels := labelMap(doc.Context.Tags)
		id := kept[key{labels["websocket_connection_id"], labels["websocket_message_length"]}]
		if id != doc.TransactionID || of[id] {
			t.Errorf("an error of %x, which is %v, is the second one or wrong", doc.TransactionID, labels)
		}
		of[id] = true
	}
}
