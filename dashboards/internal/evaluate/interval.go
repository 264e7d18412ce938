package evaluate

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Kibana's settings histogram:barTarget and histogram:maxBars, as they are unless
// somebody changes them.
const (
	barTarget = 50
	maxBars   = 100
)

const (
	day  = 24 * time.Hour
	week = 7 * day
	// How long Kibana takes months and years to be where it chooses an interval.
	month = 30 * day
	year  = 365 * day
)

// steps are the intervals that Kibana chooses from, and the time per bar from which
// it takes each, to get near the wanted number of bars.
//
// Source: the plugin data of Kibana, common/search/aggs/buckets/lib/time_buckets.
var steps = []struct{ from, interval time.Duration }{
	{year, year},
	{3 * week, month},
	{week, week},
	{day, day},
	{6 * time.Hour, 12 * time.Hour},
	{2 * time.Hour, 3 * time.Hour},
	{45 * time.Minute, time.Hour},
	{20 * time.Minute, 30 * time.Minute},
	{9 * time.Minute, 10 * time.Minute},
	{3 * time.Minute, 5 * time.Minute},
	{45 * time.Second, time.Minute},
	{15 * time.Second, 30 * time.Second},
	{7500 * time.Millisecond, 10 * time.Second},
	{5 * time.Second, 5 * time.Second},
	{500 * time.Millisecond, time.Second},
}

// automatic returns the interval that Kibana takes for a time range.
func automatic(length time.Duration) time.Duration {
	bar := length / barTarget
	for _, step := range steps {
		if bar >= step.from {
			return step.interval
		}
	}
	return max(bar.Truncate(time.Millisecond), time.Millisecond)
}

// finest returns the shortest interval that Kibana takes for a time range, whatever
// is asked for.
func finest(length time.Duration) time.Duration {
	bar := length / maxBars
	for _, step := range steps {
		if bar >= step.interval {
			return step.interval
		}
	}
	if bar >= 100*time.Millisecond {
		return 100 * time.Millisecond
	}
	return max(bar.Truncate(time.Millisecond), time.Millisecond)
}

// intervalOf returns the interval of a date histogram over a time range.
func intervalOf(text string, length time.Duration) (time.Duration, error) {
	interval := automatic(length)
	if text != "auto" {
		asked, err := span(text)
		if err != nil {
			return 0, fmt.Errorf("interval: %w", err)
		}
		interval = max(asked, finest(length))
	}
	if interval > week {
		return 0, fmt.Errorf("intervals of more than a week, here %v, are not supported", interval)
	}
	return interval, nil
}

// floor returns where the bucket of a time begins, in UTC. Weeks begin on Mondays,
// all else counts from 1970.
func floor(at int64, interval time.Duration) int64 {
	length, offset := interval.Milliseconds(), int64(0)
	if interval == week {
		offset = 4 * day.Milliseconds() // the first Monday of 1970
	}
	rest := (at - offset) % length
	if rest < 0 {
		rest += length
	}
	return at - rest
}

var spanForm = regexp.MustCompile(`^(\d+) ?(ms|[smhdw])$`)

// span returns the length of a time as Kibana writes it, such as 5m or 1w. Days have
// 24 hours.
func span(text string) (time.Duration, error) {
	parts := spanForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("a time of %q is not supported", text)
	}
	count, err := strconv.Atoi(parts[1])
	if err != nil || count == 0 {
		return 0, fmt.Errorf("a time of %q is not supported", text)
	}
	return time.Duration(count) * unit(parts[2]), nil
}

// unit returns the length of a unit, or 0.
func unit(name string) time.Duration {
	switch name {
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	case "d":
		return day
	case "w":
		return week
	default:
		return 0
	}
}
