package collector

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	protocolVersion = "17"

	// maxBody is how long a payload may be, in bytes after decompression.
	maxBody = 64 << 20

	// maxCompressed is how long a payload may be on the wire: the collector's
	// max_payload_size_in_bytes.
	maxCompressed = 1_000_000

	million = 1_000_000
)

// The errors that the collector answers with, and their statuses.
var (
	errLicense  = errors.New("the licence is unknown")
	errMethod   = errors.New("the method is unknown")
	errProtocol = errors.New("the protocol is unknown")
	errRun      = errors.New("the run is unknown")
	errPayload  = errors.New("the payload cannot be decoded")
	errTooLarge = errors.New("the payload is too large")
)

// take handles one request.
func (c *Collector) take(r *http.Request) (status int, body []byte) {
	method := r.URL.Query().Get("method")
	reply, err := c.call(r, method)
	if err != nil {
		c.mu.Lock()
		c.problems = append(c.problems, fmt.Errorf("%q: %w", method, err))
		c.mu.Unlock()
		return statusOf(err), nil
	}
	if reply == nil {
		return http.StatusAccepted, nil
	}
	body, err = json.Marshal(map[string]any{"return_value": reply})
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return http.StatusOK, body
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errLicense):
		return http.StatusUnauthorized
	case errors.Is(err, errRun):
		return http.StatusConflict // connect again
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errMethod):
		return http.StatusNotFound
	default:
		return http.StatusBadRequest
	}
}

// call checks a request and does what it asks for.
func (c *Collector) call(r *http.Request, method string) (reply any, err error) {
	query := r.URL.Query()
	if r.Method != http.MethodPost || r.URL.Path != "/agent_listener/invoke_raw_method" {
		return nil, fmt.Errorf("%w: %s %s", errMethod, r.Method, r.URL.Path)
	}
	if query.Get("license_key") != License {
		return nil, errLicense
	}
	if version, format := query.Get("protocol_version"), query.Get("marshal_format"); version != protocolVersion || format != "json" {
		return nil, fmt.Errorf("%w: version %q, format %q", errProtocol, version, format)
	}
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.DropBodies {
		c.sent.WriteString(method + " ")
		c.sent.Write(body)
		c.sent.WriteByte('\n')
	}
	switch method {
	case "preconnect":
		if !json.Valid(body) {
			return nil, errPayload
		}
		return map[string]any{"redirect_host": host(r)}, nil
	case "connect":
		if err := c.harvest.connect(body); err != nil {
			return nil, err
		}
		c.runs++
		return c.connectReply(), nil
	}
	if run := query.Get("run_id"); !c.knows(run) {
		return nil, fmt.Errorf("%w: %q", errRun, run)
	}
	return nil, c.harvest.add(method, query.Get("run_id"), body)
}

// host is where the agent is to go on: behind TLS, where it has come to.
func host(r *http.Request) string {
	if r.TLS != nil {
		return r.Host
	}
	return Host
}

// knows says whether the run was begun: a run for each agent, and each of its
// connects.
func (c *Collector) knows(run string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(run, "run"))
	return err == nil && n > 0 && n <= c.runs && run == runID(n)
}

func runID(n int) string { return "run" + strconv.Itoa(n) }

func (c *Collector) connectReply() map[string]any {
	target := c.SamplingTarget
	switch {
	case target == 0:
		target = million
	case target < 0:
		target = 0
	}
	reply := map[string]any{
		"agent_run_id":                      runID(c.runs),
		"entity_guid":                       EntityGUID,
		"account_id":                        "1",
		"trusted_account_key":               "1",
		"primary_application_id":            "2",
		"max_payload_size_in_bytes":         maxCompressed,
		"sampling_target":                   target,
		"sampling_target_period_in_seconds": 60,
		"collect_analytics_events":          true,
		"collect_custom_events":             true,
		"collect_errors":                    true,
		"collect_error_events":              true,
		"collect_span_events":               true,
		"collect_traces":                    true,
	}
	if len(c.Limits) == 0 && c.Period == 0 {
		return reply
	}
	event := map[string]any{"harvest_limits": c.Limits}
	if c.Period > 0 {
		event["report_period_ms"] = c.Period.Milliseconds()
	}
	reply["event_harvest_config"] = event
	if spans, ok := c.Limits["span_event_data"]; ok {
		reply["span_event_harvest_config"] = map[string]any{"harvest_limit": spans}
	}
	return reply
}

// read returns a request's body as JSON.
func read(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, fmt.Errorf("%w: there is none", errPayload)
	}
	packed, err := io.ReadAll(io.LimitReader(r.Body, maxCompressed+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	if len(packed) > maxCompressed {
		return nil, errTooLarge
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		return packed, nil
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	body, err := io.ReadAll(io.LimitReader(plain, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	return body, nil
}
