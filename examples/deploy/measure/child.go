//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// childArg is the first argument of a process that this program has started.
const childArg = "child"

// child is a server in a process of its own, so that what it takes is its own.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(env []string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, append([]string{childArg}, args...)...)}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

// answer decodes the next line that the child writes.
func (c *child) answer(into any) error {
	if !c.out.Scan() {
		return fmt.Errorf("the server has ended: %w", c.cmd.Wait())
	}
	return json.Unmarshal(c.out.Bytes(), into)
}

// ask has the child answer.
func (c *child) ask(command string, into any) error {
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		return err
	}
	return c.answer(into)
}

// stop ends the child, which reads the end of its input.
func (c *child) stop() error {
	c.in.Close()
	return c.cmd.Wait()
}

// isolated runs a part in a network namespace of its own.
func isolated(name string) func(io.Writer, int) error {
	return func(out io.Writer, _ int) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self, childArg, name)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if id := os.Getuid(); id != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("in a network namespace of its own, which needs root or user namespaces: %w", err)
		}
		return nil
	}
}
