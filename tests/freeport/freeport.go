// Package freeport hands out UDP ports of the loopback to tests whose programs
// cannot choose one themselves and tell it.
package freeport

import (
	"net"
	"slices"
	"sync"
	"testing"
)

var given struct {
	sync.Mutex
	ports []int
}

// UDP returns a port that is free on 127.0.0.1, and so are those above it by
// the offsets. It stays free in practice: the system chooses among tens of
// thousands at random, and none is given twice in one test binary, where libsrt
// holds on to a port for seconds after it was closed.
func UDP(t testing.TB, offsets ...int) int {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	for range 100 {
		l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		port := l.LocalAddr().(*net.UDPAddr).Port
		take := []int{port}
		for _, o := range offsets {
			other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + o})
			if err != nil {
				take = nil
				break
			}
			other.Close()
			take = append(take, port+o)
		}
		l.Close()
		if take != nil && !slices.ContainsFunc(take, func(p int) bool { return slices.Contains(given.ports, p) }) {
			given.ports = append(given.ports, take...)
			return port
		}
	}
	t.Fatal("no free UDP port in 100 tries")
	return 0
}
