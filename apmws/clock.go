package apmws

import "time"

var processStart = time.Now()

// monotonic is half the price of time.Now where only a difference is needed.
func monotonic() time.Duration { return time.Since(processStart) }
