//go:build race

package hour

// scale is that of the recording which all tests look at. The detector slows
// everything down some ten times.
const scale = 0.1
