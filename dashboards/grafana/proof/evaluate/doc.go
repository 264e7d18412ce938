// Package evaluate runs PromQL by Prometheus' own engine over samples in memory,
// so that a query on a dashboard or in an autoscaler's manifest is shown to give
// the number that it is there for. Nothing is stored and nothing is listened on.
package evaluate
