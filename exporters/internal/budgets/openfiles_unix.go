//go:build linux || darwin

package main

import "syscall"

// openFiles returns how many files a process may have open. Go has raised the
// limit as far as it may be.
func openFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return int(min(limit.Cur, 1<<30)), nil
}
