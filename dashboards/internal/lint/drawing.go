package lint

import (
	"regexp"
)

const seriesTypes = "line area area_stacked area_percentage_stacked bar bar_stacked bar_percentage_stacked " +
	"bar_horizontal bar_horizontal_stacked bar_horizontal_percentage_stacked"

// drawingRules are about how charts look.
func drawingRules() []rule {
	return []rule{
		{
			Rule: Rule{"xy-options", "The types of series, the axes, and how gaps are drawn must be ones that Kibana 8.12 knows: it falls back to others without a word, or shows an error."},
			lens: func(l *lens, say say) {
				if l.kind == xyKind {
					checkXY(l, say)
				}
			},
		},
		{
			Rule: Rule{"palette", "A palette has type palette and a name; a custom one has stops and colorStops of equal number and colours, ascending: else Kibana colours by its own choice."},
			lens: func(l *lens, say say) {
				walk("", l.visual, func(key string, value any) {
					if key == "palette" {
						checkPalette(value, say)
					}
				})
			},
		},
		{
			Rule:  Rule{"colour", "Colours are written #RRGGBB: Kibana draws black, or nothing, for what it does not understand."},
			panel: checkColours,
		},
	}
}

func checkXY(l *lens, say say) {
	v := l.visual
	if kind := text(v, "preferredSeriesType"); !oneOf(kind, seriesTypes) {
		say("preferredSeriesType is %q", kind)
	}
	if fitting := text(v, "fittingFunction"); fitting != "" && !oneOf(fitting, "None Zero Linear Carry Lookahead Average Nearest") {
		say("fittingFunction is %q", fitting)
	}
	for _, axis := range []string{"xExtent", "yLeftExtent", "yRightExtent"} {
		if mode := text(v, axis, "mode"); has(v, axis) && !oneOf(mode, "full dataBounds custom") {
			say("the mode of %s is %q", axis, mode)
		}
	}
	for _, axis := range []string{"yLeftScale", "yRightScale"} {
		if scale := text(v, axis); has(v, axis) && !oneOf(scale, "linear log sqrt time") {
			say("%s is %q", axis, scale)
		}
	}
	if at(v, "legend") == nil || !oneOf(text(v, "legend", "position"), "top left bottom right") {
		say("the legend has no position")
	}
	for _, y := range elements(v, "layers") {
		id := text(y, "layerId")
		switch kind := text(y, "layerType"); kind {
		case "data":
			if series := text(y, "seriesType"); !oneOf(series, seriesTypes) {
				say("seriesType of layer %s is %q", id, series)
			}
		case "referenceLine":
			for _, c := range l.layerColumns(id) {
				if c.bucketed() {
					say("the reference lines of layer %s have a bucket", id)
				}
			}
		default:
			say("layerType of layer %s is %q", id, kind)
		}
		for _, style := range elements(y, "yConfig") {
			if mode := text(style, "axisMode"); has(style, "axisMode") && !oneOf(mode, "auto left right bottom") {
				say("axisMode of %s is %q", text(style, "forAccessor"), mode)
			}
			if line := text(style, "lineStyle"); has(style, "lineStyle") && !oneOf(line, "solid dashed dotted dot-dashed") {
				say("lineStyle of %s is %q", text(style, "forAccessor"), line)
			}
		}
	}
}

func (l *lens) layerColumns(id string) []*column {
	if y := l.layer(id); y != nil {
		return y.columns
	}
	return nil
}

func checkPalette(palette any, say say) {
	name := text(palette, "name")
	if text(palette, "type") != "palette" || name == "" {
		say("a palette has type palette and a name")
		return
	}
	if name != "custom" {
		return
	}
	params := at(palette, "params")
	stops, starts := elements(params, "stops"), elements(params, "colorStops")
	if len(stops) == 0 || len(stops) != len(starts) {
		say("the custom palette has %d stops and %d colorStops", len(stops), len(starts))
	}
	for _, list := range [][]any{stops, starts} {
		for i := range list {
			stop, ok := at(list[i], "stop").(float64)
			if !ok || text(list[i], "color") == "" {
				say("a stop has a number and a colour")
				continue
			}
			if before, _ := at(list[max(i-1, 0)], "stop").(float64); i > 0 && stop <= before {
				say("stop %v comes after %v", stop, before)
			}
		}
	}
	for i := range min(len(stops), len(starts)) {
		if text(stops[i], "color") != text(starts[i], "color") {
			say("colour %d is %s in stops, %s in colorStops", i, text(stops[i], "color"), text(starts[i], "color"))
		}
	}
	if steps, ok := whole(params, "steps"); has(params, "steps") && (!ok || steps != len(stops)) {
		say("steps is %v, the stops are %d", at(params, "steps"), len(stops))
	}
	if !oneOf(text(params, "rangeType"), "number percent") || text(params, "name") != "custom" {
		say("the custom palette needs params.name custom and a rangeType")
	}
	if continuity := text(params, "continuity"); !oneOf(continuity, "above below all none") {
		say("continuity is %q", continuity)
	}
}

var hex = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func checkColours(p *panel, say say) {
	walk("", p.raw["embeddableConfig"], func(key string, value any) {
		if key != "color" && key != "colour" && key != "baseColor" && key != "backgroundColor" {
			return
		}
		if s, ok := value.(string); !ok || !hex.MatchString(s) {
			say("%s is %v", key, value)
		}
	})
}
