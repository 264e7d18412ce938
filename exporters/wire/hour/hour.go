package hour

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// Options of a simulation. The zero value is an hour of traffic on a certain day.
type Options struct {
	// End is when the hour ends. Zero: 2026-03-04 12:00 UTC. It cannot be before
	// 2001: the clock of the simulation begins in 2000, and a week before the hour
	// must not be earlier.
	End time.Time

	// Scale multiplies the traffic. Zero: 1, which is some 900 connections and
	// 15,000 messages. What is rare happens once at least.
	Scale float64
}

// Recording is what became of the hour. It is the caller's, and is not changed any
// more; several tests may read it.
type Recording struct {
	// Start and End bound the hour that dashboards look at.
	Start, End time.Time

	// Documents are what Elasticsearch would hold, Aggregates what the APM Server
	// derives from them, each by time: of the hour, of the day before, as far as
	// connections reach back, and of the same hour a week before with the minutes
	// around it. All were there at End.
	Documents, Aggregates []intake.Document

	// Rejected is why the APM Server did not take something: there is nothing.
	Rejected []error

	// Logs are the log's lines as Filebeat ships them to logs-chat-default, by time.
	Logs []intake.Document

	// LogLines are the same lines as they were written, each a JSON object without
	// the line's end.
	LogLines []string

	// Requests are what the agents have sent until End, by time.
	Requests []Request

	// Driven is what happened, as the script knows it.
	Driven *Driven
}

// Request is a request of an agent to the APM Server's intake.
type Request struct {
	Node string
	At   time.Time // when it began

	// Body is decompressed: lines of JSON, the first of which describes the service.
	// What the agent tells there of this machine and this process, which all nodes
	// share, is replaced by what a node of its own would tell.
	Body []byte
}

// defaultEnd is on a Wednesday.
const defaultEnd = "2026-03-04T12:00:00Z"

// clockBegins is the year in which the clock of a bubble of testing/synctest begins.
const clockBegins = 2000

// The times of a simulation.
const (
	hour = time.Hour
	week = 7 * 24 * time.Hour
	// warmUp is how long before the hour the traffic is already what it is within.
	warmUp = 8 * time.Minute
	// dayBefore is how long before the hour the first connection may be opened.
	dayBefore = 24 * time.Hour
	// lastReport is how long before the hour, and before its end, the agents report
	// once more, so that what they have told by then is all that has happened.
	lastReport = time.Millisecond
)

// Simulate runs the simulation, which takes some seconds. It must be called from a
// test, outside of a bubble of testing/synctest, which it makes. It fails t when
// something did not happen as scripted, or when the options are wrong. The
// environment's settings of Elastic's agent do not count: they are hidden while t
// runs, so t must not be parallel.
//
// Both at the hour's beginning and at its end the agents report their counters once
// more, a millisecond before: what documents of [Start, End) tell has happened from
// Start-1ms to End-1ms.
func Simulate(t *testing.T, opts Options) *Recording {
	t.Helper()
	end, err := opts.end()
	if err != nil {
		t.Fatal(err)
	}
	r := &Recording{Start: end.Add(-hour), End: end}
	s := &script{start: r.Start, end: r.End, scale: cmp.Or(opts.Scale, 1), back: newBackEnd(end), book: new(book), log: new(logbook)}
	configure(t)
	s.back.during(func() { synctest.Test(t, s.run) })
	if t.Failed() {
		t.FailNow()
	}
	r.Driven = s.book.driven(r.End)
	if err := r.take(s.back); err != nil {
		t.Fatal(err)
	}
	if err := r.takeLog(s.log); err != nil {
		t.Fatal(err)
	}
	return r
}

// end returns when the hour ends.
func (o Options) end() (time.Time, error) {
	end := o.End
	if end.IsZero() {
		var err error
		if end, err = time.Parse(time.RFC3339, defaultEnd); err != nil {
			return end, err
		}
	}
	end = end.UTC().Truncate(time.Millisecond)
	if end.Year() <= clockBegins {
		return end, fmt.Errorf("hour: an hour that ends at %s cannot be simulated: none that ends before %d can",
			end.Format(time.RFC3339), clockBegins+1)
	}
	return end, nil
}

// configure sets what the agents read from the environment, and that alone: what
// the caller has set for others, such as a sample rate or labels, is hidden.
func configure(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ELASTIC_APM_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"ELASTIC_APM_CLOUD_PROVIDER": "none",
		"ELASTIC_APM_CENTRAL_CONFIG": "false",
		// A third of all documents, which tell what spans tell.
		"ELASTIC_APM_BREAKDOWN_METRICS": "false",
	} {
		t.Setenv(name, value)
	}
}

// take keeps what the agents have sent.
func (r *Recording) take(from *backEnd) error {
	if from.failed != nil {
		return from.failed
	}
	r.Requests = slices.DeleteFunc(from.requests, func(r Request) bool { return len(r.Body) == 0 })
	slices.SortStableFunc(r.Requests, func(a, b Request) int { return a.At.Compare(b.At) })
	r.Documents, r.Aggregates, r.Rejected = from.intake.Documents(), from.intake.Aggregates(), from.intake.Rejected()
	for _, documents := range [][]intake.Document{r.Documents, r.Aggregates} {
		slices.SortStableFunc(documents, byTime)
	}
	return nil
}

func byTime(a, b intake.Document) int {
	return cmp.Compare(a.Text("@timestamp"), b.Text("@timestamp")) // all of the same length, in UTC
}

// takeLog makes documents of the log's lines until the end.
func (r *Recording) takeLog(from *logbook) error {
	limit := r.End.Format(logTime)
	for _, line := range from.all() {
		d := intake.Document{}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			return fmt.Errorf("hour: a log line that is no JSON: %w", err)
		}
		if d.Text("@timestamp") >= limit {
			continue
		}
		d["data_stream.type"], d["data_stream.dataset"], d["data_stream.namespace"] = "logs", "chat", "default"
		r.Logs = append(r.Logs, d)
		r.LogLines = append(r.LogLines, line)
	}
	return nil
}
