//go:build race

package elasticws

const raceEnabled = true
