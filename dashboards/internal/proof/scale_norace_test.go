//go:build !race

package proof

// scale is how much traffic there is.
const scale = 1
