//go:build !race

package exact

const (
	volumeReceived    = 1_000_000 // messages that clients send
	volumeBoth        = 620_000   // where those of both directions are the million
	volumeTotal       = 1_000_000 // of both directions, at least
	volumeConnections = 200
	compressingOneIn  = 4 // connections
)
