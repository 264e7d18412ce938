package main

import "strings"

// page is what a dashboard's page shows at one moment.
type page struct {
	// Expected is how many panels there are to be, -1 while the page does not say.
	Expected int
	Panels   []panel
	Height   int    // of the whole dashboard, in CSS pixels
	Text     string // the beginning of what a person reads, for complaints
}

// panel is one panel.
type panel struct {
	Title   string
	Error   string // what it says of its error; empty: none
	Loading bool   // its data are under way
	Drawn   bool   // it says that it is complete, or says nothing of it and has content
	Empty   bool   // there is nothing to see in it, or that there is nothing
}

// complaint returns what is wrong with a panel that is complete, or nothing.
func (p panel) complaint(mayBeEmpty bool) string {
	switch {
	case p.Error != "":
		return "shows an error: " + p.Error
	case p.Empty && !mayBeEmpty:
		return "is empty"
	default:
		return ""
	}
}

// done says whether all panels are complete, be it with an error.
func (p page) done() bool {
	if p.Expected < 1 || len(p.Panels) < p.Expected {
		return false
	}
	for _, panel := range p.Panels {
		if panel.Error == "" && (panel.Loading || !panel.Drawn) {
			return false
		}
	}
	return true
}

// unfinished returns the titles of the panels that are not complete.
func (p page) unfinished() string {
	var titles []string
	for _, panel := range p.Panels {
		if panel.Error == "" && (panel.Loading || !panel.Drawn) {
			titles = append(titles, panel.Title)
		}
	}
	return strings.Join(titles, ", ")
}

// inspect is a JavaScript expression for the page. It reads what Kibana, from
// 8.12 to 9.x, puts there for its reports and its own tests: the number of panels
// at the container; at each panel, or below it, whether its data are loading,
// whether it is complete, and whether there was an error, in which the chart may
// have its own message. A panel without results has a placeholder, or, where it
// is one number, "N/A" in its place.
const inspect = `(() => {
	const container = document.querySelector("[data-shared-items-container]");
	const failure = '[data-test-subj="embeddableError"], [data-test-subj="embeddable-lens-failure"], ' +
		'[data-test-subj="euiErrorBoundary"], [data-render-error], [data-error]:not([data-error="false"])';
	const loading = '[data-loading]:not([data-loading="false"]), [data-render-complete="false"]';
	const nothing = '[data-test-subj="emptyPlaceholder"], [data-test-subj="discoverNoResults"]';
	const all = (element, selector) =>
		[...(element.matches(selector) ? [element] : []), ...element.querySelectorAll(selector)];
	const text = (element) => element.innerText.replace(/\s+/g, " ").trim();
	const title = (element, n) =>
		element.querySelector("[data-title]")?.dataset.title || element.closest("[data-title]:not([data-shared-items-container])")?.dataset.title ||
		element.querySelector('[data-test-subj^="embeddablePanelHeading"], h2, figcaption')?.innerText.trim() || "panel " + (n + 1);
	const panels = [...document.querySelectorAll('[data-test-subj="embeddablePanel"]')].map((element, n) => {
		const errors = all(element, failure);
		const content = element.querySelector(".embPanel__content") ?? element;
		const values = [...content.querySelectorAll(".echMetricText__value, .echMetricText__valueBlock")].map(text);
		const shown = text(content);
		const drawing = content.querySelector("canvas, svg, img, video, iframe") !== null;
		const blank = shown === "" && !drawing;
		const says = all(element, "[data-render-complete]").length > 0;
		return {
			Title: title(element, n),
			Error: errors.length === 0 ? "" : (errors.map((e) => e.dataset.renderError || (e === element ? "" : text(e))).find((t) => t !== "") ?? "it does not say which").slice(0, 300),
			Loading: all(element, loading).length > 0,
			Drawn: says || !blank,
			Empty: blank || content.querySelector(nothing) !== null || /no results found|no data to display/i.test(shown) ||
				(values.length > 0 && values.every((value) => /^(n\/a|-|—|)$/i.test(value))),
		};
	});
	document.querySelectorAll('[data-test-subj="control-frame-error"]').forEach((element) => panels.push({
		Title: "control", Error: text(element) || "it does not say which", Loading: false, Drawn: true, Empty: false,
	}));
	return {
		Expected: container === null ? -1 : Number(container.dataset.sharedItemsCount),
		Panels: panels,
		Height: container === null ? 0 : Math.ceil(container.getBoundingClientRect().top + container.scrollHeight),
		Text: document.body === null ? "" : text(document.body).slice(0, 300),
	};
})()`
