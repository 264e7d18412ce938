package apmws

import "syscall"

// hasRoom reports whether a write to the socket would not block: it has room for
// more than a control frame, or it fails. An epoll set of its own asks that
// without unsafe, for the price of about a write.
func hasRoom(fd uintptr) bool {
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return true
	}
	defer func() { _ = syscall.Close(set) }()
	if err := syscall.EpollCtl(set, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLOUT}); err != nil {
		return true
	}
	var ready [1]syscall.EpollEvent
	n, err := syscall.EpollWait(set, ready[:], 0)
	return err != nil || n > 0
}
