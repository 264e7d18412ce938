// Package preview draws dashboards with the numbers of their panels, so that a person
// can judge layout and content without a Kibana. The grid is Kibana's, so that sizes
// are true; the drawing is the package's own and does not pretend to be a screenshot.
//
// What a panel asks for and the package cannot draw is an error, not a silent gap.
package preview
