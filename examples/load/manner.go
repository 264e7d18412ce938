package main

import "math/rand/v2"

// manner is how a person behaves during a visit.
type manner int

const (
	talks    manner = iota // speaks, reads, and says goodbye
	vanishes               // like that, but drops the connection in the end
	slow                   // listens to one message in a while
	freezes                // opens the connection and does nothing ever after
)

// manners is how many of a hundred behave how.
var manners = [...]int{talks: 80, vanishes: 12, slow: 5, freezes: 3}

func anyManner(rng *rand.Rand) manner {
	n := rng.IntN(100)
	for m, share := range manners {
		if n -= share; n < 0 {
			return manner(m)
		}
	}
	return talks
}

// quiet ones send nothing, and let the chat feel that they do not read.
func (m manner) quiet() bool { return m == slow || m == freezes }
