package network

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups bounds what is asked of a peer; who is in more is refused.
const maxGroups = 256

// peerOf asks the kernel who opened the other end of a Unix socket, and which
// groups it was in then (SO_PEERCRED, SO_PEERGROUPS; socket(7), unix(7)).
func peerOf(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			inner = err
			return
		}
		p = Peer{PID: int(cred.Pid), UID: int(cred.Uid), Groups: []int{int(cred.Gid)}}
		more, err := peerGroups(fd)
		for _, g := range more {
			if !slices.Contains(p.Groups, int(g)) {
				p.Groups = append(p.Groups, int(g))
			}
		}
		inner = err
	})
	if err = errors.Join(err, inner); err != nil {
		return p, fmt.Errorf("who is at the other end: %w", err)
	}
	return p, nil
}

// peerGroups is getsockopt SO_PEERGROUPS, which x/sys has no function for.
func peerGroups(fd uintptr) ([]uint32, error) {
	list := make([]uint32, maxGroups)
	size := uint32(len(list) * 4)
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	return list[:size/4], nil
}

// InGroup admits root and the members of a group.
func InGroup(gid int) func(Peer) error {
	return func(p Peer) error {
		if p.UID == 0 || slices.Contains(p.Groups, gid) {
			return nil
		}
		return fmt.Errorf("uid %d is not in the group (%d) that may use this socket", p.UID, gid)
	}
}
