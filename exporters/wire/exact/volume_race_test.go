//go:build race

package exact

// The detector slows everything down some ten times. It makes pools forget, too, so
// that compressing costs a megabyte each time.
const (
	volumeReceived    = 20_000
	volumeTotal       = 30_000
	volumeConnections = 40
	compressingOneIn  = 20
)
