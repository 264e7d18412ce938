package preview

import "time"

var timeSteps = []time.Duration{
	time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// timeTick is a label of a time axis.
type timeTick struct {
	at   time.Time
	text string
}

// timeTicks returns at most most labels between two times, at round times of UTC.
func timeTicks(from, to time.Time, most int) []timeTick {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if int(to.Sub(from)/s) < most {
			step = s
			break
		}
	}
	layout := "15:04"
	switch {
	case step < time.Minute:
		layout = "15:04:05"
	case step >= 24*time.Hour:
		layout = "Jan 2"
	}
	var all []timeTick
	for at := from.UTC().Truncate(step); !at.After(to); at = at.Add(step) {
		if at.Before(from) {
			continue
		}
		text := at.Format(layout)
		if text == "00:00" {
			text = at.Format("Jan 2")
		}
		all = append(all, timeTick{at, text})
	}
	return all
}
