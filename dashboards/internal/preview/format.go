package preview

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// format is how the values of a column are written.
type format struct {
	id       string // number, percent, bytes, duration, date, url, or "" for text
	decimals int
	trim     bool   // without trailing zeros
	compact  bool   // 12k for 12,345
	from     string // duration: the unit of the value
	to       string // duration: humanizePrecise, or one unit such as asSeconds
	suffix   string // such as /s
	layout   string // of a date
}

// none is what stands where there is no value.
const none = "–"

// dateLayout is how a time is written that no axis shortens: Kibana's default, so that
// columns are as wide as they must be.
const dateLayout = "Jan 2, 2006 @ 15:04:05.000"

// value writes what a table may hold: a number, a text, a time, or nothing.
func (f format) value(v any) string {
	switch v := v.(type) {
	case nil:
		return none
	case float64:
		return f.number(v)
	case time.Time:
		layout := f.layout
		if layout == "" {
			layout = dateLayout
		}
		return v.UTC().Format(layout)
	case string:
		if v == "" {
			return "(empty)"
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

// number writes a number; one that is none is no value.
func (f format) number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	var text string
	switch f.id {
	case "percent":
		text = f.fixed(v*100) + "%"
	case "bytes":
		text = f.scaled(v, bytesUnits)
	case "duration":
		text = f.duration(v)
	case "date": // in milliseconds
		return f.value(time.UnixMilli(int64(v)))
	default:
		text = f.plain(v)
	}
	return text + f.suffix
}

// unit is a unit of a quantity and how many of the smallest it is.
type unit struct {
	name string
	size float64
}

var (
	bytesUnits   = []unit{{" B", 1}, {" KB", 1 << 10}, {" MB", 1 << 20}, {" GB", 1 << 30}, {" TB", 1 << 40}}
	compactUnits = []unit{{"", 1}, {"k", 1e3}, {"m", 1e6}, {"b", 1e9}, {"t", 1e12}}
	// durationUnits are in seconds.
	durationUnits = []unit{
		{" ms", 1e-3}, {" s", 1}, {" min", 60}, {" h", 3600}, {" d", day}, {" w", 7 * day}, {" mon", 365.25 / 12 * day}, {" y", 365.25 * day},
	}
)

const day = 24 * 3600.0

// durationInputs are the units of values, in seconds.
var durationInputs = map[string]float64{
	"picoseconds": 1e-12, "nanoseconds": 1e-9, "microseconds": 1e-6, "milliseconds": 1e-3, "seconds": 1,
	"minutes": 60, "hours": 3600, "days": day, "weeks": 7 * day,
}

// durationOutputs are units that a format may insist on.
var durationOutputs = map[string]unit{
	"asMilliseconds": durationUnits[0], "asSeconds": durationUnits[1], "asMinutes": durationUnits[2],
	"asHours": durationUnits[3], "asDays": durationUnits[4], "asWeeks": durationUnits[5],
}

func (f format) plain(v float64) string {
	if f.compact {
		return f.scaled(v, compactUnits)
	}
	return f.fixed(v)
}

func (f format) duration(v float64) string {
	seconds := v * f.seconds()
	if u, ok := durationOutputs[f.to]; ok {
		return f.fixed(seconds/u.size) + u.name
	}
	return f.scaled(seconds, durationUnits)
}

// seconds is how many seconds one of a duration's unit is.
func (f format) seconds() float64 {
	if s, ok := durationInputs[f.from]; ok {
		return s
	}
	return 1
}

// scaled writes a number in the largest unit of which it is at least one. Times that a
// division left a hair below their unit belong to it.
func (f format) scaled(v float64, units []unit) string {
	u := units[0]
	for _, next := range units[1:] {
		if math.Abs(v) >= next.size*(1-1e-9) {
			u = next
		}
	}
	return f.fixed(v/u.size) + u.name
}

// fixed writes a number with the format's decimals and commas between thousands.
func (f format) fixed(v float64) string {
	// Halves go up, as they do in a browser's arithmetic, not to even.
	power := math.Pow10(f.decimals)
	v = math.Copysign(math.Floor(math.Abs(v)*power+0.5+1e-9)/power, v)
	if v == 0 {
		v = 0 // not minus zero
	}
	text := strconv.FormatFloat(v, 'f', f.decimals, 64)
	if f.trim && strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	whole, rest, _ := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return sign + whole + rest
}

// tick is the format for the labels of an axis: without zeros that say nothing.
func (f format) tick() format {
	f.trim = true
	return f
}
