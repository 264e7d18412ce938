//go:build !race

package hour

// scale is that of the recording which all tests look at.
const scale = 1
