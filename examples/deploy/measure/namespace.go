//go:build linux

package main

import (
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// sysctl changes a setting of the network namespace that this process runs in.
func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0o644)
}

// raiseLoopback brings the interface lo up, which in a new namespace is down.
func raiseLoopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(fd) }() // nothing was written to it
	var request struct {                     // struct ifreq of netdevice(7)
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], "lo")
	request.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS,
		uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// counter reads one of the kernel's counters of this namespace, such as
// TcpExt.ListenOverflows, from /proc/net/netstat: a line of names, then one of values.
func counter(group, name string) (string, error) {
	text, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != group+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if n == name {
				return fields[i], nil
			}
		}
	}
	return "", os.ErrNotExist
}
