package main

import (
	"context"
)

// client holds connections in a process of its own, so that their memory is not
// the server's.
type client struct {
	load *load
}

func (c *client) request(r request) (answer, error) {
	switch r.Do {
	case doOpen:
		l, err := dialLoad(context.Background(), r.Address, r.Count, 1)
		c.load = l
		return answer{}, err
	case doSay:
		_, err := c.load.closedLoop(1)
		return answer{}, err
	default:
		return answer{}, unknownRequest(r)
	}
}
