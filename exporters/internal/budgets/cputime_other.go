//go:build !linux && !darwin

package main

import (
	"errors"
	"time"
)

var errNotHere = errors.New("CPU time is measured on Linux and macOS alone")

func cpuTime() (time.Duration, error) { return 0, errNotHere }

func callerTime() (time.Duration, error) { return 0, errNotHere }
