package ill

import (
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tally is what requests have carried.
type tally struct {
	batches      int                // requests with transactions
	transactions map[string]int     // messages by their name, and spans by theirs
	sums         map[string]float64 // of metrics, by name and labels
}

func newTally() tally {
	return tally{transactions: make(map[string]int), sums: make(map[string]float64)}
}

// sink is what a back end does with requests: it counts what they carry.
type sink struct {
	vendor *vendor

	mu       sync.Mutex
	accepted tally
	refused  tally // as far as it has read them
	problems []string
}

func newSink(v *vendor) *sink {
	return &sink{vendor: v, accepted: newTally(), refused: newTally()}
}

// serve takes a request and answers it.
func (s *sink) serve(w http.ResponseWriter, r *http.Request) {
	if s.vendor.greet(w, r) {
		return
	}
	s.read(r, &s.accepted)
	w.WriteHeader(http.StatusAccepted)
}

// refuse reads a request that is not taken.
func (s *sink) refuse(r *http.Request) { s.read(r, &s.refused) }

func (s *sink) read(r *http.Request, to *tally) {
	if !s.vendor.carries(r) {
		_, _ = io.Copy(io.Discard, r.Body)
		return
	}
	one := newTally()
	err := s.vendor.decode(r, &one)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// The end of a request that its sender has given up is missing.
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errBrokenOff) {
			s.problems = append(s.problems, err.Error())
		}
		return
	}
	if len(one.transactions) > 0 {
		to.batches++
	}
	for name, n := range one.transactions {
		to.transactions[name] += n
	}
	for key, value := range one.sums {
		to.sums[key] += value
	}
}

// errBrokenOff: the connection broke while the body was read.
var errBrokenOff = errors.New("broken off")

// counts returns copies of what has come so far.
func (s *sink) counts(t testing.TB) (accepted, refused tally) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) > 0 {
		t.Fatalf("malformed requests: %q", s.problems)
	}
	return s.accepted.clone(), s.refused.clone()
}

func (y tally) clone() tally {
	y.transactions, y.sums = maps.Clone(y.transactions), maps.Clone(y.sums)
	return y
}

// elasticCarries reports whether a request to an APM Server carries events.
func elasticCarries(r *http.Request) bool { return r.URL.Path == "/intake/v2/events" }

// elasticGreet answers the other requests.
func elasticGreet(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case elasticCarries(r):
		return false
	case r.URL.Path == "/":
		_, _ = io.WriteString(w, `{"version":"9.5.2"}`)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
	return true
}

func elasticDecode(r *http.Request, to *tally) error {
	plain, err := zlib.NewReader(r.Body)
	if err != nil {
		return broken(err)
	}
	all, err := io.ReadAll(plain)
	if err != nil {
		return broken(err)
	}
	for line := range strings.Lines(string(all)) {
		var document struct {
			Transaction *struct{ Name, Type string }
			Span        *struct{ Name string }
			Metricset   *struct {
				Tags    map[string]string
				Samples map[string]struct {
					Value  float64
					Counts []float64
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			return err
		}
		if tx := document.Transaction; tx != nil && tx.Type == "Message" {
			to.transactions[tx.Name]++
		}
		if span := document.Span; span != nil {
			to.transactions["span "+span.Name]++
		}
		if set := document.Metricset; set != nil {
			for name, sample := range set.Samples {
				for _, label := range slices.Sorted(maps.Keys(set.Tags)) {
					name += " " + label + "=" + set.Tags[label]
				}
				to.sums[name] += sample.Value
			}
		}
	}
	return nil
}

// broken tells a connection that broke from a body that is malformed.
func broken(err error) error {
	if errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrHeader) ||
		errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		return err
	}
	return fmt.Errorf("%w: %w", errBrokenOff, err)
}

// newRelicCarries reports whether a post to a collector carries events or metrics.
func newRelicCarries(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Query().Get("method"), "_data")
}

// newRelicGreet answers an agent that connects. The limits are those of a harvest,
// which New Relic sets, too.
func newRelicGreet(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Query().Get("method") {
	case "preconnect":
		_, _ = fmt.Fprintf(w, `{"return_value":{"redirect_host":%q}}`, r.Host)
	case "connect":
		_, _ = io.WriteString(w, `{"return_value":{"agent_run_id":"1","entity_guid":"ENTITY","account_id":"1",
			"trusted_account_key":"1","primary_application_id":"2",
			"collect_span_events":true,"collect_error_events":true,"collect_analytics_events":true,
			"event_harvest_config":{"report_period_ms":5000,"harvest_limits":{
				"analytic_event_data":100,"custom_event_data":10,"error_event_data":10,"log_event_data":10,"span_event_data":10}}}}`)
	default:
		return false
	}
	return true
}

func newRelicDecode(r *http.Request, to *tally) error {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(body)
		if err != nil {
			return broken(err)
		}
		body = zip
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return broken(err)
	}
	switch r.URL.Query().Get("method") {
	case "analytic_event_data":
		return newRelicTransactions(all, to)
	case "metric_data":
		return newRelicMetrics(all, to)
	default:
		return nil
	}
}

func newRelicTransactions(body []byte, to *tally) error {
	var events [][3]json.RawMessage
	if err := unmarshal(body, 2, &events); err != nil { // after run, reservoir
		return err
	}
	for _, e := range events {
		var intrinsics struct{ Name string }
		if err := json.Unmarshal(e[0], &intrinsics); err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(intrinsics.Name, "OtherTransaction/Go/Message/"); ok {
			to.transactions[name]++
		}
	}
	return nil
}

func newRelicMetrics(body []byte, to *tally) error {
	var metrics [][2]json.RawMessage
	if err := unmarshal(body, 3, &metrics); err != nil { // after run, start, end
		return err
	}
	for _, m := range metrics {
		var id struct{ Name, Scope string }
		var data [6]float64
		if err := errors.Join(json.Unmarshal(m[0], &id), json.Unmarshal(m[1], &data)); err != nil {
			return err
		}
		switch {
		case id.Scope != "":
		case strings.HasPrefix(id.Name, "Custom/"):
			to.sums[id.Name] += data[1] // what was recorded, in sum
		default:
			to.sums[id.Name] += data[0] // how often
		}
	}
	return nil
}

// unmarshal decodes that part of a payload which is a list.
func unmarshal(body []byte, part int, list any) error {
	var payload []json.RawMessage
	if err := json.Unmarshal(body, &payload); err != nil {
		return err
	}
	if len(payload) <= part {
		return fmt.Errorf("a payload of %d parts", len(payload))
	}
	return json.Unmarshal(payload[part], list)
}
