//go:build race

package proof

// scale is how much traffic there is. The detector slows everything down some ten
// times.
const scale = 0.1
