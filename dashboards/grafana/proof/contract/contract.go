// Package contract reads the table of metrics of apmws/TELEMETRY.md, and holds
// PromQL against it.
package contract

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/evaluate"
)

// Metric is a row of the table.
type Metric struct {
	Name   string // in Prometheus
	Kind   string // counter, gauge or histogram
	Labels []string
}

// targetLabels are those that Prometheus' discovery adds, as the manifests and the
// dashboard want them.
var targetLabels = []string{"job", "instance", "namespace", "pod", "container", "endpoint"}

// Metrics are those of the table, by the names that a server's answer to a scrape
// has; a row for the count of a histogram is not among them.
type Metrics map[string]Metric

var code = regexp.MustCompile("`([^`]+)`")

// Read reads the page.
func Read(path string) (Metrics, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, section, _ := strings.Cut(string(text), "\n## Metrics\n")
	_, table, found := strings.Cut(section, "| Prometheus |\n|---|---|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		return nil, fmt.Errorf("%s has no table of metrics with a column Prometheus", path)
	}
	all := Metrics{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("%s has a row of %d cells: %s", path, len(cells), line)
		}
		m := Metric{Name: strings.Trim(strings.TrimSpace(cells[4]), "`")}
		m.Kind, _, _ = strings.Cut(strings.TrimSpace(cells[1]), ",")
		for _, label := range code.FindAllStringSubmatch(cells[2], -1) {
			m.Labels = append(m.Labels, strings.ReplaceAll(label[1], ".", "_"))
		}
		slices.Sort(m.Labels)
		if !strings.HasSuffix(m.Name, "_count") {
			all[m.Name] = m
		}
	}
	return all, nil
}

// Of returns the metric that a series of that name belongs to; histograms have
// three.
func (all Metrics) Of(series string) (Metric, bool) {
	if m, ok := all[series]; ok {
		return m, m.Kind != "histogram" // which has no series of its own name
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok {
			m, ok := all[name]
			return m, ok && m.Kind == "histogram"
		}
	}
	return Metric{}, false
}

// Check returns what is wrong with a query: that it does not parse, reads a metric
// that does not exist, or uses a label that its metric does not have. It returns
// the metrics that the query reads, too.
func (all Metrics) Check(query string) (metrics []string, problems []error) {
	uses, err := evaluate.Parse(query)
	if err != nil {
		return nil, []error{err}
	}
	for series, labels := range uses {
		m, ok := all.Of(series)
		if !ok {
			problems = append(problems, fmt.Errorf("%s: no metric of the contract has the series %s", query, series))
			continue
		}
		metrics = append(metrics, m.Name)
		for _, label := range labels {
			ofBucket := label == "le" && strings.HasSuffix(series, "_bucket")
			if !ofBucket && !slices.Contains(m.Labels, label) && !slices.Contains(targetLabels, label) {
				problems = append(problems, fmt.Errorf("%s: %s has no label %s", query, series, label))
			}
		}
	}
	slices.Sort(metrics)
	return slices.Compact(metrics), problems
}
