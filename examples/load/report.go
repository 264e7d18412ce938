package main

import (
	"fmt"
	"io"
	"time"
)

// progress writes one line of where things stand.
func (f *fleet) progress(out io.Writer) {
	c := &f.counts
	line := fmt.Sprintf("%5s  %d open, %d opened, %d refused, %d sent, %d received, echo p50 %s p99 %s",
		time.Since(f.start).Round(time.Second), c.get(opened)-c.get(left)-c.get(vanished)-c.get(ended),
		c.get(opened), c.get(refused), c.get(sent), c.get(received),
		short(f.echoTime.percentile(50)), short(f.echoTime.percentile(99)))
	if n := c.get(ended); n > 0 {
		line += fmt.Sprintf(", %d lost, back p99 %s", n, short(f.backAfter.percentile(99)))
	}
	if n := c.get(unreachable); n > 0 {
		line += fmt.Sprintf(", %d times unreachable (%v)", n, f.lastFailure())
	}
	fmt.Fprintln(out, line)
}

// summary writes all that was counted.
func (f *fleet) summary(out io.Writer) {
	c := &f.counts
	fmt.Fprintf(out, "\nafter %s, seed %d\n", time.Since(f.start).Round(time.Millisecond), f.cfg.seed)
	fmt.Fprintf(out, "connections  %d opened: %d closed, %d dropped without a goodbye, %d ended by the chat\n",
		c.get(opened), c.get(left), c.get(vanished), c.get(ended))
	fmt.Fprintf(out, "handshakes   %d refused; the chat was unreachable %d times\n", c.get(refused), c.get(unreachable))
	fmt.Fprintf(out, "came back    %d, after p50 %s, p90 %s, p99 %s, max %s; at most %d attempts in a second; %d gave up\n",
		f.backAfter.count(), short(f.backAfter.percentile(50)), short(f.backAfter.percentile(90)), short(f.backAfter.percentile(99)),
		short(f.backAfter.percentile(100)), f.attempts.most(), c.get(hopeless))
	fmt.Fprintf(out, "messages     %d sent, %d of them unknown to the chat; %d received, %d of them complaints\n",
		c.get(sent), c.get(unknown), c.get(received), c.get(complaint))
	fmt.Fprintf(out, "echoes       %d of %d, %d never came\n", c.get(echoed), c.get(asked), c.get(unechoed))
	fmt.Fprintf(out, "round trips  p50 %s, p90 %s, p99 %s, max %s\n",
		short(f.echoTime.percentile(50)), short(f.echoTime.percentile(90)),
		short(f.echoTime.percentile(99)), short(f.echoTime.percentile(100)))
}

// short rounds a duration for people.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond / 10)
	default:
		return d.Round(10 * time.Microsecond)
	}
}
