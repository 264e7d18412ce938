package backends

import "sync"

// gate is what requests to a stand-in pass. Its zero value is open.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // is itself closed when the gate is open again
}

// stall closes the gate until resume is called.
func (g *gate) stall() (resume func()) {
	closed := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = closed
	return sync.OnceFunc(func() { close(closed) })
}

// pass returns when the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed != nil {
		<-closed
	}
}
