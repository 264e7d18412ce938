//go:build !race

package exact

const (
	volumeReceived    = 1_000_000 // messages that clients send
	volumeTotal       = 1_600_000 // of both directions, at least
	volumeConnections = 200
	compressingOneIn  = 4 // connections
)
