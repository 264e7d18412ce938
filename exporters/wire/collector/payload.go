package collector

import (
	"encoding/json"
	"errors"
	"fmt"
)

var errShape = errors.New("it has another shape")

func orShape(err error) error {
	if err == nil {
		return errShape
	}
	return err
}

// tuple takes a JSON array apart. It may have more members than that, not fewer; a
// nil takes a member that nobody needs.
func tuple(body []byte, members ...any) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return fmt.Errorf("%w: %w", errPayload, err)
	}
	if len(raw) < len(members) {
		return fmt.Errorf("%w: %d members, not %d", errPayload, len(raw), len(members))
	}
	for i, member := range members {
		if member == nil {
			continue
		}
		if err := json.Unmarshal(raw[i], member); err != nil {
			return fmt.Errorf("%w: member %d: %w", errPayload, i, err)
		}
	}
	return nil
}

// sameRun compares the run of a payload with that of the request.
func sameRun(payload, request string) error {
	if payload != request {
		return fmt.Errorf("%w: %q in the payload of %q", errRun, payload, request)
	}
	return nil
}

// addEvents decodes [run, {reservoir_size, events_seen}, [[intrinsics, user, agent], …]].
func (h *Harvest) addEvents(to *[]Event, method, run string, body []byte) error {
	var in string
	var reservoir struct {
		Seen *int `json:"events_seen"`
	}
	var raw []json.RawMessage
	if err := tuple(body, &in, &reservoir, &raw); err != nil {
		return err
	}
	if err := sameRun(in, run); err != nil {
		return err
	}
	if reservoir.Seen == nil {
		return fmt.Errorf("%w: no events_seen", errPayload)
	}
	events := make([]Event, len(raw))
	for i, r := range raw {
		if err := tuple(r, &events[i].Intrinsics, &events[i].User, &events[i].Agent); err != nil {
			return err
		}
	}
	*to = append(*to, events...)
	if h.Seen == nil {
		h.Seen = make(map[string]int)
	}
	h.Seen[method] += *reservoir.Seen
	return nil
}

// addMetrics decodes [run, start, end, [[{name, scope}, [6 numbers]], …]].
func (h *Harvest) addMetrics(run string, body []byte) error {
	var in string
	var raw []json.RawMessage
	if err := tuple(body, &in, nil, nil, &raw); err != nil {
		return err
	}
	if err := sameRun(in, run); err != nil {
		return err
	}
	metrics := make(map[Metric]Values, len(raw))
	for _, r := range raw {
		var name Metric
		var numbers [6]float64
		var values []float64
		if err := tuple(r, &name, &values); err != nil {
			return err
		}
		if copy(numbers[:], values); len(values) != len(numbers) {
			return fmt.Errorf("%w: %d values of %q", errPayload, len(values), name.Name)
		}
		metrics[name] = Values{
			Count: numbers[0], Total: numbers[1], Exclusive: numbers[2],
			Min: numbers[3], Max: numbers[4], Squares: numbers[5],
		}
	}
	if h.Metrics == nil {
		h.Metrics = make(map[Metric]Values)
	}
	for name, values := range metrics {
		if before, ok := h.Metrics[name]; ok {
			values = before.plus(values)
		}
		h.Metrics[name] = values
	}
	return nil
}

// plus sums up two reports.
func (v Values) plus(w Values) Values {
	return Values{
		Count: v.Count + w.Count, Total: v.Total + w.Total, Exclusive: v.Exclusive + w.Exclusive,
		Min: min(v.Min, w.Min), Max: max(v.Max, w.Max), Squares: v.Squares + w.Squares,
	}
}

// addLogs decodes [{common: {attributes}, logs: […]}].
func (h *Harvest) addLogs(body []byte) error {
	var reports []struct {
		Common struct {
			Attributes map[string]any `json:"attributes"`
		} `json:"common"`
		Logs []map[string]any `json:"logs"`
	}
	if err := json.Unmarshal(body, &reports); err != nil {
		return fmt.Errorf("%w: %w", errPayload, err)
	}
	for _, report := range reports {
		for _, line := range report.Logs {
			attributes, _ := line["attributes"].(map[string]any)
			delete(line, "attributes")
			h.Logs = append(h.Logs, Log{Common: report.Common.Attributes, Line: line, Attributes: attributes})
		}
	}
	return nil
}

// details are the attributes of errors and traces.
type details struct {
	Stack      []string       `json:"stack_trace"`
	Intrinsics map[string]any `json:"intrinsics"`
	User       map[string]any `json:"userAttributes"`
	Agent      map[string]any `json:"agentAttributes"`
}

func (d details) event() Event { return Event{Intrinsics: d.Intrinsics, User: d.User, Agent: d.Agent} }

// addErrorTraces decodes [run, [[time, transaction, message, class, details, id], …]].
func (h *Harvest) addErrorTraces(run string, body []byte) error {
	var in string
	var raw []json.RawMessage
	if err := tuple(body, &in, &raw); err != nil {
		return err
	}
	if err := sameRun(in, run); err != nil {
		return err
	}
	traces := make([]ErrorTrace, len(raw))
	for i, r := range raw {
		t := &traces[i]
		var d details
		if err := tuple(r, nil, &t.Transaction, &t.Message, &t.Class, &d, &t.TransactionID); err != nil {
			return err
		}
		t.Stack, t.Event = d.Stack, d.event()
	}
	h.ErrorTraces = append(h.ErrorTraces, traces...)
	return nil
}

// addTraces decodes [run, [[start, duration, name, uri, [start, {}, {}, root,
// details], id, …], …]].
func (h *Harvest) addTraces(run string, body []byte) error {
	var in string
	var raw []json.RawMessage
	if err := tuple(body, &in, &raw); err != nil {
		return err
	}
	if err := sameRun(in, run); err != nil {
		return err
	}
	traces := make([]Trace, len(raw))
	for i, r := range raw {
		t := &traces[i]
		var data json.RawMessage
		if err := tuple(r, nil, &t.Duration, &t.Name, &t.URI, &data, &t.ID); err != nil {
			return err
		}
		var d details
		if err := tuple(data, nil, nil, nil, &t.Segments, &d); err != nil {
			return err
		}
		t.Event = d.event()
	}
	h.Traces = append(h.Traces, traces...)
	return nil
}

// addQueries decodes [[[transaction, uri, id, sql, metric, count, total, min, max,
// parameters], …]], which holds no run.
func (h *Harvest) addQueries(body []byte) error {
	var raw []json.RawMessage
	if err := tuple(body, &raw); err != nil {
		return err
	}
	queries := make([]Query, len(raw))
	for i, r := range raw {
		q := &queries[i]
		if err := tuple(r, &q.Transaction, nil, nil, &q.SQL, &q.Metric, &q.Count, &q.Total, &q.Min, &q.Max, &q.Parameters); err != nil {
			return err
		}
	}
	h.Queries = append(h.Queries, queries...)
	return nil
}
