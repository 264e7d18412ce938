package proof

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/contract"
	"github.com/apmws/go-apmws/dashboards/grafana/proof/evaluate"
)

// cluster is what is scraped: two pods of the chat and one of somebody else's.
type cluster struct {
	pods    []pod
	other   pod
	metrics contract.Metrics
}

var scrapedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// store is what Prometheus has after the pods were scraped by the PodMonitor, whose
// labels are those that the Operator documents.
func (c cluster) store(m *manifests) (*evaluate.Store, error) {
	store := &evaluate.Store{}
	scrape := func(p pod, namespace, job string) error {
		_, err := store.Scrape(scrapedAt, strings.NewReader(p.metrics), evaluate.Labels{
			"job": job, "namespace": namespace, "pod": p.name, "container": "chat",
			"endpoint": m.monitor.Spec.PodMetricsEndpoints[0].Port, "instance": p.name + ":8080",
		})
		return err
	}
	job := m.monitor.Namespace + "/" + m.monitor.Name
	var all []error
	for _, p := range c.pods {
		all = append(all, scrape(p, m.monitor.Namespace, job))
	}
	all = append(all, scrape(c.other, "elsewhere", "elsewhere/chat"))
	return store, errors.Join(all...)
}

// wanted are the open connections of the two pods: all of each, and those of /ws.
var wanted = map[string]float64{"chat-a": 5, "chat-b": 4}

const wantedAll, wantedSocket = 9, 3.5

// scaling returns what is wrong with what the autoscalers are told.
func (c cluster) scaling(m *manifests) error {
	store, err := c.store(m)
	if err != nil {
		return err
	}
	return errors.Join(c.adapter(m, store), c.keda(m, store), c.cloudWatch(m))
}

// adapter asks what prometheus-adapter asks for the metric of the autoscaler.
func (c cluster) adapter(m *manifests, store *evaluate.Store) error {
	metric := m.autoscaler.Spec.Metrics[0].Pods.Metric.Name
	for _, rule := range m.adapter.Rules.Custom {
		found, err := c.discovers(rule, store, metric)
		if err != nil {
			return err
		}
		if found == "" {
			continue
		}
		query, err := rule.query(found, m.deployment.Namespace, slices.Sorted(maps.Keys(wanted)))
		if err != nil {
			return err
		}
		if _, problems := c.metrics.Check(query); len(problems) > 0 {
			return errors.Join(problems...)
		}
		values, err := store.Instant(query, scrapedAt)
		if err != nil {
			return err
		}
		got := map[string]float64{}
		for _, v := range values {
			got[v.Labels["pod"]] += v.Value
		}
		if len(values) != len(wanted) || !maps.Equal(got, wanted) {
			return fmt.Errorf("the autoscaler is told %v", values)
		}
		return nil
	}
	return fmt.Errorf("prometheus-adapter has no metric %s", metric)
}

// discovers returns the series that a rule makes the metric of.
func (c cluster) discovers(rule adapterRule, store *evaluate.Store, metric string) (string, error) {
	if _, problems := c.metrics.Check(rule.SeriesQuery); len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	matches, err := regexp.Compile(rule.Name.Matches)
	if err != nil {
		return "", err
	}
	series, err := store.Instant(rule.SeriesQuery, scrapedAt)
	if err != nil {
		return "", err
	}
	for _, s := range series {
		name := s.Labels["__name__"]
		if place := matches.FindStringSubmatchIndex(name); place != nil &&
			string(matches.ExpandString(nil, rule.Name.As, name, place)) == metric {
			return name, nil
		}
	}
	return "", nil
}

// query fills a rule's template in, as the documentation of prometheus-adapter has it.
func (r adapterRule) query(series, namespace string, pods []string) (string, error) {
	label := func(of string) string {
		for name, r := range r.Resources.Overrides {
			if r.Resource == of || r.Resource == of+"s" {
				return name
			}
		}
		return ""
	}
	text, err := template.New("").Delims("<<", ">>").Option("missingkey=error").Parse(r.MetricsQuery)
	if err != nil {
		return "", err
	}
	if label("pod") == "" || label("namespace") == "" {
		return "", errors.New("the rule does not say which labels are pod and namespace")
	}
	var query strings.Builder
	err = text.Execute(&query, map[string]string{
		"Series":        series,
		"LabelMatchers": fmt.Sprintf("%s=%q,%s=~%q", label("namespace"), namespace, label("pod"), strings.Join(pods, "|")),
		"GroupBy":       label("pod"),
	})
	return query.String(), err
}

// keda asks what KEDA asks.
func (c cluster) keda(m *manifests, store *evaluate.Store) error {
	trigger := m.scaled.Spec.Triggers[0].Metadata
	if _, problems := c.metrics.Check(trigger.Query); len(problems) > 0 {
		return errors.Join(problems...)
	}
	values, err := store.Instant(trigger.Query, scrapedAt)
	if err != nil {
		return err
	}
	if len(values) != 1 || values[0].Value != wantedAll {
		return fmt.Errorf("KEDA is told %v", values)
	}
	return nil
}

// cloudWatch makes the metric as the CloudWatch agent documents it, of what it scrapes
// from the tasks.
func (c cluster) cloudWatch(m *manifests) error {
	config := m.agent.Logs.MetricsCollected.Prometheus
	task := config.ECSServiceDiscovery.TaskDefinitionList[0]
	job := m.scrape.ScrapeConfigs[0]
	keep := job.MetricRelabelConfigs[0]
	kept, err := regexp.Compile("^(?:" + keep.Regex + ")$")
	if err != nil || keep.Action != "keep" || !slices.Equal(keep.SourceLabels, []string{"__name__"}) {
		return fmt.Errorf("what is kept: %v, %w", keep, err)
	}
	if !slices.Equal(job.FileSDConfigs[0].Files, []string{config.ECSServiceDiscovery.ResultFile}) {
		return errors.New("the targets are not read from where they are written")
	}
	arn, err := regexp.Compile(task.ARNPattern)
	if err != nil || !arn.MatchString("arn:aws:ecs:eu-west-1:111122223333:task-definition/chat:42") {
		return fmt.Errorf("the chat's tasks are not found: %w", err)
	}
	declared := config.EMFProcessor.Declarations[0]
	labels, err := regexp.Compile(declared.LabelMatcher)
	if err != nil {
		return err
	}
	var sum, samples float64
	for _, p := range c.pods {
		store := &evaluate.Store{}
		series, err := store.Scrape(scrapedAt, strings.NewReader(p.metrics), evaluate.Labels{
			"job": task.JobName, "ClusterName": "chat", "TaskDefinitionFamily": "chat",
		})
		if err != nil {
			return err
		}
		for _, of := range series {
			var values []string
			for _, l := range declared.SourceLabels {
				values = append(values, of[l])
			}
			if !kept.MatchString(of["__name__"]) || !labels.MatchString(strings.Join(values, ";")) ||
				!slices.ContainsFunc(declared.Selectors, func(s string) bool { return regexp.MustCompile(s).MatchString(of["__name__"]) }) {
				continue
			}
			values2, err := store.Instant(of["__name__"]+`{http_route="`+of["http_route"]+`"}`, scrapedAt)
			if err != nil {
				return err
			}
			sum, samples = sum+values2[0].Value, samples+1
		}
	}
	spec := m.tracking.CustomizedMetricSpecification
	var dimensions []string
	for _, d := range spec.Dimensions {
		dimensions = append(dimensions, *d.Name)
	}
	switch {
	case *spec.Namespace != config.EMFProcessor.Namespace || !c.is(*spec.MetricName) || !kept.MatchString(*spec.MetricName):
		return fmt.Errorf("the policy looks at %s of %s", *spec.MetricName, *spec.Namespace)
	case !slices.ContainsFunc(declared.Dimensions, func(d []string) bool { return slices.Equal(d, dimensions) }):
		return fmt.Errorf("the policy looks at a metric with the dimensions %v", dimensions)
	case spec.Statistic != "Average" || sum/samples != wantedSocket:
		return fmt.Errorf("the policy is told %v of %v", spec.Statistic, sum/samples)
	}
	return nil
}

func (c cluster) is(metric string) bool {
	_, ok := c.metrics[metric]
	return ok
}
