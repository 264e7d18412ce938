package main

import "sync/atomic"

// counter is one thing that is counted.
type counter int

const (
	opened      counter = iota // connections
	refused                    // handshakes that were answered by another status than 101, be it a 5xx
	unreachable                // handshakes without an answer, and logins that failed in any way
	left                       // connections that this side closed with a close frame
	vanished                   // connections that this side dropped without one
	ended                      // connections that the chat closed, or the network: those that are lost
	hopeless                   // visits that ended because the Dialer had given up, those of intruders included

	sent      // messages of all types
	unknown   // of these, with a type that the chat does not know, or none
	received  // messages of all types
	complaint // of these, the chat's complaints
	asked     // messages that come back to the speaker
	echoed    // of these, those that did
	unechoed  // of these, those that were given up waiting for

	counters
)

// counts counts. Its methods are safe for concurrent use.
type counts [counters]atomic.Int64

func (c *counts) add(what counter)       { c[what].Add(1) }
func (c *counts) get(what counter) int64 { return c[what].Load() }
