package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The program starts itself once more for each process it needs, so that what
// one costs is not mixed with another. A child reads requests from its standard
// input, a line each, and writes answers to its standard output. It ends when
// its input does, so it never outlives its parent.

// childEnv holds the childSpec of a child.
const childEnv = "APMWS_BUDGETS_CHILD"

// A role is what a child does.
type role string

const (
	serverRole role = "server" // a WebSocket server
	intakeRole role = "intake" // an APM Server
	clientRole role = "client" // holds idle connections
	memoryRole role = "memory" // loops over memory

	newRelicRole role = "new relic" // the same with New Relic
)

type childSpec struct {
	Role   role
	Procs  int // GOMAXPROCS; 0 for all cores
	Server serverSpec
}

// request is what a parent asks for.
type request struct {
	Do      string // one of the verbs below
	Variant string // of a loop
	Count   int    // of messages, or of connections
	Size    int    // of messages, in bytes
	Address string // of a server
}

// The verbs of a request.
const (
	doCounts  = "counts"  // of messages and transactions, once the load is closed
	doUsage   = "usage"   // the CPU time so far
	doMemory  = "memory"  // after a garbage collection
	doOpen    = "open"    // connections
	doSay     = "say"     // a message on each connection
	doMeasure = "measure" // a loop
)

// answer holds what was asked for; the rest is zero.
type answer struct {
	Error   string
	Address string        // where a server listens, in the first answer
	CPU     time.Duration // user and system
	RSS     int64         // bytes; 0 where it cannot be known
	Heap    int64         // bytes of heap and stacks in use

	Handled  int64            // messages, as the agent counted them
	Chosen   int64            // of them, given to the exporters
	Dropped  map[string]int64 // by exporter and reason
	Received int64            // Message transactions

	Elapsed time.Duration // of the loop
	Allocs  uint64        // of the loop
	Stalls  stalls        // of the loops
}

// child is a running child.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	Address string
}

// startChild starts a child and waits until it is ready.
func startChild(ctx context.Context, spec childSpec) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(cleanEnv(os.Environ()), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, in: in, out: json.NewDecoder(out)}
	ready, err := c.answer()
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("start %s: %w", spec.Role, err)
	}
	c.Address = ready.Address
	return c, nil
}

// cleanEnv leaves out what would make the agents differ from one machine to the
// next, and what would make them look for a cloud.
func cleanEnv(env []string) []string {
	clean := []string{"ELASTIC_APM_CLOUD_PROVIDER=none", "ELASTIC_APM_CENTRAL_CONFIG=false"}
	for _, v := range env {
		if !strings.HasPrefix(v, "ELASTIC_") && !strings.HasPrefix(v, "NEW_RELIC_") && !strings.HasPrefix(v, "GOMAXPROCS=") {
			clean = append(clean, v)
		}
	}
	return clean
}

// ask sends a request and waits for the answer.
func (c *child) ask(r request) (answer, error) {
	if err := json.NewEncoder(c.in).Encode(r); err != nil {
		return answer{}, err
	}
	return c.answer()
}

func (c *child) answer() (answer, error) {
	var a answer
	err := c.out.Decode(&a)
	switch {
	case errors.Is(err, io.EOF):
		return a, errors.New("the child process has ended")
	case err != nil:
		return a, err
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// stop ends the child, by force when it does not end on its own.
func (c *child) stop() {
	c.in.Close()
	force := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer force.Stop()
	_ = c.cmd.Wait()
}

// children are stopped together.
type children []*child

func (cs *children) start(ctx context.Context, spec childSpec) (*child, error) {
	c, err := startChild(ctx, spec)
	if err == nil {
		*cs = append(*cs, c)
	}
	return c, err
}

func (cs *children) stop() {
	for _, c := range *cs {
		c.stop()
	}
}

// runChild is main in a child.
func runChild(text string, in io.Reader, out io.Writer) error {
	var spec childSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("%s: %w", childEnv, err)
	}
	if spec.Procs > 0 {
		runtime.GOMAXPROCS(spec.Procs)
	}
	var serve func(request) (answer, error)
	var address string
	switch spec.Role {
	case serverRole:
		s, err := newServer(spec.Server)
		if err != nil {
			return err
		}
		defer s.close()
		serve, address = s.request, s.address
	case intakeRole:
		i, err := newIntake()
		if err != nil {
			return err
		}
		defer i.close()
		serve, address = i.request, i.address
	case clientRole:
		serve = new(client).request
	case memoryRole:
		m, err := newMemory()
		if err != nil {
			return err
		}
		serve = m.request
	case newRelicRole:
		n, err := startNewRelic()
		if err != nil {
			return err
		}
		serve = n.request
	default:
		return errors.New("unknown role " + strconv.Quote(string(spec.Role)))
	}
	return answerRequests(in, out, address, serve)
}

func answerRequests(in io.Reader, out io.Writer, address string, serve func(request) (answer, error)) error {
	answers := json.NewEncoder(out)
	if err := answers.Encode(answer{Address: address}); err != nil {
		return err
	}
	requests := json.NewDecoder(bufio.NewReader(in))
	for {
		var r request
		err := requests.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := serve(r)
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// unknownRequest is the error of a child that is asked for what it cannot do.
func unknownRequest(r request) error {
	return fmt.Errorf("unknown request %q", r.Do)
}
