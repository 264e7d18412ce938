package board

import "strings"

// The variables as selectors. Telemetry that was given up has no route.
const (
	ofNodes  = `job=~"$job",instance=~"$instance"`
	ofRoutes = ofNodes + `,http_route=~"$route"`
)

// gauge selects a metric, of the chosen routes.
func gauge(metric string) string { return metric + "{" + ofRoutes + "}" }

// rate is a counter's growth per second, of the chosen routes and what more is said.
func rate(series string, more ...string) string {
	return "rate(" + series + "{" + strings.Join(append([]string{ofRoutes}, more...), ",") + "}[$__rate_interval])"
}

func sum(expr string, by ...string) string {
	if len(by) == 0 {
		return "sum(" + expr + ")"
	}
	return "sum by (" + strings.Join(by, ",") + ") (" + expr + ")"
}

// orZero is 0 where nothing has been counted yet.
func orZero(expr string) string { return "(" + expr + " or vector(0))" }

// share is a part of a whole, and nothing while the whole is 0.
func share(part, whole string) string { return orZero(part) + " / (" + whole + " > 0)" }

// percentile is that of a histogram, by labels, and nothing while there is nothing in
// it: what Prometheus then answers is no number, and would be shown as NaN.
func percentile(of, histogram string, by ...string) string {
	return "histogram_quantile(" + of + ", " + sum(rate(histogram+"_bucket"), append([]string{"le"}, by...)...) + ") >= 0"
}

// percentiles are three of a histogram, over all that is chosen.
func percentiles(histogram string) []query {
	return []query{
		{percentile("0.5", histogram), "p50"},
		{percentile("0.95", histogram), "p95"},
		{percentile("0.99", histogram), "p99"},
	}
}
