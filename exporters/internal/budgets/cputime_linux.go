package main

import (
	"syscall"
	"time"
	"unsafe"
)

// The clocks of clock_gettime(2) that go while there is work. getrusage(2) is
// as exact as the kernel's tick alone, which is longer than many a turn.
const (
	clockProcess = 2
	clockThread  = 3
)

// cpuTime returns the CPU time that this process has used, user and system.
func cpuTime() (time.Duration, error) { return clock(clockProcess) }

// callerTime returns the CPU time of the calling thread, to which the goroutine
// must be locked. Unlike the time of day it does not go on while other processes
// have the core, and unlike that of the process it leaves out what an agent and
// the garbage collector do at the same time.
func callerTime() (time.Duration, error) { return clock(clockThread) }

func clock(id uintptr) (time.Duration, error) {
	var t syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
