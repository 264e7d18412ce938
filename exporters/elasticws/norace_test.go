//go:build !race

package elasticws

const raceEnabled = false
