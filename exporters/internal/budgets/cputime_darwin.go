package main

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time that this process has used, user and system.
func cpuTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

var started = time.Now()

// callerTime returns a time that goes on, whoever has the core: other processes
// disturb the figures more than where a thread has a clock of its own.
func callerTime() (time.Duration, error) { return time.Since(started), nil }
