package boards

import "github.com/apmws/go-apmws/dashboards/internal/kibana"

// Colours that people with any kind of colour vision can tell apart.
const (
	blue   = "#6092C0" // what comes in, or is as it should be
	green  = "#54B399"
	purple = "#9170B8" // what goes out
	yellow = "#D6BF57"
	orange = "#DA8B45"
	red    = "#E7664C" // failures
	pink   = "#D36086"
	brown  = "#AA6556"
	grey   = "#98A2B3" // another time, for comparison
)

// coloured colours a tile.
type coloured func(*kibana.Metric)

// neutral is a tile whose number is neither good nor bad.
func neutral(*kibana.Metric) {}

// limits colours a tile by its number: good below warn, bad from fail on. The
// colours are backgrounds, of dark text.
func limits(warn, fail float64) coloured {
	return func(m *kibana.Metric) {
		m.Palette = from(stop("#B6E3D4", 0), stop("#F1E4A7", warn), stop("#F6B8A8", fail))
	}
}

// noneIsGood colours a tile whose number should be 0.
func noneIsGood(m *kibana.Metric) { m.Palette = from(stop("#B6E3D4", 0), stop("#F6B8A8", 1)) }

// textLimits colours a number in a table.
func textLimits(warn, fail float64) *kibana.Palette {
	return from(stop("#209280", 0), stop("#A1741F", warn), stop("#CC5642", fail))
}

func stop(colour string, at float64) kibana.ColorStop {
	return kibana.ColorStop{Color: colour, Stop: at}
}

// from returns a palette of colours by where each begins.
func from(starts ...kibana.ColorStop) *kibana.Palette {
	ends := make([]kibana.ColorStop, len(starts))
	for i, s := range starts {
		ends[i] = stop(s.Color, s.Stop+1) // the last has no end
		if i+1 < len(starts) {
			ends[i].Stop = starts[i+1].Stop
		}
	}
	return &kibana.Palette{Name: "custom", Type: "palette", Params: &kibana.PaletteParams{
		ColorStops: starts, Stops: ends, Continuity: "above", MaxSteps: 5, Name: "custom", Progression: "fixed",
		RangeType: "number", Steps: len(starts),
	}}
}
