package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/apmws/go-apmws/apmws"
)

// serverSpec says which server a child is.
type serverSpec struct {
	Echo     echo            // how it echoes
	Intake   string          // the APM Server's address; empty: there is no exporter
	Sampling *apmws.Sampling // nil: everything is recorded
	Count    bool            // the exporters' messages are counted, which costs a little
	Profile  string          // file for a CPU profile, or empty
}

// server is a WebSocket server that echoes messages.
type server struct {
	address string
	http    *http.Server
	parts
	profile *os.File
}

func newServer(spec serverSpec) (s *server, err error) {
	s = &server{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.parts, err = newParts(spec); err != nil {
		return s, err
	}
	handler, err := s.handler(spec.Echo)
	if err != nil {
		return s, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	s.address = listener.Addr().String()
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // until close
	return s, s.startProfile(spec.Profile)
}

// startProfile writes a profile of the whole life; idle times weigh nothing.
func (s *server) startProfile(name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(filepath.Clean(name))
	if err != nil {
		return err
	}
	s.profile = file
	return pprof.StartCPUProfile(file)
}

func (s *server) close() {
	if s.profile != nil {
		pprof.StopCPUProfile()
		if err := s.profile.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if s.http != nil {
		s.http.Close()
	}
	s.parts.close()
}

func (s *server) request(r request) (answer, error) {
	switch r.Do {
	case doUsage:
		cpu, err := cpuTime()
		return answer{CPU: cpu}, err
	case doMemory:
		return memoryInUse()
	case doCounts:
		return s.counts()
	default:
		return answer{}, unknownRequest(r)
	}
}

// counts waits until the connections have gone, since an echo arrives before its
// message has been counted. It makes the exporters send what they hold then, and says
// what became of it.
func (s *server) counts() (answer, error) {
	if s.agent == nil {
		return answer{}, errors.New("a server without an agent counts nothing")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(s.agent.Connections()) > 0 {
		if err := ctx.Err(); err != nil {
			return answer{}, fmt.Errorf("wait for the connections to go: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.agent.Flush(ctx); err != nil {
		return answer{}, err
	}
	a := answer{Chosen: s.chosen.Load(), Dropped: make(map[string]int64)}
	stats := s.agent.Stats()
	for _, route := range stats.Routes {
		for _, m := range route.Messages {
			a.Handled += int64(m.Duration.Count)
		}
	}
	for _, d := range stats.Dropped {
		a.Dropped[d.Exporter+" "+d.Reason] += d.Count
	}
	return a, nil
}

// memoryInUse collects garbage, returns what is free, and measures the rest.
func memoryInUse() (answer, error) {
	// What a pool or a finalizer holds goes with the second collection, and the
	// stacks of goroutines that wait shrink with each.
	for range 4 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	debug.FreeOSMemory()
	resident, err := residentBytes()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return answer{RSS: resident, Heap: int64(m.HeapAlloc + m.StackInuse)}, err
}
