// Package proof drives an hour of traffic through the real agents, and shows that
// each panel of the dashboards that users import tells what was driven in.
//
// It is tests alone, and those run without the race detector, which would make
// minutes of them: package hour drives the same traffic with it.
package proof
