package lint

// visualNames are the names in the states of the visualizations used here, as they
// are the same in every Kibana from 8.12 on.
const visualNames = "layerId layerType layers shape " +
	// Metrics.
	"metricAccessor secondaryMetricAccessor maxAccessor breakdownByAccessor collapseFn subtitle showBar color icon iconAlign maxCols " +
	"progressDirection trendlineLayerId trendlineLayerType trendlineMetricAccessor trendlineTimeAccessor " +
	"trendlineSecondaryMetricAccessor trendlineBreakdownByAccessor " +
	// Palettes.
	"palette type name params colorStops stops stop continuity maxSteps progression rangeMax rangeMin rangeType reverse steps " +
	// Charts with axes.
	"accessors seriesType xAccessor splitAccessor yConfig axisMode forAccessor fill iconPosition lineStyle lineWidth textVisibility " +
	"axisTitlesVisibilitySettings gridlinesVisibilitySettings tickLabelsVisibilitySettings labelsOrientation x yLeft yRight " +
	"fittingFunction endValue emphasizeFitting fillOpacity curveType hideEndzones showCurrentTimeMarker preferredSeriesType " +
	"valueLabels xExtent yLeftExtent yRightExtent mode lowerBound upperBound yLeftScale yRightScale xTitle yTitle yRightTitle " +
	"legend isVisible isInside position horizontalAlignment verticalAlignment floatingColumns legendSize maxLines shouldTruncate " +
	"showSingleSeries " +
	// Donuts.
	"metrics primaryGroups secondaryGroups categoryDisplay numberDisplay percentDecimals emptySizeRatio legendDisplay legendMaxLines " +
	"legendPosition nestedLegend truncateLegend " +
	// Tables.
	"columns columnId isTransposed isMetric alignment colorMode width hidden oneClickFilter summaryRow summaryLabel paging enabled size " +
	"sorting direction headerRowHeight headerRowHeightLines rowHeight rowHeightLines " +
	// Heatmaps.
	"valueAccessor yAccessor gridConfig isCellLabelVisible isXAxisLabelVisible isXAxisTitleVisible isYAxisLabelVisible " +
	"isYAxisTitleVisible " +
	// Tag clouds.
	"tagAccessor maxFontSize minFontSize orientation showLabel " +
	// Gauges.
	"minAccessor goalAccessor labelMajorMode labelMajor labelMinor ticksPosition"

// newNames are those that are not the same everywhere.
const newNames = "splitAccessors legendStats secondaryPrefix secondaryLabel valuesTextAlign"

// nameRules are about names that Kibana does not know.
func nameRules() []rule {
	return []rule{
		{
			Rule: Rule{"lens-new-names", "Names that came after 8.12 are ignored there (splitAccessors, legendStats), and those that 9.x renamed are lost (secondaryPrefix, secondaryLabel, valuesTextAlign)."},
			lens: func(l *lens, say say) {
				walk("", l.visual, func(key string, _ any) {
					if oneOf(key, newNames) {
						say("%s is not the same in every Kibana from 8.12 on", key)
					}
				})
			},
		},
		{
			Rule: Rule{"lens-names", "The state of a visualization has names that Kibana knows, and numbers are collapsed by sum, avg, min or max: it ignores what it does not know, and draws by its defaults."},
			lens: func(l *lens, say say) {
				walk("", l.visual, func(key string, value any) {
					if key != "" && !oneOf(key, visualNames) && !oneOf(key, newNames) {
						say("%s is no name in a visualization", key)
					}
					if key == "collapseFn" && !oneOf(text(value), "sum avg min max") {
						say("collapseFn is %v", value)
					}
				})
			},
		},
		{
			Rule:   Rule{"names", "Controls, formats of fields, searches and what panels embed have names that Kibana knows: it ignores others, and with them what they were to say."},
			object: checkNames,
			panel:  checkPanelNames,
		},
	}
}

func sayUnknown(value any, known string, say say) {
	for _, key := range unknown(value, known) {
		say("%s is not known", key)
	}
}

func checkPanelNames(p *panel, say say) {
	config := p.raw["embeddableConfig"]
	sayUnknown(config, "attributes description enhancements hidePanelTitles savedVis title", say)
	vis := at(config, "savedVis")
	sayUnknown(vis, "type title description id params data uiState", say)
	sayUnknown(at(vis, "params"), "fontSize markdown openLinksInNewTab", say)
	sayUnknown(at(vis, "data"), "aggs searchSource", say)
	if p.typ != "links" {
		return
	}
	sayUnknown(at(config, "attributes"), "title description layout links", say)
	for _, link := range p.links() {
		sayUnknown(link, "id label type order options destinationRefName destination", say)
		sayUnknown(at(link, "options"), "openInNewTab useCurrentDateRange useCurrentFilters encodeUrl", say)
	}
}

func checkNames(o *object, say say) {
	source := decoded(o.attributes, "kibanaSavedObjectMeta", "searchSourceJSON")
	sayUnknown(source, "filter query indexRefName highlightAll version index", say)
	sayUnknown(at(source, "query"), "language query", say)
	formats := members(decoded(o.attributes, "fieldFormatMap"))
	for _, field := range sortedKeys(formats) {
		sayUnknown(formats[field], "id params", say)
		sayUnknown(at(formats[field], "params"), "pattern urlTemplate labelTemplate type openLinkInCurrentTab inputFormat outputFormat "+
			"outputPrecision showSuffix useShortSuffix includeSpaceWithSuffix", say)
	}
	controls := o.controls()
	for _, id := range sortedKeys(controls) {
		input := at(controls[id], "explicitInput")
		sayUnknown(controls[id], "explicitInput grow order type width", say)
		// An inline dataViewId is for reference-inline to find.
		sayUnknown(input, "enhancements fieldName id searchTechnique selectedOptions sort title singleSelect exclude existsSelected "+
			"hideExclude hideExists hideSort hideActionBar runPastTimeout dataViewId", say)
		if sort := at(input, "sort"); sort != nil && (!oneOf(text(sort, "by"), "_count _key") || !oneOf(text(sort, "direction"), "asc desc")) {
			say("the values of a control are sorted by %v", sort)
		}
	}
}
