package intake

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/elastic/apm-data/model/modelpb"
)

const (
	interval = time.Minute

	// longest is where APM Server's histograms end: what took longer is in none.
	longest = time.Hour
)

// Aggregates returns the documents that APM Server derives from transactions and
// exit spans, of those that have arrived: metrics-apm.transaction.1m-default and
// metrics-apm.service_destination.1m-default.
//
// It is a simplification. There are no intervals but one minute, no service
// metrics, and no limit to the number of groups, where APM Server has one and
// counts the rest as _other. Values are where a bucket of two significant digits
// begins. Documents say nothing of containers, clouds and functions, and what the
// server reports each minute is one document here, whenever it arrived.
func (s *Server) Aggregates() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aggregates.documents()
}

// aggregator sums up events by minute and group. Its zero value is empty.
type aggregator struct {
	transactions map[group]durations
	destinations map[group]*responses
}

// group is what documents are distinguished by, a transaction's or an exit span's.
type group struct {
	minute int64 // Unix time, s
	origin origin
	name   string // of the transaction, or of the span
	// Of transactions.
	kind, result string
	root         bool
	// Of spans.
	resource, targetType, targetName string

	outcome string
}

// origin is where events come from.
type origin struct {
	agent, service, environment                        string
	version, node, host, platform                      string // of transactions alone
	language, languageVersion, runtime, runtimeVersion string // of transactions alone
	labels                                             string // those of the agent's configuration
}

// durations is a histogram: how often, by where the bucket begins, in µs.
type durations map[uint64]float64

// responses is how often a destination was called, and for how long.
type responses struct{ count, us float64 }

func (a *aggregator) add(event *modelpb.APMEvent) {
	switch event.Type() {
	case modelpb.TransactionEventType:
		a.addTransaction(event)
	case modelpb.SpanEventType:
		a.addSpan(event)
	default: // nothing is derived from the rest
	}
}

func (a *aggregator) addTransaction(event *modelpb.APMEvent) {
	tx := event.GetTransaction()
	if tx.GetRepresentativeCount() <= 0 {
		return // unsampled, and nobody knows how many there were
	}
	from := originOf(event)
	g := group{
		minute: minute(event), origin: from, name: tx.GetName(), kind: tx.GetType(), result: tx.GetResult(),
		root: event.GetParentId() == "", outcome: event.GetEvent().GetOutcome(),
	}
	if a.transactions == nil {
		a.transactions = make(map[group]durations)
	}
	d := a.transactions[g]
	if d == nil {
		d = make(durations)
		a.transactions[g] = d
	}
	d.add(event.GetEvent().GetDuration(), tx.GetRepresentativeCount())
	for _, dropped := range tx.GetDroppedSpansStats() {
		a.addResponses(group{
			minute: g.minute, origin: from.ofService(), resource: dropped.GetDestinationServiceResource(),
			targetType: dropped.GetServiceTargetType(), targetName: dropped.GetServiceTargetName(), outcome: dropped.GetOutcome(),
		}, tx.GetRepresentativeCount(), float64(dropped.GetDuration().GetCount()), float64(dropped.GetDuration().GetSum())/1e3)
	}
}

func (a *aggregator) addSpan(event *modelpb.APMEvent) {
	span, target := event.GetSpan(), event.GetService().GetTarget()
	resource := span.GetDestinationService().GetResource()
	if span.GetRepresentativeCount() <= 0 || resource == "" && target == nil {
		return
	}
	count, us := 1.0, float64(event.GetEvent().GetDuration())/1e3
	if composite := span.GetComposite(); composite != nil {
		count, us = float64(composite.GetCount()), composite.GetSum()*1e3
	}
	a.addResponses(group{
		minute: minute(event), origin: originOf(event).ofService(), name: span.GetName(), resource: resource,
		targetType: target.GetType(), targetName: target.GetName(), outcome: event.GetEvent().GetOutcome(),
	}, span.GetRepresentativeCount(), count, us)
}

func (a *aggregator) addResponses(g group, represents, count, us float64) {
	if a.destinations == nil {
		a.destinations = make(map[group]*responses)
	}
	r := a.destinations[g]
	if r == nil {
		r = new(responses)
		a.destinations[g] = r
	}
	r.count += represents * count
	r.us += represents * us
}

// add counts a duration in ns.
func (d durations) add(ns uint64, represents float64) {
	if ns > uint64(longest) {
		return
	}
	us := ns / 1e3
	// Up to 255 every value is a bucket, above it every 1/128 of a power of two.
	drop := max(0, bits.Len64(us)-8)
	d[us>>drop<<drop] += represents
}

// minute is the beginning of the one in which an event began.
func minute(event *modelpb.APMEvent) int64 {
	return modelpb.ToTime(event.GetTimestamp()).Truncate(interval).Unix()
}

func originOf(event *modelpb.APMEvent) origin {
	service, host := event.GetService(), event.GetHost()
	return origin{
		agent: event.GetAgent().GetName(), service: service.GetName(), environment: service.GetEnvironment(),
		version: service.GetVersion(), node: service.GetNode().GetName(), host: host.GetHostname(), platform: host.GetOs().GetPlatform(),
		language: service.GetLanguage().GetName(), languageVersion: service.GetLanguage().GetVersion(),
		runtime: service.GetRuntime().GetName(), runtimeVersion: service.GetRuntime().GetVersion(),
		labels: globalLabels(event.GetLabels()),
	}
}

// ofService is the service alone, without its instance.
func (o origin) ofService() origin {
	return origin{agent: o.agent, service: o.service, environment: o.environment, labels: o.labels}
}

// globalLabels returns those that hold for all of an agent's events, as
// name, value, name, value, each with a zero byte behind it.
func globalLabels(labels map[string]*modelpb.LabelValue) string {
	var names []string
	for name, label := range labels {
		if label.GetGlobal() && len(label.GetValues()) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		all.WriteString(name + "\x00" + labels[name].GetValue() + "\x00")
	}
	return all.String()
}

func (a *aggregator) documents() []Document {
	all := make([]Document, 0, len(a.transactions)+len(a.destinations))
	for _, g := range slices.SortedFunc(maps.Keys(a.transactions), group.compare) {
		all = append(all, g.transaction(a.transactions[g]))
	}
	for _, g := range slices.SortedFunc(maps.Keys(a.destinations), group.compare) {
		r := a.destinations[g]
		d := g.document("service_destination")
		d.set("span.name", g.name)
		d.set("span.destination.service.resource", g.resource)
		d.set("service.target.type", g.targetType)
		d.set("service.target.name", g.targetName)
		d["span.destination.service.response_time.count"] = math.Round(r.count)
		d["span.destination.service.response_time.sum.us"] = math.Round(r.us)
		all = append(all, d)
	}
	return all
}

func (g group) transaction(h durations) Document {
	d := g.document("transaction")
	d.set("transaction.name", g.name)
	d.set("transaction.type", g.kind)
	d.set("transaction.result", g.result)
	if g.root {
		d["transaction.root"] = true
	}
	var values, counts []any
	var total, sum float64
	for _, us := range slices.Sorted(maps.Keys(h)) {
		count := math.Round(h[us])
		if count == 0 {
			continue
		}
		values, counts = append(values, float64(us)), append(counts, count)
		total += count
		sum += count * float64(us)
	}
	if total == 0 {
		return d
	}
	d["_doc_count"] = total
	d["transaction.duration.histogram"] = map[string]any{"values": values, "counts": counts}
	d["transaction.duration.summary"] = map[string]any{"sum": sum, "value_count": total}
	switch g.outcome {
	case "success":
		d["event.success_count"] = map[string]any{"sum": total, "value_count": total}
	case "failure":
		d["event.success_count"] = map[string]any{"sum": 0.0, "value_count": total}
	}
	return d
}

// document holds what both kinds have.
func (g group) document(set string) Document {
	d := Document{
		"@timestamp":            time.Unix(g.minute, 0).UTC().Format("2006-01-02T15:04:05.000Z"),
		"processor.event":       "metric",
		"metricset.name":        set,
		"metricset.interval":    "1m",
		"data_stream.type":      "metrics",
		"data_stream.dataset":   "apm." + set + ".1m",
		"data_stream.namespace": "default",
	}
	d.set("event.outcome", g.outcome)
	o := g.origin
	for field, value := range map[string]string{
		"agent.name": o.agent, "service.name": o.service, "service.environment": o.environment,
		"service.version": o.version, "service.node.name": o.node, "host.hostname": o.host, "host.name": o.host,
		"host.os.platform": o.platform, "service.language.name": o.language, "service.language.version": o.languageVersion,
		"service.runtime.name": o.runtime, "service.runtime.version": o.runtimeVersion,
	} {
		d.set(field, value)
	}
	labels := strings.Split(o.labels, "\x00")
	for i := 0; i+1 < len(labels); i += 2 {
		d["labels."+labels[i]] = labels[i+1]
	}
	return d
}

// set sets a field unless it is empty.
func (d Document) set(field, value string) {
	if value != "" {
		d[field] = value
	}
}

// compare makes the order of documents the same in every run.
func (g group) compare(h group) int {
	return cmp.Or(cmp.Compare(g.minute, h.minute), strings.Compare(g.origin.service, h.origin.service),
		strings.Compare(g.origin.node, h.origin.node), strings.Compare(g.kind, h.kind), strings.Compare(g.name, h.name),
		strings.Compare(g.result, h.result), strings.Compare(g.resource, h.resource), strings.Compare(g.targetType, h.targetType),
		strings.Compare(g.targetName, h.targetName), strings.Compare(g.outcome, h.outcome))
}
