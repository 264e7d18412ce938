//go:build race

package apmws

// crowdSize is small where each recipient takes ten times as long.
const crowdSize = 1000
